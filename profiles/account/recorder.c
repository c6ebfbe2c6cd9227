/* SPDX-License-Identifier: MIT */
/* recorder.c - records waits that have ended, and the time for which an unlocker kept others
 * waiting.
 *
 * Owns: the rates, and the event sink that is called with waits. tables.c has the tables of stacks.
 * The sink's functions run inside the runtime, on the stack of the task that waited or unlocks,
 * with no lock held. */
#include "profiles/account/recorder.h"

#include "profiles/account/sample.h"
#include "profiles/account/tables.h"
#include "profiles/account/windows.h"
#include "profiles/capture/running.h"
#include "profiles/table/labelset.h"
#include "profiles/table/places.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/sinks.h"

#include <weft/profile.h>

#include <stdlib.h>

enum { DEFAULT_RATE = 100000 /* ns */, IO_RARER = 100, SPARES = 16 };
enum { KEPT = 16, TOO_SOON = 2, LONGEST = 10 }; /* constants of adapt */
enum { PLACES_WITH_OBJECTS = 8192, REFRESH = 1024 /* events */ };

static struct {
    int64_t block, mutex;            /* ns, atomic */
    bool block_adapts, mutex_adapts; /* atomic: the program set no rate, so this one may change */
} rates = {DEFAULT_RATE, DEFAULT_RATE, true, true};

/* Memory for walks, which are large for a task's stack. */
struct scratch {
    struct weft__walk waiter, holder, joined;
    struct weft__fingerprint fingerprint;
};

static struct scratch *spares[SPARES]; /* atomic */

static struct scratch *scratch_get(void)
{
    for (int i = 0; i < SPARES; i++) {
        struct scratch *s = weft__load(&spares[i]) ? weft__xchg(&spares[i], NULL) : NULL;

        if (s)
            return s;
    }
    return malloc(sizeof(struct scratch));
}

static void scratch_put(struct scratch *s)
{
    for (int i = 0; i < SPARES; i++) {
        struct scratch *none = NULL;

        if (!weft__load(&spares[i]) && weft__cas(&spares[i], &none, s))
            return;
    }
    free(s);
}

/* Rates ---------------------------------------------------------------------------------------- */

static int64_t period_of(int64_t rate)
{
    int64_t ticks = weft__ticks_in(rate);

    return rate > 0 && ticks == 0 ? 1 : ticks;
}

/* Sets the periods of all workers. A worker may overwrite its own at the same time; it then learns
 * of the new ones at the next change of rates. */
static void set_periods(void)
{
    weft__store(&weft__wait_period, period_of(weft__load(&rates.block)));
    weft__store(&weft__charge_period, period_of(weft__load(&rates.mutex)));
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (weft__worker *w = weft__sched.all; w; w = w->all)
        weft__samplers_begin(w, (uint64_t)weft__ticks() * 2654435761u);
    weft__unlock(&weft__sched.lock);
}

/* In a run: the end of the run waits for this. */
static void set_rate(const char *call, int64_t *which, int64_t rate)
{
    weft__store(which, rate > 0 ? rate : 0);
    if (weft__enter_try(call)) {
        set_periods();
        weft__exit();
    }
}

void weft_profile_set_block_rate(weft_duration rate)
{
    weft__store(&rates.block_adapts, false);
    set_rate("weft_profile_set_block_rate", &rates.block, rate);
}

void weft_profile_set_mutex_rate(weft_duration rate)
{
    weft__store(&rates.mutex_adapts, false);
    set_rate("weft_profile_set_mutex_rate", &rates.mutex, rate);
}

int64_t weft__waits_rate(enum weft__wait_table which)
{
    if (which == WEFT__RECORDED_IO)
        return weft__load(&rates.block) * IO_RARER;
    return weft__load(which == WEFT__RECORDED_BLOCK ? &rates.block : &rates.mutex);
}

static void start(struct weft__event_sink *s)
{
    (void)s;
    weft__places_start();
    weft__tables_start();
    set_periods();
}

static void stop(struct weft__event_sink *s)
{
    (void)s;
    weft__tables_stop();
}

/* Events --------------------------------------------------------------------------------------- */

/* The weight of an event: how many events of that length it stands for, and how long all of them
 * lasted. */
struct weight {
    double count;
    int64_t delay; /* ticks */
};

/* Makes the period longer while samples come more often than one in TOO_SOON times the period that
 * was asked for, and shorter again when they do not. Sums stay right on average with any period. */
static void adapt(struct weft__sampler *s, int64_t asked, int64_t now)
{
    int64_t lasted = now - s->since, period = weft__load(&s->period);

    if (++s->kept < KEPT)
        return;
    if (lasted < KEPT * TOO_SOON * asked && period < asked << LONGEST)
        weft__store(&s->period, period * 2);
    else if (lasted > KEPT * TOO_SOON * 4 * asked && period > asked)
        weft__store(&s->period, period / 2);
    s->kept = 0;
    s->since = now;
}

/* Weighs a wait that was chosen as a sample. */
static struct weight weigh(struct weft__sampler *s, int64_t ticks)
{
    int64_t period = weft__load(&s->period), left = weft__load(&s->left);

    if (ticks >= period) {
        weft__store(&s->left, left + ticks);
        return (struct weight){1, ticks};
    }
    weft__store(&s->left, left + period);
    return (struct weight){(double)period / (double)(ticks > 0 ? ticks : 1), period};
}

/* Weighs a wait for the world outside, which is recorded one time in IO_RARER, or always if it was
 * that much longer. */
static struct weight rarer(weft__worker *w, struct weight one, int64_t rate)
{
    if (one.delay >= rate)
        return one;
    if ((int64_t)(weft__random(&w->random) % (uint64_t)rate) >= one.delay)
        return (struct weight){0, 0};
    return (struct weight){one.count * (double)rate / (double)one.delay, rate};
}

/* The place of a task: where it waited, or unlocks. */
struct spot {
    const weft__task *task;   /* its context is saved and stays so */
    bool holds;               /* it is the side that unlocks */
    struct weft__known known; /* id 0: not a known place */
    const uintptr_t *pcs;     /* NULL until they are needed: see read_spot */
    uint32_t n;
};

/* The recording of one event. It is on the stack of the task that waited or unlocks. That task's
 * context is saved if its stack can be walked. */
struct event {
    weft__task *self;
    struct weight w;
    enum weft__wait_table which;       /* of a wait */
    const struct weft__charge *charge; /* NULL: a wait */
    bool charged, paired;              /* of a charge: which of the two is recorded */
    struct weight pair;
    struct weft__measure m; /* of a wait */
    const struct weft__tables *tables;
    struct scratch *s; /* NULL until it is needed, which is seldom */
};

static bool has_scratch(struct event *e)
{
    return e->s || (e->s = scratch_get()) != NULL;
}

static struct weft__walk *walk_of(struct event *e, const struct spot *spot)
{
    return spot->holds ? &e->s->holder : &e->s->waiter;
}

static void walk_spot(struct event *e, struct spot *spot)
{
    struct weft__walk *walk = walk_of(e, spot);

    weft__walk_saved(walk, spot->task);
    spot->pcs = walk->pcs;
    spot->n = walk->kept;
}

/* Finds the spot of t, whose context is saved and stays so. Walks its stack if that is no known
 * place. */
static bool find_spot(struct event *e, struct spot *spot, const weft__task *t, bool holds)
{
    *spot = (struct spot){.task = t, .holds = holds};
    if (t->ctx.lo)
        spot->known = weft__place_find(t);
    if (spot->known.id)
        return true;
    if (!has_scratch(e))
        return false;
    walk_spot(e, spot);
    if (t->ctx.lo)
        spot->known = weft__place_add(t, walk_of(e, spot), &e->s->fingerprint);
    return true;
}

/* Reads the PCs of a spot into the scratch memory, which e has. Walks the stack if the place was
 * forgotten meanwhile. */
static void read_spot(struct event *e, struct spot *spot)
{
    struct weft__walk *walk = walk_of(e, spot);

    if (spot->pcs)
        return;
    if (!weft__place_read(spot->known, walk)) {
        walk_spot(e, spot);
        return;
    }
    spot->pcs = walk->pcs;
    spot->n = walk->kept;
}

/* Joins the sample with the stacks of the spots. */
static void join(struct event *e, struct weft__sample one, struct spot *at, struct spot *held)
{
    read_spot(e, at);
    one.pcs = at->pcs;
    one.n = at->n;
    if (held) {
        read_spot(e, held);
        one.holder = held->pcs;
        one.n_holder = held->n;
    }
    weft__sample_join(&e->s->joined, &one);
}

/* Counts an event in a table: by one spot, or by the spots of both sides. */
static void count(struct event *e, enum weft__wait_table which, const struct weft__sample *one,
                  struct spot *at, struct spot *held, struct weight w,
                  const struct weft__measure *m)
{
    const struct weft__cell_key key = {.table = e->tables->number * WEFT__RECORDED_TABLES + which,
                                       .place = at->known.id,
                                       .holder = held ? held->known.id : 0,
                                       .object = one->object,
                                       .labels_reason = (uint64_t)one->labels << 32 | one->reason};
    bool is_named = key.place && (!held || key.holder), wanted = weft__windows_want(which);
    weft__cell *cell = is_named ? weft__cell_find(&key) : NULL;

    if (!cell || wanted) {
        if (!has_scratch(e))
            return;
        join(e, *one, at, held);
    }
    if (!cell) {
        cell = weft__buckets_cell(e->tables->of[which], &e->s->joined);
        if (!cell)
            return;
        if (weft__unlikely(weft__buckets_is_crowded(e->tables->of[which])))
            weft__tables_crowded();
        if (is_named)
            weft__cell_remember(&key, cell);
    }
    weft__cell_add(e->tables->of[which], cell,
                   (int64_t[]){weft__parts(w.count), weft__ticks_about(w.delay)});
    if (wanted)
        weft__windows_add(which, m, &e->s->joined, w.count, w.delay);
}

static uint32_t labels_of(const weft__task *t)
{
    return weft__labelset_keep(weft__tags_set(weft__load(&t->tags)));
}

static void count_wait(struct event *e)
{
    struct spot at;

    if (find_spot(e, &at, e->self, false))
        count(e, e->which, &(struct weft__sample){.labels = labels_of(e->self)}, &at, NULL, e->w,
              &e->m);
}

/* How many buckets may name their lock. Programs make locks without end, so past this number locks
 * are not told apart any more. */
static const void *object_of(const struct event *e, const weft__task *t)
{
    const weft__buckets *pairs = e->tables->of[WEFT__RECORDED_PAIRS];
    bool many = weft__buckets_count(pairs) >= PLACES_WITH_OBJECTS;

    return many ? NULL : weft__load(&t->object);
}

/* Records the wait of the task that gets the lock, since it was queued last. */
static void count_pair(struct event *e, struct spot *held)
{
    const struct weft__charge *c = e->charge;
    const weft__task *t = c->first;
    const struct weft__measure m = {
        .from = c->now - c->first_waited, .until = c->now, .waited = c->first_waited, .key = t->id};
    struct spot at;

    if (!find_spot(e, &at, t, false))
        return;
    count(e, WEFT__RECORDED_PAIRS,
          &(struct weft__sample){.labels = labels_of(t),
                                 .is_pair = true,
                                 .reason = weft__load(&t->reason),
                                 .object = object_of(e, t)},
          &at, held, e->pair, &m);
}

static void count_charge(struct event *e, struct spot *held)
{
    const struct weft__charge *c = e->charge;
    const struct weft__measure m = {.until = c->now,
                                    .waited = c->waited,
                                    .n = c->n,
                                    .inside = c->inside,
                                    .key = (uintptr_t)weft__load(&c->first->object)};

    count(e, WEFT__RECORDED_MUTEX,
          &(struct weft__sample){.labels = e->self ? labels_of(e->self) : 0}, held, NULL, e->w, &m);
}

static void count_both(struct event *e)
{
    uintptr_t site = (uintptr_t)e->charge->site;
    struct spot held = {.holds = true, .pcs = &site, .n = 1};

    if (e->self && !find_spot(e, &held, e->self, true))
        return;
    if (e->charged)
        count_charge(e, &held);
    if (e->paired)
        count_pair(e, &held);
}

static void record_in(void *event)
{
    struct event *e = event;
    weft__worker *w = weft__self();

    e->tables = weft__tables_use(w);
    if (e->charge)
        count_both(e);
    else
        count_wait(e);
    weft__tables_unuse(w);
    if (e->s)
        scratch_put(e->s);
}

/* The name begins with weft__, so profiles leave the function out at the inner end of a stack. */
static WEFT__FRAMELESS void record(struct event *e)
{
    static uint32_t events; /* atomic; about */
    uint32_t n = weft__load(&events);

    weft__store(&events, n + 1);
    if (n % REFRESH == 0)
        weft__clock_refresh();
    if (e->self)
        weft__ctx_call(&e->self->ctx.sp, record_in, e);
    else
        record_in(e);
}

static void weft__waited(struct weft__event_sink *s, weft__task *t, enum weft__reason why,
                         int64_t ticks)
{
    weft__worker *worker = t->worker;
    int64_t asked = weft__load(&weft__wait_period);
    struct event e = {.self = t, .w = weigh(&worker->waits, ticks)};

    (void)s;
    if (asked == 0 || ticks <= 0)
        return;
    if (weft__load(&rates.block_adapts))
        adapt(&worker->waits, asked, worker->now);
    e.which = WEFT__RECORDED_BLOCK;
    if (!(weft__wait_flags(why) & WEFT__WAIT_BLOCK)) {
        e.which = WEFT__RECORDED_IO;
        e.w = rarer(worker, e.w, asked * IO_RARER);
    }
    e.m = (struct weft__measure){
        .from = worker->now - ticks, .until = worker->now, .waited = ticks, .key = t->id};
    if (e.w.count > 0)
        record(&e);
}

/* Weighs a wait of so many ticks that used up a sampler's period. Returns true if it is recorded.
 * */
static bool sample(struct weft__sampler *s, struct weight *w, int64_t ticks, int64_t now)
{
    int64_t asked = weft__load(&weft__charge_period);

    *w = weigh(s, ticks);
    if (asked == 0 || ticks <= 0)
        return false;
    if (weft__load(&rates.mutex_adapts))
        adapt(s, asked, now);
    return true;
}

static void weft__held_up(struct weft__event_sink *s, const struct weft__charge *c, bool charged,
                          bool paired)
{
    weft__worker *worker = weft__self();
    struct event e = {.self = c->self, .charge = c};

    (void)s;
    e.charged = charged && sample(&worker->charges, &e.w, c->waited, c->now);
    e.paired = paired && sample(&worker->pairs, &e.pair, c->first_waited, c->now);
    if (e.charged || e.paired)
        record(&e);
}

void weft__recorder_attach(void)
{
    static struct weft__event_sink sink = {
        .start = start, .stop = stop, .waited = weft__waited, .held_up = weft__held_up};

    weft__sinks_add(&sink);
}
