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

/* A count may be a fraction, since a recorded event stands for others that were not recorded. Such
 * a count is kept as a number of parts, of which one has so many. */
enum { WEFT__PARTS = 1 << 20 };

static inline int64_t weft__parts(double count)
{
    return (int64_t)(count * WEFT__PARTS + (count < 0 ? -0.5 : 0.5));
}

/* Makes a table with so many values for each stack. Returns NULL if memory ran out. */
weft__buckets *weft__buckets_new(unsigned n_values);
void weft__buckets_free(weft__buckets *b); /* NULL does nothing */
/* Sets about how many stacks are told apart; all further ones are counted in the bucket of rest.
 * Called before other threads use the table. Returns false if memory ran out. */
bool weft__buckets_limit(weft__buckets *b, uint32_t most, const struct weft__walk *rest);

/* A cell: the values of one stack, in the table, for as long as the table lasts. weft__buckets_cell
 * finds or makes it, and returns NULL if memory ran out. weft__cell_add adds to each value; a sum
 * that would overflow stays at the end of its range. Any thread. */
typedef struct weft__cell weft__cell;
weft__cell *weft__buckets_cell(weft__buckets *b, const struct weft__walk *w);
void weft__cell_add(const weft__buckets *b, weft__cell *c, const int64_t *values);

/* Adds to the values of a stack. Adds nothing if there is no memory for the stack. Any thread. */
void weft__buckets_add(weft__buckets *b, const struct weft__walk *w, const int64_t *values);

/* Adds the values in from, times so much; -1 subtracts them. Both tables have as many values for
 * each stack. Returns false if memory ran out. */
bool weft__buckets_add_all(weft__buckets *to, const weft__buckets *from, int times);

/* Reads the buckets in which a value is not 0, in the order of their first event, each value times
 * so much. n receives their number. The list is for free(). Returns NULL if memory ran out. */
struct weft__bucket *weft__buckets_read(const weft__buckets *b, int times, size_t *n);

uint32_t weft__buckets_count(const weft__buckets *b);  /* stacks */
bool weft__buckets_is_crowded(const weft__buckets *b); /* seven eighths of its limit are taken */

#endif
