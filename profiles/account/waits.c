/* SPDX-License-Identifier: MIT */
/* waits.c - the block, mutex and contention profiles. Owns their descriptors.
 *
 * A view has the recorded waits, and the waits that go on, which a snapshot shows. Both are put
 * into one table. Stacks are cut there to begin where the program called the library, so that waits
 * at one place share a bucket whether they have ended or not. */
#include "profiles/account/waits.h"

#include "profiles/account/sample.h"
#include "profiles/account/tables.h"
#include "profiles/account/windows.h"
#include "profiles/capture/locks.h"
#include "profiles/capture/tasks.h"
#include "profiles/render/stack_text.h"
#include "profiles/render/tasks_merged.h"
#include "profiles/table/idmap.h"
#include "profiles/table/labelset.h"
#include "profiles/walk/symbolize.h"
#include "runtime/base/clock.h"
#include "runtime/sched/wait.h"

#include <weft/task.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Taking --------------------------------------------------------------------------------------- */

/* The state while a view is made; too large for a task's stack. */
struct maker {
    const struct weft__waits *w;
    struct weft__window *window; /* NULL: all waits so far */
    int64_t from, until;         /* ns: waits that go on count between these */
    weft__buckets *b;
    const struct weft__snapshot *s;
    struct weft__idmap ids; /* of holders: the id's hash to its index + 1 below */
    struct holder {
        uint64_t id;
        const struct weft__record *record; /* NULL: it is gone */
    } * holders;
    uint32_t n_holders;
    bool on; /* a rate is set */
    struct weft__walk walk;
};

/* Drops the library's internal frames. In a pair drops the library's call as well, so that the
 * program's own functions of the two sides are next to each other. */
static void cut(const uintptr_t **pcs, size_t *n, bool is_pair)
{
    size_t first =
        is_pair ? weft__stack_text_caller(*pcs, *n) : weft__stack_text_first(*pcs, *n, 0);

    *pcs += first;
    *n -= first;
}

static void add(struct maker *m, struct weft__sample s, const int64_t *values)
{
    s.labels = weft__labelset_now(s.labels);
    cut(&s.pcs, &s.n, s.is_pair);
    if (s.is_pair)
        cut(&s.holder, &s.n_holder, true);
    weft__sample_join(&m->walk, &s);
    weft__buckets_add(m->b, &m->walk, values);
}

static void add_recorded(struct maker *m, const weft__buckets *recorded)
{
    size_t n;
    struct weft__bucket *all = weft__buckets_read(recorded, 1, &n);

    for (size_t i = 0; all && i < n; i++)
        add(m, weft__sample_of(all[i].stack), all[i].values);
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

/* Returns the instant from which a wait that goes on counts: for mutex the lock's last charge. */
static int64_t counts_from(const struct maker *m, const struct weft__record *r)
{
    int64_t from = r->since > m->from ? r->since : m->from;
    const struct weft__lock *lock;

    if (m->w->which != WEFT__RECORDED_MUTEX)
        return from;
    lock = m->s->locks ? weft__locks_find(m->s->locks, r->object) : NULL;
    if (lock && weft__ticks_to_nanos(lock->charged) > from)
        from = weft__ticks_to_nanos(lock->charged);
    return from;
}

static uint64_t key_of(const struct maker *m, const struct weft__record *r)
{
    return m->w->which == WEFT__RECORDED_MUTEX ? (uintptr_t)r->object : r->id;
}

/* Returns how long a task has waited so far, if its wait counts in this profile; else 0. */
static int64_t waits_of(const struct maker *m, const struct weft__record *r)
{
    unsigned flags = weft__wait_flags(r->reason);
    int64_t waits;

    if (!m->on || r->state != WEFT__REC_WAITING || !r->since)
        return 0;
    if (m->w->which != WEFT__RECORDED_BLOCK && !weft__wait_is_for_lock(r->reason))
        return 0;
    if (!(flags & WEFT__WAIT_BLOCK) && (!m->w->with_io || (flags & WEFT__WAIT_SCHED)))
        return 0;
    if (m->window && weft__window_has(m->window, key_of(m, r)))
        return 0;
    waits = m->until - counts_from(m, r);
    return waits > 0 ? waits : 0;
}

/* Collects the holders of locks for which tasks wait. Returns false if memory ran out. */
static bool find_holders(struct maker *m)
{
    const struct weft__snapshot *s = m->s;

    m->holders = calloc(s->alive + 1, sizeof(*m->holders));
    if (!m->holders)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct weft__record *r = &s->records[i];

        if (!r->owner || waits_of(m, r) == 0 || holder_of(m, r->owner))
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

static const struct weft__record *holder_record(const struct maker *m, const struct weft__record *r)
{
    const struct holder *h = r->owner ? holder_of(m, r->owner) : NULL;

    return h ? h->record : NULL;
}

/* Adds a wait that goes on. A place has one bucket for all its objects; a pair has one for each
 * lock. An unknown holder, such as the readers of a lock, is a stack without frames. */
static void add_live(struct maker *m, const struct weft__record *r, int64_t waits)
{
    bool is_block = m->w->which == WEFT__RECORDED_BLOCK;
    const struct weft__record *holder = is_block ? NULL : holder_record(m, r);
    const struct weft__record *who = m->w->which == WEFT__RECORDED_MUTEX ? holder : r;
    const struct weft__stack_entry *stack = who ? weft__record_stack(m->s, who) : NULL;
    const struct weft__stack_entry *held_at = holder ? weft__record_stack(m->s, holder) : NULL;
    struct weft__sample s = {.labels = who ? labels_of(who) : 0};

    if (stack) {
        s.pcs = stack->pcs;
        s.n = stack->kept;
    }
    if (m->w->which == WEFT__RECORDED_PAIRS) {
        s.is_pair = true;
        s.reason = r->reason;
        s.object = r->object;
        s.holder = held_at ? held_at->pcs : NULL;
        s.n_holder = held_at ? held_at->kept : 0;
    }
    add(m, s, (int64_t[]){WEFT__PARTS, waits});
}

static bool add_all_live(struct maker *m)
{
    if (m->w->which != WEFT__RECORDED_BLOCK && !find_holders(m))
        return false;
    for (size_t i = 0; i < m->s->n; i++) {
        int64_t waits = waits_of(m, &m->s->records[i]);

        if (waits > 0)
            add_live(m, &m->s->records[i], waits);
    }
    return true;
}

/* Takes a snapshot whose cut is not before ticks. A snapshot that is shared may have begun before;
 * then the next one has not. */
static const struct weft__snapshot *snapshot_after(int64_t ticks)
{
    const struct weft__snapshot *s;

    if (weft__snapshot_get(&s) < 0)
        return NULL;
    if (s->locks->cut >= ticks)
        return s;
    weft__snapshot_put(s);
    return weft__snapshot_get(&s) == 0 ? s : NULL;
}

static void add_all_recorded(struct maker *m)
{
    const struct weft__tables *t;

    if (m->window) {
        add_recorded(m, weft__window_buckets(m->window));
        return;
    }
    t = weft__tables_lock();
    add_recorded(m, t->of[m->w->which]);
    if (m->w->which == WEFT__RECORDED_BLOCK && m->w->with_io)
        add_recorded(m, t->of[WEFT__RECORDED_IO]);
    weft__tables_unlock();
}

/* Takes the snapshot, if waits that go on are wanted, and closes the window. */
static void take_snapshot(struct maker *m)
{
    int64_t from = 0, until = INT64_MIN;

    if (m->window) {
        weft__window_end(m->window);
        weft__window_bounds(m->window, &from, &until);
    }
    if (m->w->live && (m->s = snapshot_after(until)) != NULL) {
        m->from = m->window ? weft__ticks_to_nanos(from) : 0;
        m->until = m->window ? weft__ticks_to_nanos(until) : m->s->now;
    }
    if (m->window)
        weft__window_close(m->window);
}

/* Makes the view. Reads recorded waits first, so that a wait that ends meanwhile is missed this
 * time and not counted twice. A window's table is read after its close, and knows the waits that
 * ended meanwhile. */
static bool make(struct maker *m)
{
    size_t n = weft__tables_count(m->w->which);
    bool good = true, aside;

    weft__symbolizer_look();
    if (m->window)
        take_snapshot(m);
    aside = !m->w->stays && weft__stand_aside(n);
    add_all_recorded(m);
    if (aside)
        weft__stand_back();
    if (!m->window)
        take_snapshot(m);
    if (m->s) {
        aside = weft__stand_aside(m->s->n);
        good = add_all_live(m);
        weft__snapshot_put(m->s);
        if (aside)
            weft__stand_back();
    }
    weft__idmap_free(&m->ids);
    free(m->holders);
    return good;
}

static weft__buckets *take(const struct weft__waits *w, struct weft__window *window)
{
    struct maker *m = calloc(1, sizeof(*m));
    weft__buckets *b = weft__buckets_new(WEFT__SAMPLE_VALUES);

    if (m && b) {
        m->w = w;
        m->window = window;
        m->b = b;
        m->on = weft__waits_rate(w->which) > 0;
    }
    if (!m || !b || !make(m)) {
        weft__buckets_free(b);
        b = NULL;
    }
    free(m);
    return b;
}

weft__buckets *weft__waits_take(const struct weft__waits *w)
{
    return take(w, NULL);
}

/* The profiles --------------------------------------------------------------------------------- */

enum { LIVE, IO }; /* parameters */

static struct weft__waits waits_asked(const struct weft__asked *a)
{
    return (struct weft__waits){.which = (enum weft__wait_table)a->profile->which,
                                .live = a->params[LIVE],
                                .with_io = a->params[IO]};
}

static void *take_all(const struct weft__asked *a)
{
    const struct weft__waits w = waits_asked(a);

    return take(&w, NULL);
}

/* Takes the waits of a time alone: each counts with its part of the time. */
static void *sample(const struct weft__asked *a, int *rc)
{
    const struct weft__waits w = waits_asked(a);
    weft_time until = weft_now() + a->over;
    struct weft__window *window = weft__window_open(w.which, w.with_io);
    weft__buckets *b = NULL;

    if (window && !weft__asked_wait(a, until))
        *rc = -ECANCELED;
    else if (window)
        b = take(&w, window);
    weft__window_free(window);
    return b;
}

static int count(const struct weft__profile *p)
{
    return (int)weft__tables_count((enum weft__wait_table)p->which);
}

static void put_sizes(const struct weft__profile *p, weft__sizes_put *put, void *arg)
{
    put(arg, p->name, weft__tables_count((enum weft__wait_table)p->which), WEFT__RECORDED_STACKS);
    if (p->which == WEFT__RECORDED_BLOCK)
        put(arg, "io", weft__tables_count(WEFT__RECORDED_IO), WEFT__RECORDED_STACKS);
}

const struct weft__pprof_type weft__waits_values[] = {{"contentions", "count"},
                                                      {"delay", "nanoseconds"}};
static const struct weft__param params[] = {
    {.name = "live", .otherwise = 1}, {.name = "io"}, {.name = NULL}};
static const struct weft__param live_alone[] = {{.name = "live", .otherwise = 1}, {.name = NULL}};

#define WAITS(of)                                                                                  \
    .values = weft__waits_values, .n_values = 2, .take = take_all, .sample = sample,               \
    .write = weft__samples_write, .count = count, .sizes = put_sizes, .which = of

const struct weft__profile weft__profile_block = {
    .name = "block",
    .about =
        "Stacks that waited for other tasks, and how long: at channels, select, locks, groups. "
        "live=0 leaves out waits that go on, io=1 adds I/O and sleeps.",
    .text_head = WEFT__WAITS_TEXT,
    .params = params,
    WAITS(WEFT__RECORDED_BLOCK),
};

const struct weft__profile weft__profile_contention = {
    .name = "contention",
    .about = "Waits for locks, with both stacks: the one that waited, and the one that unlocked.",
    .text_head = WEFT__WAITS_TEXT,
    .params = live_alone,
    WAITS(WEFT__RECORDED_PAIRS),
};

const struct weft__profile weft__profile_mutex = {
    .name = "mutex",
    .about = "Stacks that kept other tasks waiting for a lock: at its unlock, each is charged with "
             "the time that all waiters waited.",
    .text_head = WEFT__MUTEX_TEXT,
    .params = live_alone,
    WAITS(WEFT__RECORDED_MUTEX),
};
