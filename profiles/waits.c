/* SPDX-License-Identifier: MIT */
/* waits.c - see waits.h. What was recorded and what a snapshot shows to go on are brought into one
 * table, with stacks cut to begin where the program called the library, so that a place is one
 * bucket whether its waits are over or not. */
#include "waits.h"

#include "../runtime/clock.h"
#include "../runtime/wait.h"
#include "idmap.h"
#include "labelset.h"
#include "listing.h"
#include "merged.h"
#include "sample.h"
#include "symbolize.h"
#include "tasks.h"

#include <weft/task.h>

#include <stdlib.h>
#include <string.h>

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
    int64_t rate, io_rate; /* ns: live waits count that are as long; 0: none do */
    struct weft__walk walk;
};

/* Leaves out how the library works; and in a pair its call, too, so that the two sides meet. */
static void cut(const uintptr_t **pcs, size_t *n, bool is_pair)
{
    size_t first = is_pair ? weft__listing_caller(*pcs, *n) : weft__listing_first(*pcs, *n, 0);

    *pcs += first;
    *n -= first;
}

static void add(struct maker *m, struct weft__sample s, double count, int64_t delay)
{
    cut(&s.pcs, &s.n, s.is_pair);
    if (s.is_pair)
        cut(&s.holder, &s.n_holder, true);
    weft__sample_join(&m->walk, &s);
    weft__buckets_add(m->b, &m->walk, count, delay);
}

static void add_recorded(struct maker *m, enum weft__contention which)
{
    size_t n;
    struct weft__bucket *all = weft__buckets_read(weft__contention_recorded(which), &n);

    for (size_t i = 0; all && i < n; i++)
        add(m, weft__sample_of(all[i].stack), all[i].count, all[i].delay);
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
    int64_t waits = m->s->now - r->since, least = m->rate;
    unsigned flags;

    if (r->state != WEFT__REC_WAITING || !r->since)
        return false;
    flags = weft__wait_flags(r->reason);
    if (m->w->which != WEFT__CONTENTION_BLOCK && !r->owner)
        return false;
    if (m->w->which == WEFT__CONTENTION_BLOCK && !(flags & WEFT__WAIT_BLOCK))
        least = m->w->with_io && !(flags & WEFT__WAIT_SCHED) ? m->io_rate : 0;
    return least && waits >= least;
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

static uint32_t labels_of(const struct weft__record *r)
{
    return weft__labelset_keep(weft__tags_set(r->tags));
}

static void add_live(struct maker *m, const struct weft__record *r)
{
    int64_t waits = m->s->now - r->since;
    bool is_block = m->w->which == WEFT__CONTENTION_BLOCK;
    bool is_pair = m->w->which == WEFT__CONTENTION_PAIRS;
    const struct weft__record *holder = is_block ? NULL : holder_of(m, r->owner)->record;
    const struct weft__record *who = m->w->which == WEFT__CONTENTION_MUTEX ? holder : r;
    const struct weft__stack_entry *stack = who ? weft__record_stack(m->s, who) : NULL;
    const struct weft__stack_entry *held_at = holder ? weft__record_stack(m->s, holder) : NULL;
    struct weft__sample s = {.is_pair = is_pair, .reason = r->reason, .object = r->object};

    if (!stack && !is_pair)
        return;
    if (stack) {
        s.pcs = stack->pcs;
        s.n = stack->kept;
        s.labels = labels_of(who);
    }
    if (is_pair && held_at) {
        s.holder = held_at->pcs;
        s.n_holder = held_at->kept;
    }
    add(m, s, 1, waits);
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
    size_t n = weft__buckets_count(weft__contention_recorded(m->w->which));
    bool good = true, aside;

    weft__symbolizer_look();
    aside = !m->w->stays && weft__stand_aside(n);
    add_recorded(m, m->w->which);
    if (m->w->which == WEFT__CONTENTION_BLOCK && m->w->with_io)
        add_recorded(m, WEFT__CONTENTION_IO);
    if (aside)
        weft_blocking_end();
    if (m->w->live && weft__snapshot_get(&m->s) == 0) {
        aside = weft__stand_aside(m->s->n);
        good = add_all_live(m);
        weft__snapshot_put(m->s);
        if (aside)
            weft_blocking_end();
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
        m->rate = weft__contention_rate(w->which); /* once: they may change meanwhile */
        m->io_rate = weft__contention_rate(WEFT__CONTENTION_IO);
    }
    if (!m || !b || !make(m)) {
        weft__buckets_free(b);
        b = NULL;
    }
    free(m);
    return b;
}

/* Writing -------------------------------------------------------------------------------------- */

int weft__waits_pprof(const weft__buckets *b, int64_t duration, const struct weft__sink *to)
{
    static const struct weft__pprof_type types[] = {{"contentions", "count"},
                                                    {"delay", "nanoseconds"}};
    const struct weft__pprof_head head = {.types = types,
                                          .n_types = 2,
                                          .period_type = types[0],
                                          .period = 1,
                                          .time = weft__realtime(),
                                          .duration = duration};

    return weft__samples_pprof(&head, b, to);
}

int weft__waits_text(enum weft__contention which, const weft__buckets *b,
                     const struct weft__sink *to)
{
    static const char *const heads[] = {
        [WEFT__CONTENTION_BLOCK] = "--- contention:\ncycles/second=1000000000\n",
        [WEFT__CONTENTION_MUTEX] = "--- mutex:\ncycles/second=1000000000\nsampling period=1\n",
        [WEFT__CONTENTION_PAIRS] = "--- contention:\ncycles/second=1000000000\n"};

    return weft__samples_text(heads[which], b, to);
}
