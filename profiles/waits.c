/* SPDX-License-Identifier: MIT */
/* waits.c - see waits.h. What was recorded and what a snapshot shows to go on are brought into one
 * table, with stacks cut to begin where the program called the library, so that a place is one
 * bucket whether its waits are over or not. */
#include "waits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/wait.h"
#include "idmap.h"
#include "listing.h"
#include "merged.h"
#include "out.h"
#include "pprof.h"
#include "symbolize.h"
#include "tasks.h"
#include "unwind.h"

#include <time.h>
#include <weft/task.h>

/* Stacks --------------------------------------------------------------------------------------- */

static void to_walk(struct weft__walk *walk, const uintptr_t *pcs, size_t n, size_t skip)
{
    walk->kept = walk->depth = (uint32_t)(n - skip);
    memcpy(walk->pcs, pcs + skip, walk->kept * sizeof(*pcs));
}

/* From the library's call on. */
static void from_call(struct weft__walk *walk, const struct weft__stack_entry *e)
{
    to_walk(walk, e->pcs, e->kept, weft__listing_first(e->pcs, e->kept, 0));
}

/* The two stacks of a pair. */
struct sides {
    const uintptr_t *waiter, *holder;
    size_t n_waiter, n_holder;
};

static struct sides sides_of(const struct weft__stack_entry *e)
{
    size_t n = e->pcs[WEFT__PAIR_WAITER];

    return (struct sides){.waiter = e->pcs + WEFT__PAIR_STACKS,
                          .holder = e->pcs + WEFT__PAIR_STACKS + n,
                          .n_waiter = n,
                          .n_holder = e->kept - WEFT__PAIR_STACKS - n};
}

/* Taking --------------------------------------------------------------------------------------- */

/* What a view is made with; too large for a task's stack. */
struct maker {
    const struct weft__waits *w;
    weft__buckets *b;
    const struct weft__snapshot *s;
    struct weft__idmap ids; /* of holders: the id's hash to its index + 1 below */
    struct holder {
        uint64_t id;
        const struct weft__record *record; /* NULL: it is gone */
    } * holders;
    uint32_t n_holders;
    struct weft__walk waiter, holder, pair;
};

static void add_recorded(struct maker *m, enum weft__contention which)
{
    size_t n;
    struct weft__bucket *all = weft__buckets_read(weft__contention_recorded(which), &n);

    for (size_t i = 0; all && i < n; i++) {
        const struct weft__stack_entry *e = all[i].stack;

        if (which == WEFT__CONTENTION_PAIRS) {
            struct sides s = sides_of(e);

            to_walk(&m->waiter, s.waiter, s.n_waiter, weft__listing_caller(s.waiter, s.n_waiter));
            to_walk(&m->holder, s.holder, s.n_holder, weft__listing_caller(s.holder, s.n_holder));
            weft__pair_join(&m->pair, (unsigned)e->pcs[WEFT__PAIR_REASON],
                            (const void *)e->pcs[WEFT__PAIR_OBJECT], &m->waiter, &m->holder);
            weft__buckets_add(m->b, &m->pair, all[i].count, all[i].delay);
        } else {
            from_call(&m->waiter, e);
            weft__buckets_add(m->b, &m->waiter, all[i].count, all[i].delay);
        }
    }
    free(all);
}

static struct holder *holder_of(const struct maker *m, uint64_t id)
{
    uint64_t hash = weft__idmap_mix(id);
    uint32_t found, at = weft__idmap_first(&m->ids, hash);

    while ((found = weft__idmap_next(&m->ids, hash, &at))) {
        if (m->holders[found - 1].id == id)
            return &m->holders[found - 1];
    }
    return NULL;
}

/* Does it wait for other tasks, and long enough to be sampled for sure? */
static bool counts(const struct maker *m, const struct weft__record *r)
{
    int64_t rate = weft__contention_rate(m->w->which), waits = m->s->now - r->since;
    unsigned flags;

    if (r->state != WEFT__REC_WAITING || !r->since || !rate)
        return false;
    flags = weft__wait_flags(r->reason);
    if (m->w->which != WEFT__CONTENTION_BLOCK)
        return r->owner && waits >= rate;
    if (!(flags & WEFT__WAIT_BLOCK) && m->w->with_io && !(flags & WEFT__WAIT_SCHED))
        rate = weft__contention_rate(WEFT__CONTENTION_IO);
    else if (!(flags & WEFT__WAIT_BLOCK))
        return false;
    return waits >= rate;
}

/* False without memory. */
static bool find_holders(struct maker *m)
{
    const struct weft__snapshot *s = m->s;

    m->holders = calloc(s->alive + 1, sizeof(*m->holders));
    if (!m->holders)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct weft__record *r = &s->records[i];

        if (!counts(m, r) || holder_of(m, r->owner))
            continue;
        m->holders[m->n_holders].id = r->owner;
        if (!weft__idmap_add(&m->ids, weft__idmap_mix(r->owner), ++m->n_holders))
            return false;
    }
    for (size_t i = 0; i < s->n && m->n_holders > 0; i++) {
        struct holder *h = s->records[i].state ? holder_of(m, s->records[i].id) : NULL;

        if (h)
            h->record = &s->records[i];
    }
    return true;
}

static void walk_of(const struct maker *m, const struct weft__record *r, struct weft__walk *walk,
                    bool caller)
{
    const struct weft__stack_entry *e = r ? weft__record_stack(m->s, r) : NULL;

    walk->kept = walk->depth = 0;
    if (e && caller)
        to_walk(walk, e->pcs, e->kept, weft__listing_caller(e->pcs, e->kept));
    else if (e)
        from_call(walk, e);
}

static void add_live(struct maker *m, const struct weft__record *r)
{
    int64_t waits = m->s->now - r->since;
    bool pair = m->w->which == WEFT__CONTENTION_PAIRS;
    struct weft__walk *walk = &m->waiter;

    walk_of(m, r, &m->waiter, pair);
    if (m->w->which != WEFT__CONTENTION_BLOCK) {
        walk_of(m, holder_of(m, r->owner)->record, &m->holder, pair);
        walk = &m->holder;
    }
    if (pair) {
        weft__pair_join(&m->pair, r->reason, r->object, &m->waiter, &m->holder);
        walk = &m->pair;
    }
    if (walk->kept > 0)
        weft__buckets_add(m->b, walk, 1, waits);
}

static bool add_all_live(struct maker *m)
{
    if (m->w->which != WEFT__CONTENTION_BLOCK && !find_holders(m))
        return false;
    for (size_t i = 0; i < m->s->n; i++) {
        if (counts(m, &m->s->records[i]))
            add_live(m, &m->s->records[i]);
    }
    return true;
}

static bool make(struct maker *m)
{
    bool good = true;

    weft__symbolizer_look();
    add_recorded(m, m->w->which);
    if (m->w->which == WEFT__CONTENTION_BLOCK && m->w->with_io)
        add_recorded(m, WEFT__CONTENTION_IO);
    if (m->w->live && weft__snapshot_get(&m->s) == 0) {
        bool aside = weft__stand_aside(m->s->n);

        good = add_all_live(m);
        if (aside)
            weft_blocking_end();
        weft__snapshot_put(m->s);
    }
    weft__idmap_free(&m->ids);
    free(m->holders);
    return good;
}

weft__buckets *weft__waits_take(const struct weft__waits *w)
{
    struct maker *m = calloc(1, sizeof(*m));
    weft__buckets *b = weft__buckets_new();

    if (m && b) {
        m->w = w;
        m->b = b;
    }
    if (!m || !b || !make(m)) {
        weft__buckets_free(b);
        b = NULL;
    }
    free(m);
    return b;
}

void weft__waits_subtract(weft__buckets *until, const weft__buckets *from)
{
    struct weft__walk *walk = malloc(sizeof(*walk));
    size_t n;
    struct weft__bucket *all = weft__buckets_read(from, &n);

    for (size_t i = 0; walk && all && i < n; i++) {
        to_walk(walk, all[i].stack->pcs, all[i].stack->kept, 0);
        weft__buckets_add(until, walk, -all[i].count, -all[i].delay);
    }
    free(all);
    free(walk);
}

/* Writing -------------------------------------------------------------------------------------- */

static int64_t whole(double count)
{
    return count < 1 ? 1 : (int64_t)(count + 0.5);
}

static int compare_delays(const void *va, const void *vb)
{
    const struct weft__bucket *a = va, *b = vb;

    return a->delay > b->delay ? -1 : a->delay < b->delay;
}

/* The longest first; n is how many have any delay. NULL without memory. */
static struct weft__bucket *sorted(const weft__buckets *b, size_t *n)
{
    struct weft__bucket *all = weft__buckets_read(b, n);

    if (!all)
        return NULL;
    qsort(all, *n, sizeof(*all), compare_delays);
    while (*n > 0 && all[*n - 1].delay <= 0)
        --*n;
    return all;
}

/* Root to leaf: the waiter, "-- held by --", the holder; so the two that meet are neighbours. */
static size_t pair_stack(const struct sides *s, uintptr_t *to)
{
    size_t n = 0;

    for (size_t i = s->n_holder; i > 0; i--)
        to[n++] = s->holder[i - 1];
    to[n++] = WEFT__PPROF_HELD_BY;
    for (size_t i = 0; i < s->n_waiter; i++)
        to[n++] = s->waiter[i];
    return n;
}

static int add_pair(weft__pprof *p, const struct weft__bucket *b, const int64_t values[2],
                    uintptr_t *pcs)
{
    const struct sides s = sides_of(b->stack);
    char object[24];
    const struct weft__pprof_label labels[] = {
        {.key = "object", .str = object},
        {.key = "reason", .str = weft__wait_text((unsigned)b->stack->pcs[WEFT__PAIR_REASON])}};

    snprintf(object, sizeof(object), "0x%" PRIxPTR, b->stack->pcs[WEFT__PAIR_OBJECT]);
    return weft__pprof_add(p, &(struct weft__pprof_sample){.pcs = pcs,
                                                           .n = pair_stack(&s, pcs),
                                                           .values = values,
                                                           .labels = labels,
                                                           .n_labels = 2});
}

static int add(weft__pprof *p, bool pair, const struct weft__bucket *b, uintptr_t *pcs)
{
    const int64_t values[] = {whole(b->count), b->delay};

    if (pair)
        return add_pair(p, b, values, pcs);
    return weft__pprof_add(p, &(struct weft__pprof_sample){
                                  .pcs = b->stack->pcs, .n = b->stack->kept, .values = values});
}

int weft__waits_pprof(const struct weft__waits *w, const weft__buckets *b, int64_t duration,
                      const struct weft__sink *to)
{
    static const struct weft__pprof_type types[] = {{"contentions", "count"},
                                                    {"delay", "nanoseconds"}};
    struct weft__pprof_head head = {
        .types = types, .n_types = 2, .period_type = types[0], .period = 1, .duration = duration};
    uintptr_t *pcs = malloc(WEFT__WALK_KEEP * sizeof(*pcs));
    struct timespec now;
    struct weft__bucket *all;
    weft__pprof *p;
    size_t n;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    head.time = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    all = sorted(b, &n);
    p = pcs && all ? weft__pprof_begin(&head, to) : NULL;
    for (size_t i = 0; p && i < n && rc == 0; i++)
        rc = add(p, w->which == WEFT__CONTENTION_PAIRS, &all[i], pcs);
    free(pcs);
    free(all);
    return p ? weft__pprof_end(p, rc) : -ENOMEM;
}

static void put_frames(struct weft__out *o, const uintptr_t *pcs, size_t n)
{
    if (n > 0)
        weft__listing_frames(o, pcs, n, 0);
    else
        weft__out_str(o, "#\t0x0\n");
}

static void put_stack(struct weft__out *o, bool pair, const struct weft__stack_entry *e,
                      uintptr_t *pcs)
{
    struct sides s;

    if (!pair) {
        weft__listing_addresses(o, e->pcs, e->kept, 0);
        put_frames(o, e->pcs, e->kept);
        return;
    }
    s = sides_of(e);
    weft__listing_addresses(o, pcs, pair_stack(&s, pcs), 0);
    weft__out_str(o, "# ");
    weft__out_str(o, weft__wait_text((unsigned)e->pcs[WEFT__PAIR_REASON]));
    weft__out_str(o, " ");
    weft__out_hex(o, e->pcs[WEFT__PAIR_OBJECT]);
    weft__out_str(o, "\n");
    put_frames(o, s.waiter, s.n_waiter);
    weft__out_str(o, "# " WEFT__HELD_BY "\n");
    put_frames(o, s.holder, s.n_holder);
}

int weft__waits_text(const struct weft__waits *w, const weft__buckets *b,
                     const struct weft__sink *to)
{
    struct weft__out *o = weft__out_new(to);
    uintptr_t *pcs = malloc(WEFT__WALK_KEEP * sizeof(*pcs));
    size_t n = 0;
    struct weft__bucket *all = sorted(b, &n);

    if (!o || !pcs || !all) {
        free(o);
        free(pcs);
        free(all);
        return -ENOMEM;
    }
    weft__out_str(o, w->which == WEFT__CONTENTION_MUTEX ? "--- mutex:\n" : "--- contention:\n");
    weft__out_str(o, "cycles/second=1000000000\n");
    if (w->which == WEFT__CONTENTION_MUTEX)
        weft__out_str(o, "sampling period=1\n");
    for (size_t i = 0; i < n && o->rc == 0; i++) {
        weft__out_dec(o, (uint64_t)all[i].delay);
        weft__out_char(o, ' ');
        weft__out_dec(o, (uint64_t)whole(all[i].count));
        weft__out_str(o, " @");
        put_stack(o, w->which == WEFT__CONTENTION_PAIRS, all[i].stack, pcs);
        weft__out_char(o, '\n');
    }
    free(pcs);
    free(all);
    return weft__out_end(o);
}
