/* SPDX-License-Identifier: MIT */
/* contention.c - records waits that are over.
 *
 * Owns: the rates, and a table of stacks for each profile; tables live as long as the process. The
 * hooks run on the stack of the task that waited or unlocked, in the runtime, without locks. */
#include "contention.h"

#include "../runtime/scheduler.h"
#include "labelset.h"
#include "running.h"
#include "sample.h"

#include <weft/profile.h>

#include <stdlib.h>

enum { DEFAULT_RATE = 100000 /* ns */, IO_RARER = 100, SPARES = 16 };
enum { KEPT = 16, TOO_SOON = 2, LONGEST = 10 }; /* of adapt */
enum { PLACES_WITH_OBJECTS = 8192 };

static struct {
    int64_t block, mutex;            /* ns, atomic */
    bool block_adapts, mutex_adapts; /* atomic: nobody asked for just this rate */
} rates = {DEFAULT_RATE, DEFAULT_RATE, true, true};

static weft__buckets *tables[WEFT__CONTENTIONS];

/* Stacks of tasks are small, walks are not. */
struct scratch {
    struct weft__walk waiter, holder, joined;
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

/* A worker may overwrite what it is told here, and then hears of it at the next change. */
static void set_periods(void)
{
    weft__store(&weft__wait_period, period_of(weft__load(&rates.block)));
    weft__store(&weft__charge_period, period_of(weft__load(&rates.mutex)));
    weft__lock(&weft__sched.lock);
    for (weft__worker *w = weft__sched.all; w; w = w->all)
        weft__samplers_begin(w, (uint64_t)weft__ticks() * 2654435761u);
    weft__unlock(&weft__sched.lock);
}

/* In a run, whose end waits for us. */
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

int64_t weft__contention_rate(enum weft__contention which)
{
    if (which == WEFT__CONTENTION_IO)
        return weft__load(&rates.block) * IO_RARER;
    return weft__load(which == WEFT__CONTENTION_BLOCK ? &rates.block : &rates.mutex);
}

void weft__contention_start(void)
{
    for (int i = 0; i < WEFT__CONTENTIONS; i++) {
        if (!tables[i] && !(tables[i] = weft__buckets_new()))
            weft__fatal("out of memory (profiles)");
    }
    set_periods();
}

const weft__buckets *weft__contention_recorded(enum weft__contention which)
{
    return tables[which];
}

/* Events --------------------------------------------------------------------------------------- */

/* How many events one stands for that lasted so long, and how long those lasted together. */
struct weight {
    double count;
    int64_t delay; /* ns */
};

/* Makes the period longer while samples come faster than one in TOO_SOON times the period that was
 * asked for, and shorter again when they do not. The measure of one wait stays right on average,
 * whatever the period. */
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

/* Of a wait that reached the next sample. */
static struct weight weigh(struct weft__sampler *s, int64_t ticks)
{
    int64_t period = weft__load(&s->period), left = weft__load(&s->left);

    if (ticks >= period) {
        weft__store(&s->left, left + ticks);
        return (struct weight){1, weft__ticks_lasted(ticks)};
    }
    weft__store(&s->left, left + period);
    return (struct weight){(double)period / (double)(ticks > 0 ? ticks : 1),
                           weft__ticks_lasted(period)};
}

/* One time in IO_RARER; for sure if it was that much longer. */
static struct weight rarer(weft__worker *w, struct weight one, int64_t rate)
{
    if (one.delay >= rate)
        return one;
    if ((int64_t)(weft__random(w) % (uint64_t)rate) >= one.delay)
        return (struct weight){0, 0};
    return (struct weight){one.count * (double)rate / (double)one.delay, rate};
}

static void walk_in(void *arg)
{
    struct weft__walk *walk = arg;

    weft__walk_saved(walk, weft__self()->task);
}

/* The caller's own stack. */
static void walk_self(struct weft__walk *walk, weft__task *self)
{
    weft__ctx_call(&self->ctx.sp, walk_in, walk);
}

/* Adds to a table; joins what is to be told of in the scratch. */
static void add(enum weft__contention which, struct scratch *s, const struct weft__sample *one,
                struct weight w)
{
    weft__sample_join(&s->joined, one);
    weft__buckets_add(tables[which], &s->joined, w.count, w.delay);
}

static uint32_t labels_of(const weft__task *t)
{
    return weft__labelset_keep(weft__tags_set(weft__load(&t->tags)));
}

static void record_self(enum weft__contention which, weft__task *self, struct weight w)
{
    struct scratch *s = scratch_get();

    if (!s)
        return;
    walk_self(&s->waiter, self);
    add(which, s,
        &(struct weft__sample){
            .pcs = s->waiter.pcs, .n = s->waiter.kept, .labels = labels_of(self)},
        w);
    scratch_put(s);
}

void weft__waited(weft__task *t, enum weft__reason why, int64_t ticks)
{
    weft__worker *worker = t->worker;
    int64_t asked = weft__load(&weft__wait_period);
    struct weight w = weigh(&worker->waits, ticks);

    if (asked == 0 || ticks <= 0)
        return;
    if (weft__load(&rates.block_adapts))
        adapt(&worker->waits, asked, worker->now);
    if (weft__wait_flags(why) & WEFT__WAIT_BLOCK) {
        record_self(WEFT__CONTENTION_BLOCK, t, w);
        return;
    }
    w = rarer(worker, w, weft__contention_rate(WEFT__CONTENTION_IO));
    if (w.count > 0)
        record_self(WEFT__CONTENTION_IO, t, w);
}

/* Locks come and go, and each is a place of its own: when there are that many, no more are. */
static const void *object_of(const weft__task *t)
{
    bool many = weft__buckets_count(tables[WEFT__CONTENTION_PAIRS]) >= PLACES_WITH_OBJECTS;

    return many ? NULL : weft__load(&t->object);
}

/* The wait of the one that is let in, kept if the charge is. */
static void record_pair(struct scratch *s, const struct weft__charge *c, double count)
{
    weft__task *t = c->first;
    int64_t delay = (int64_t)(count * (double)weft__ticks_lasted(c->first_waited));

    weft__walk_saved(&s->waiter, t);
    add(WEFT__CONTENTION_PAIRS, s,
        &(struct weft__sample){.pcs = s->waiter.pcs,
                               .n = s->waiter.kept,
                               .labels = labels_of(t),
                               .is_pair = true,
                               .reason = weft__load(&t->reason),
                               .object = object_of(t),
                               .holder = s->holder.pcs,
                               .n_holder = s->holder.kept},
        (struct weight){count, delay});
}

void weft__held_up(const struct weft__charge *c)
{
    weft__worker *worker = weft__self();
    int64_t asked = weft__load(&weft__charge_period);
    struct weight w = weigh(&worker->charges, c->waited);
    struct scratch *s;

    if (asked == 0 || c->waited <= 0 || !(s = scratch_get()))
        return;
    if (weft__load(&rates.mutex_adapts))
        adapt(&worker->charges, asked, c->now);
    if (c->self) {
        walk_self(&s->holder, c->self);
    } else {
        s->holder.kept = s->holder.depth = 1;
        s->holder.pcs[0] = (uintptr_t)c->site;
    }
    add(WEFT__CONTENTION_MUTEX, s,
        &(struct weft__sample){
            .pcs = s->holder.pcs, .n = s->holder.kept, .labels = c->self ? labels_of(c->self) : 0},
        w);
    record_pair(s, c, w.count);
    scratch_put(s);
}
