/* SPDX-License-Identifier: MIT */
/* buckets.h - what happened at each distinct stack: how often, and how long it took. */
#ifndef WEFT_BUCKETS_H
#define WEFT_BUCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/table/stacktab.h"

struct weft__walk;
typedef struct weft__buckets weft__buckets;

/* A bucket as it stood when it was read. */
struct weft__bucket {
    const struct weft__stack_entry *stack; /* as long as the table */
    double count;
    int64_t delay; /* ns */
};

weft__buckets *weft__buckets_new(void); /* NULL without memory */
void weft__buckets_free(weft__buckets *b);
/* Bounds the number of stacks that are told apart, about; further ones are counted for rest. To be
 * called before other threads use the table. Returns false without memory. */
bool weft__buckets_limit(weft__buckets *b, uint32_t most, const struct weft__walk *rest);

/* The counts of one stack, which last as long as the table. cell returns NULL without memory. Any
 * thread. */
typedef struct weft__cell weft__cell;
weft__cell *weft__buckets_cell(weft__buckets *b, const struct weft__walk *w);
void weft__cell_add(weft__cell *c, double count, int64_t delay);

/* count may be a fraction: an event that stands for others counts as many as it stands for; or
 * below 0, to take away. An event for which there is no memory is dropped. Any thread,
 * concurrently. */
void weft__buckets_add(weft__buckets *b, const struct weft__walk *w, double count, int64_t delay);

/* Adds so many times what from has; -1 takes it away. False without memory. */
bool weft__buckets_add_all(weft__buckets *to, const weft__buckets *from, int times);

/* All buckets so far that count something, in the order of their first event, for free(); NULL
 * without memory. */
struct weft__bucket *weft__buckets_read(const weft__buckets *b, size_t *n);

uint32_t weft__buckets_count(const weft__buckets *b);  /* stacks */
bool weft__buckets_is_crowded(const weft__buckets *b); /* seven eighths of its limit are taken */

#endif
