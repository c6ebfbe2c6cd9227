/* SPDX-License-Identifier: MIT */
/* jemalloc.h - questions to jemalloc, if it serves the program's malloc: its memory, its size
 * classes, and its own samples. Any thread may ask, with no lock held. */
#ifndef WEFT_JEMALLOC_H
#define WEFT_JEMALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In bytes. */
struct weft__jemalloc {
    uint64_t allocated, active, mapped, retained;
};

/* A size class: its blocks in use, those ever allocated and freed, and the runs of pages that small
 * blocks are cut from. Blocks in the caches of threads count as freed only when they leave them. */
struct weft__jemalloc_bin {
    uint64_t size, live, mallocs, frees, slabs;
};

/* Returns whether jemalloc serves the program's malloc, behind the component or without it. */
bool weft__jemalloc_serves(void);
/* Reads what jemalloc knows now. Returns false if it does not serve. */
bool weft__jemalloc_read(struct weft__jemalloc *m);
/* Writes its version and whether its own profiling is on; "" if it does not serve. */
void weft__jemalloc_text(char *to, size_t size);
/* Reads the size class with that index as weft__jemalloc_read found it last. Returns false if there
 * is none. */
bool weft__jemalloc_bin(unsigned index, struct weft__jemalloc_bin *bin);

/* Returns how many bytes its own samples are apart; 0 if its profiling is off, or it does not
 * serve.
 */
int64_t weft__jemalloc_rate(void);

/* The samples of a stack, of those allocated (which jemalloc counts with prof_accum:true alone),
 * and of those in use. */
struct weft__jemalloc_stack {
    uint32_t n;
    int64_t allocs, alloc_bytes, live, live_bytes;
    uintptr_t pcs[128]; /* return addresses, innermost first */
};

/* Calls fn for each stack of its own samples. Returns 0; -ENOMEM if there is no memory, or no
 * descriptor. */
int weft__jemalloc_each(void (*fn)(void *arg, const struct weft__jemalloc_stack *s), void *arg);

#endif
