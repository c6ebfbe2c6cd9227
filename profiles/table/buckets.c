/* SPDX-License-Identifier: MIT */
/* buckets.c - see buckets.h.
 *
 * Owns: a table of stacks, and a cell of values for each id that it gives out. Segment k of the
 * cells has 2^k * WEFT__SEGMENT_FIRST of them. The first thread that needs a segment makes it, and
 * it never moves, so the cells need no lock. An event adds to one value after the other, so a
 * reader may see only the first of them changed. */
#include "profiles/table/buckets.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/walk/unwind.h"

/* The first value of a cell; the others stand behind it. */
struct weft__cell {
    _Atomic int64_t value;
};

struct weft__buckets {
    weft__stacktab *stacks;
    unsigned n_values; /* of each cell */
    uint32_t rest;     /* id of the bucket for stacks that have no room; 0: there is no limit */
    uint32_t most;     /* that limit */
    _Atomic(struct weft__cell *) segments[WEFT__SEGMENTS];
};

weft__buckets *weft__buckets_new(unsigned n_values)
{
    weft__buckets *b = calloc(1, sizeof *b);

    if (!b || !(b->stacks = weft__stacktab_new())) {
        free(b);
        return NULL;
    }
    b->n_values = n_values;
    return b;
}

void weft__buckets_free(weft__buckets *b)
{
    if (!b)
        return;
    for (int i = 0; i < WEFT__SEGMENTS; i++)
        free((void *)atomic_load(&b->segments[i]));
    weft__stacktab_free(b->stacks);
    free(b);
}

bool weft__buckets_limit(weft__buckets *b, uint32_t most, const struct weft__walk *rest)
{
    b->rest = weft__stacktab_intern(b->stacks, rest);
    b->most = most;
    weft__stacktab_limit(b->stacks, most);
    return b->rest != 0;
}

static struct weft__cell *segment(weft__buckets *b, unsigned k)
{
    struct weft__cell *have = atomic_load_explicit(&b->segments[k], memory_order_acquire), *made;

    if (have)
        return have;
    made = calloc((size_t)WEFT__SEGMENT_FIRST << k, b->n_values * sizeof *made);
    if (made && !atomic_compare_exchange_strong(&b->segments[k], &have, made)) {
        free(made);
        return have;
    }
    return made;
}

weft__cell *weft__buckets_cell(weft__buckets *b, const struct weft__walk *w)
{
    uint32_t id = weft__stacktab_intern(b->stacks, w), at;
    weft__cell *cells;

    if (!id)
        id = b->rest;
    cells = id ? segment(b, weft__segment_of(id, &at)) : NULL;
    return cells ? &cells[(size_t)at * b->n_values] : NULL;
}

void weft__cell_add(const weft__buckets *b, weft__cell *c, const int64_t *values)
{
    for (unsigned i = 0; i < b->n_values; i++) {
        int64_t was = atomic_fetch_add_explicit(&c[i].value, values[i], memory_order_relaxed), sum;

        if (__builtin_add_overflow(was, values[i], &sum))
            atomic_store_explicit(&c[i].value, values[i] < 0 ? INT64_MIN : INT64_MAX,
                                  memory_order_relaxed);
    }
}

void weft__buckets_add(weft__buckets *b, const struct weft__walk *w, const int64_t *values)
{
    weft__cell *c = weft__buckets_cell(b, w);

    if (c)
        weft__cell_add(b, c, values);
}

uint32_t weft__buckets_count(const weft__buckets *b)
{
    return weft__stacktab_count(b->stacks) - (b->rest != 0);
}

bool weft__buckets_is_crowded(const weft__buckets *b)
{
    return b->rest != 0 && weft__stacktab_count(b->stacks) >= b->most / 8 * 7;
}

/* Reads the values of a stack. Returns whether one of them is not 0. */
static bool read_values(const weft__buckets *b, uint32_t id, int times, int64_t *values)
{
    uint32_t at;
    unsigned k = weft__segment_of(id, &at);
    const weft__cell *cells = atomic_load_explicit(&b->segments[k], memory_order_acquire);
    bool some = false;

    for (unsigned i = 0; cells && i < b->n_values; i++) {
        values[i] = times * atomic_load_explicit(&cells[(size_t)at * b->n_values + i].value,
                                                 memory_order_relaxed);
        some |= values[i] != 0;
    }
    return some;
}

/* The values stand behind the buckets. */
struct weft__bucket *weft__buckets_read(const weft__buckets *b, int times, size_t *n)
{
    uint32_t count = weft__stacktab_count(b->stacks);
    size_t room = count + 1u;
    struct weft__bucket *all = calloc(room, sizeof *all + b->n_values * sizeof *all->values);

    *n = 0;
    for (uint32_t id = 1; all && id <= count; id++) {
        int64_t *values = (int64_t *)(all + room) + *n * b->n_values;

        if (read_values(b, id, times, values))
            all[(*n)++] = (struct weft__bucket){weft__stacktab_get(b->stacks, id), values};
    }
    return all;
}

bool weft__buckets_add_all(weft__buckets *to, const weft__buckets *from, int times)
{
    struct weft__walk *walk = malloc(sizeof *walk);
    size_t n;
    struct weft__bucket *all = weft__buckets_read(from, times, &n);
    bool good = walk && all;

    for (size_t i = 0; good && i < n; i++) {
        weft__walk_set(walk, all[i].stack->pcs, all[i].stack->kept);
        weft__buckets_add(to, walk, all[i].values);
    }
    free(all);
    free(walk);
    return good;
}
