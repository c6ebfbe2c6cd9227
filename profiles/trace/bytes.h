/* SPDX-License-Identifier: MIT */
/* bytes.h - bytes in memory that grow, for the writers of formats. All zero is valid and empty. A
 * lack of memory is remembered, and drops what comes after. */
#ifndef WEFT_TRACE_BYTES_H
#define WEFT_TRACE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct weft__bytes {
    unsigned char *at;
    size_t n, cap;
    bool failed;
};

/* Makes room for n more. Returns false if memory ran out. */
static inline bool weft__bytes_room(struct weft__bytes *b, size_t n)
{
    unsigned char *more;

    if (b->n + n <= b->cap)
        return !b->failed;
    more = realloc(b->at, 2 * (b->n + n) + 256);
    if (!more) {
        b->failed = true;
        return false;
    }
    b->at = more;
    b->cap = 2 * (b->n + n) + 256;
    return !b->failed;
}

static inline void weft__bytes_put(struct weft__bytes *b, const void *from, size_t n)
{
    if (weft__bytes_room(b, n)) {
        memcpy(b->at + b->n, from, n);
        b->n += n;
    }
}

static inline void weft__bytes_byte(struct weft__bytes *b, unsigned byte)
{
    if (weft__bytes_room(b, 1))
        b->at[b->n++] = (unsigned char)byte;
}

/* Puts an unsigned LEB128, seven bits a byte, the lowest first. */
static inline void weft__bytes_varint(struct weft__bytes *b, uint64_t v)
{
    if (!weft__bytes_room(b, 10))
        return;
    for (; v >= 128; v >>= 7)
        b->at[b->n++] = (unsigned char)(v | 128);
    b->at[b->n++] = (unsigned char)v;
}

static inline void weft__bytes_free(struct weft__bytes *b)
{
    free(b->at);
    *b = (struct weft__bytes){.at = NULL};
}

#endif
