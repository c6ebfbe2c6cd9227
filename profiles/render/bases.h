/* SPDX-License-Identifier: MIT */
/* bases.h - profiles that were kept, with which the pages of later ones are compared.
 *
 * A base is the data of a page with a flame graph (flame.c) as the text that stands in the page. A
 * request for a page keeps one (keep=1), and a later request names it by its number (base=3). The
 * process keeps WEFT__BASES of all profiles; then the oldest goes. Any thread may call these, with
 * no lock held. */
#ifndef WEFT_BASES_H
#define WEFT_BASES_H

#include <stddef.h>
#include <stdint.h>

enum {
    WEFT__BASES = 8,
    WEFT__BASE_BYTES = 4 << 20, /* of one, at most */
};

struct weft__base {
    uint32_t id;         /* from 1 on, in the order of keeping */
    uint32_t holders;    /* bases.c's list, and the requests that use it; guarded by its lock */
    const char *profile; /* lives as long as the process */
    int64_t time;        /* of the profile: CLOCK_REALTIME ns */
    size_t n;
    char text[]; /* n bytes */
};

struct weft__base_mark {
    uint32_t id;
    int64_t time;
};

/* Keeps a copy of the text. profile: the profile's name, which lives as long as the process.
 * Returns the base's number; 0 if memory ran out. */
uint32_t weft__base_keep(const char *profile, int64_t time, const char *text, size_t n);
/* Finds a base, which then stays until weft__base_drop. Returns NULL if there is none. */
struct weft__base *weft__base_find(uint32_t id);
void weft__base_drop(struct weft__base *b); /* NULL is allowed */
/* Writes marks of the bases of that profile, the oldest first, and returns their number. */
size_t weft__bases_of(const char *profile, struct weft__base_mark marks[WEFT__BASES]);
/* Returns how many there are, and the bytes of their texts. */
uint32_t weft__bases_count(size_t *bytes);

#endif
