/* SPDX-License-Identifier: MIT */
/* output.h - the buffer through which renderers write to a sink.
 *
 * The renderer that made an out owns it; no lock guards it, and one thread or task uses it at a
 * time. A function that fills the buffer calls the sink, which may wait: call it with no lock held.
 * Always:
 *   the sink gets pieces of exactly WEFT__OUT_SIZE bytes, and one shorter piece at the end
 *   rc < 0 implies that the sink is never called again
 * The buffer is on the heap because renderers run on the small stacks of tasks. */
#ifndef WEFT_OUTPUT_H
#define WEFT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "profiles/capture/snapshot.h"

enum { WEFT__OUT_SIZE = 64 * 1024 };

struct weft__out {
    struct weft__sink to; /* constant */
    int rc;               /* the first error, else 0; a renderer may set it, to end early */
    size_t n;             /* bytes in buf; < WEFT__OUT_SIZE between calls */
    char buf[WEFT__OUT_SIZE];
};

/* Makes a buffer before a sink. Returns NULL if memory ran out. */
struct weft__out *weft__out_new(const struct weft__sink *to);
/* Gives the bytes in the buffer to the sink. Returns rc. */
int weft__out_flush(struct weft__out *o);
/* Flushes and frees the buffer. Returns rc. */
int weft__out_end(struct weft__out *o);

/* Writes n bytes that fill the buffer. For weft__out_put alone. */
void weft__out_put_slow(struct weft__out *o, const char *p, size_t n);

static inline void weft__out_put(struct weft__out *o, const void *p, size_t n)
{
    if (n >= WEFT__OUT_SIZE - o->n) {
        weft__out_put_slow(o, p, n);
        return;
    }
    memcpy(o->buf + o->n, p, n);
    o->n += n;
}

static inline void weft__out_str(struct weft__out *o, const char *s)
{
    weft__out_put(o, s, strlen(s));
}

static inline void weft__out_char(struct weft__out *o, char c)
{
    weft__out_put(o, &c, 1);
}

/* Writes at most n characters of s, each control character as "?", so that s stays on its line. */
void weft__out_clean(struct weft__out *o, const char *s, size_t n);
/* Returns whether a reader cannot see what c is: it is a space other than ASCII's, has no width, or
 * changes the direction of writing. */
bool weft__is_hidden(uint32_t c);
/* Writes s quoted as Go's %q quotes text in UTF-8. */
void weft__out_quoted(struct weft__out *o, const char *s);
/* Writes a string of JSON, which may also stand in an element of HTML. */
void weft__out_json(struct weft__out *o, const char *s);
/* Writes decimal digits, and a sign before a number below 0. */
void weft__out_dec(struct weft__out *o, uint64_t v);
void weft__out_int(struct weft__out *o, int64_t v);
/* Writes 0x and lower-case digits. */
void weft__out_hex(struct weft__out *o, uint64_t v);

/* Returns a sink that writes to a descriptor. The descriptor stays the caller's. The sink's codes
 * are negative errno. */
struct weft__sink weft__sink_fd(int fd);

#endif
