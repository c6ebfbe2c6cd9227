/* SPDX-License-Identifier: MIT */
/* buckets.c - see buckets.h.
 *
 * Owns: a table of stacks, and for the ids it gives out, two numbers each. Segment k of the numbers
 * holds 2^k * WEFT__SEGMENT_FIRST of them, is made by the first thread that needs it, and never
 * moves, so nothing is locked. An event adds to the two one after the other: a reader may see it
 * half. */
#include "profiles/table/buckets.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/walk/unwind.h"

enum { ONE = 1 << 20 /* of a count, which may be a fraction */ };

struct weft__cell {
    _Atomic int64_t count, delay;
};

struct weft__buckets {
    weft__stacktab *stacks;
    uint32_t rest; /* id of the bucket for stacks that have no room; 0: there is no limit */
    uint32_t most; /* that limit */
    _Atomic(struct weft__cell *) segments[WEFT__SEGMENTS];
};

weft__buckets *weft__buckets_new(void)
{
    weft__buckets *b = calloc(1, sizeof *b);

    if (b && !(b->stacks = weft__stacktab_new())) {
        free(b);
        return NULL;
    }
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
    made = calloc((size_t)WEFT__SEGMENT_FIRST << k, sizeof *made);
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
    return cells ? &cells[at] : NULL;
}

/* Adds delays; a sum that would overflow stays at the end of its range. */
void weft__cell_add(weft__cell *c, double count, int64_t delay)
{
    int64_t was, sum;

    atomic_fetch_add_explicit(&c->count, (int64_t)(count * ONE + (count < 0 ? -0.5 : 0.5)),
                              memory_order_relaxed);
    was = atomic_fetch_add_explicit(&c->delay, delay, memory_order_relaxed);
    if (__builtin_add_overflow(was, delay, &sum))
        atomic_store_explicit(&c->delay, delay < 0 ? INT64_MIN : INT64_MAX, memory_order_relaxed);
}

void weft__buckets_add(weft__buckets *b, const struct weft__walk *w, double count, int64_t delay)
{
    weft__cell *c = weft__buckets_cell(b, w);

    if (c)
        weft__cell_add(c, count, delay);
}

uint32_t weft__buckets_count(const weft__buckets *b)
{
    return weft__stacktab_count(b->stacks) - (b->rest != 0);
}

bool weft__buckets_is_crowded(const weft__buckets *b)
{
    return b->rest != 0 && weft__stacktab_count(b->stacks) >= b->most / 8 * 7;
}

struct weft__bucket *weft__buckets_read(const weft__buckets *b, size_t *n)
{
    uint32_t count = weft__stacktab_count(b->stacks);
    struct weft__bucket *all = calloc(count + 1u, sizeof *all);

    *n = 0;
    for (uint32_t id = 1; all && id <= count; id++) {
        uint32_t at;
        unsigned k = weft__segment_of(id, &at);
        struct weft__cell *cells = atomic_load_explicit(&b->segments[k], memory_order_acquire);
        int64_t times = cells ? atomic_load_explicit(&cells[at].count, memory_order_relaxed) : 0;

        if (times != 0)
            all[(*n)++] =
                (struct weft__bucket){weft__stacktab_get(b->stacks, id), (double)times / ONE,
                                      atomic_load_explicit(&cells[at].delay, memory_order_relaxed)};
    }
    return all;
}

bool weft__buckets_add_all(weft__buckets *to, const weft__buckets *from, int times)
{
    struct weft__walk *walk = malloc(sizeof *walk);
    size_t n;
    struct weft__bucket *all = weft__buckets_read(from, &n);
    bool good = walk && all;

    for (size_t i = 0; good && i < n; i++) {
        weft__walk_set(walk, all[i].stack->pcs, all[i].stack->kept);
        weft__buckets_add(to, walk, times * all[i].count, times * all[i].delay);
    }
    free(all);
    free(walk);
    return good;
}
