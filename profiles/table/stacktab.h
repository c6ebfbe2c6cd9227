/* SPDX-License-Identifier: MIT */
/* stacktab.h - a table with each distinct stack once, under an id.
 *
 * Any number of threads may intern and read at the same time. intern takes a spin lock for a
 * moment, and may call malloc; the others take none. new, limit and free are for one thread, before
 * and after all others use the table. */
#ifndef WEFT_STACKTAB_H
#define WEFT_STACKTAB_H

#include <stddef.h>
#include <stdint.h>

struct weft__walk;
typedef struct weft__stacktab weft__stacktab;

struct weft__stack_entry {
    uint64_t hash;
    uint32_t kept; /* return addresses and marks (marks.h), innermost first */
    uintptr_t pcs[];
};

/* An array by id grows in segments, which never move. Segment k begins at id (2^k - 1) * FIRST + 1.
 * */
enum { WEFT__SEGMENT_FIRST = 1024, WEFT__SEGMENTS = 22 /* enough for any 32-bit id */ };

/* Returns the segment of an id. at receives the index in it. */
static inline unsigned weft__segment_of(uint32_t id, uint32_t *at)
{
    uint64_t n = (uint64_t)id - 1 + WEFT__SEGMENT_FIRST;
    unsigned k = 63u - (unsigned)__builtin_clzll(n / WEFT__SEGMENT_FIRST);

    *at = (uint32_t)(n - ((uint64_t)WEFT__SEGMENT_FIRST << k));
    return k;
}

weft__stacktab *weft__stacktab_new(void);
void weft__stacktab_free(weft__stacktab *s);

/* Returns the id (> 0) of these PCs, and adds them if they are new. Returns 0 if memory or room ran
 * out. A million distinct stacks take 0.1 to 0.2 us each. */
uint32_t weft__stacktab_intern(weft__stacktab *s, const struct weft__walk *w);

/* Sets about how many stacks there may be. Beyond that, intern returns 0 for a new stack. */
void weft__stacktab_limit(weft__stacktab *s, uint32_t most);

/* Returns the stack of an id. It stays, and never changes, until the table is freed. */
const struct weft__stack_entry *weft__stacktab_get(const weft__stacktab *s, uint32_t id);
uint32_t weft__stacktab_count(const weft__stacktab *s); /* ids are 1..count */

#endif
