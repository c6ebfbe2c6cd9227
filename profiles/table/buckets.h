/* SPDX-License-Identifier: MIT */
/* buckets.h - a table of buckets: for each distinct stack, values such as how often and how long.
 *
 * Any number of threads may add to a table and read it at the same time. A stack that is new takes
 * a spin lock for a moment (stacktab.h); all else takes none. weft__buckets_new, _limit and _free
 * are for one thread, before and after all others use the table. */
#ifndef WEFT_BUCKETS_H
#define WEFT_BUCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/table/stacktab.h"

struct weft__walk;
typedef struct weft__buckets weft__buckets;

/* A bucket, with its values at the time when it was read. */
struct weft__bucket {
    const struct weft__stack_entry *stack; /* as long as the table */
    int64_t *values;                       /* as many as each bucket of the table has */
};

/* An event that stands for others may count as a fraction: such a count is kept in this many parts
 * of one. */
enum { WEFT__PARTS = 1 << 20 };

static inline int64_t weft__parts(double count)
{
    return (int64_t)(count * WEFT__PARTS + (count < 0 ? -0.5 : 0.5));
}

/* Makes a table that keeps so many values for each stack. NULL without memory. */
weft__buckets *weft__buckets_new(unsigned n_values);
void weft__buckets_free(weft__buckets *b); /* NULL does nothing */
/* Bounds the number of stacks that are told apart, about; further ones are counted for rest. To be
 * called before other threads use the table. Returns false without memory. */
bool weft__buckets_limit(weft__buckets *b, uint32_t most, const struct weft__walk *rest);

/* The values of one stack, which last as long as the table. cell returns NULL without memory. add
 * adds to each value, below 0 to take away; a sum that would overflow stays at the end of its
 * range. Any thread. */
typedef struct weft__cell weft__cell;
weft__cell *weft__buckets_cell(weft__buckets *b, const struct weft__walk *w);
void weft__cell_add(const weft__buckets *b, weft__cell *c, const int64_t *values);

/* Adds to the values of a stack. Without memory for the stack, nothing is added. Any thread,
 * concurrently. */
void weft__buckets_add(weft__buckets *b, const struct weft__walk *w, const int64_t *values);

/* Adds so many times the values in from, of which there are as many; -1 takes them away. False
 * without memory. */
bool weft__buckets_add_all(weft__buckets *to, const weft__buckets *from, int times);

/* Reads all buckets so far of which some value is not 0, in the order of their first event, each
 * value times so many. For free(); NULL without memory. */
struct weft__bucket *weft__buckets_read(const weft__buckets *b, int times, size_t *n);

uint32_t weft__buckets_count(const weft__buckets *b);  /* stacks */
bool weft__buckets_is_crowded(const weft__buckets *b); /* seven eighths of its limit are taken */

#endif
