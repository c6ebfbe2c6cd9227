/* SPDX-License-Identifier: MIT */
/* time.c - sleep, timers and tickers, as programs use them; sched/timer.c has the heaps.
 *
 * Owns: weft_timer and weft_ticker.
 * Lock: t->lock (rank GROUP) orders start, stop and free among themselves. Its rank is below OBJECT
 * since it is held over operations on the timer's channel.
 * Tasks and foreign threads call the public functions, and hold no lock of the runtime. Only sleep
 * waits. The fire functions run on the owner of the timer's heap.
 *
 * Stop waits, with t->lock, for a firing under way. So firing must not take t->lock; it takes the
 * channel's lock only. Then stop drains the channel. After it no value of the old setting is left,
 * and stop knows whether the value was received. */
#include "runtime/sync/chan.h"

#include <weft/task.h>
#include <weft/time.h>

#include <stdlib.h>

weft_time weft_now(void)
{
    return weft__nanos();
}

weft_time weft_after(weft_duration d)
{
    weft_time now = weft__nanos(), when;

    return __builtin_add_overflow(now, d, &when) ? (d > 0 ? WEFT_FOREVER : WEFT_NOW) : when;
}

int weft_sleep_until(weft_time when)
{
    weft__task *t = weft__enter("weft_sleep")->task;
    int rc;

    if (when <= weft__nanos())
        weft__yield(t);
    rc = weft__park(t, WEFT__WAIT_SLEEP, NULL, NULL, NULL, when);
    weft__exit();
    return rc == WEFT_ETIMEDOUT ? 0 : rc;
}

struct weft_timer {
    weft__timer timer;
    weft_chan *chan;      /* gets the time; NULL if the timer has a function; constant */
    weft_timer_fn *fn;    /* runs as a task of its own; NULL if the timer has a channel; constant */
    void *arg;            /* of fn; constant */
    weft_duration period; /* of a ticker; guarded by lock, constant while it is armed */
    /* The task that set the timer last counts as the creator of fn's task. Guarded by lock. */
    uint64_t creator;
    uintptr_t creator_pc;
    bool creator_is_foreign;
    uint32_t lock; /* last, since malloc writes only to the first bytes of freed memory: so the mark
                    * of a freed timer stays */
};

/* Fires a timer with a channel. The channel has room for one value, so an unread one stays, and
 * this one is dropped. */
static void fire_chan(weft__timer *timer, uint64_t arg, int64_t now)
{
    weft_timer *t = weft__container_of(timer, weft_timer, timer);

    (void)arg;
    weft__chan_offer(t->chan, &now);
}

/* Fires a timer with a function, in a task of its own: the function may wait, and here it would
 * hold up all timers of the heap. */
static void fire_fn(weft__timer *timer, uint64_t arg, int64_t now)
{
    weft_timer *t = weft__container_of(timer, weft_timer, timer);
    weft__worker *w = weft__self();
    weft__task *task;

    (void)arg;
    (void)now;
    task = weft__task_new(w->p, NULL, t->fn, t->arg);
    weft__store(&task->creator, t->creator);
    weft__store(&task->creator_pc, t->creator_pc);
    if (t->creator_is_foreign)
        weft__flag_set(task, WEFT__FOREIGN_CREATOR);
    weft__start_due(task);
}

/* Makes a timer's channel. A free of it by the program would panic: only the timer frees it. */
static weft_chan *chan_new(void)
{
    weft_chan *c = weft_chan_new(sizeof(weft_time), 1);

    weft__chan_keep(c, true, "weft_timer_new");
    return c;
}

static void chan_free(weft_chan *c)
{
    if (c)
        weft__chan_keep(c, false, "weft_timer_free");
    weft_chan_free(c);
}

static weft_timer *timer_new(weft__timer_fire *fire)
{
    weft_timer *t;

    weft__not_forked("weft_timer_new");
    t = weft__alloc(1, sizeof(*t));
    t->timer.fire = fire;
    if (fire == fire_chan)
        t->chan = chan_new();
    return t;
}

weft_timer *weft_timer_new(void)
{
    return timer_new(fire_chan);
}

weft_timer *weft_timer_new_func(weft_timer_fn *fn, void *arg)
{
    weft_timer *t = timer_new(fire_fn);

    t->fn = fn;
    t->arg = arg;
    return t;
}

weft_chan *weft_timer_chan(weft_timer *t)
{
    return t->chan;
}

/* Stops t. Returns true if it had not fired, or if its value was not received. Caller holds
 * t->lock. */
static bool stop(weft_timer *t)
{
    bool active = weft__timer_disarm_wait(&t->timer);

    if (t->chan && weft__chan_drain(t->chan))
        active = true;
    return active;
}

bool weft_timer_stop(weft_timer *t)
{
    bool active;

    weft__enter("weft_timer_stop");
    weft__lock(&t->lock, WEFT__RANK_GROUP);
    active = stop(t);
    weft__unlock(&t->lock);
    weft__exit();
    return active;
}

/* Notes that `task` sets t, by a call that returns to site. Caller holds t->lock and has stopped t,
 * so no firing reads the fields. */
static void note_creator(weft_timer *t, const weft__task *task, const void *site)
{
    t->creator = task->id;
    t->creator_pc = (uintptr_t)site;
    t->creator_is_foreign = task->flags & WEFT__FOREIGN;
}

bool weft_timer_start(weft_timer *t, weft_time when)
{
    const weft__task *task = weft__enter("weft_timer_start")->task;
    bool active;

    weft__lock(&t->lock, WEFT__RANK_GROUP);
    active = stop(t);
    note_creator(t, task, __builtin_return_address(0));
    weft__timer_arm(&t->timer, when, 0);
    weft__unlock(&t->lock);
    weft__exit();
    return active;
}

static void timer_free(weft_timer *t)
{
    weft__store_rel(&t->lock, WEFT__FREED);
    weft__free(t);
}

void weft_timer_free(weft_timer *t)
{
    if (!t)
        return;
    if (weft__load_acq(&weft__sched.running)) /* between runs no timer is armed */
        weft_timer_stop(t);
    chan_free(t->chan);
    timer_free(t);
}

struct weft_ticker {
    weft_timer t;
};

/* Fires a tick and sets the next one. The ticks stay multiples of the period from the first one,
 * and missed ticks are left out: a program that was late needs no burst. arg is the instant that
 * this tick was set for. */
static void fire_tick(weft__timer *timer, uint64_t arg, int64_t now)
{
    weft_timer *t = weft__container_of(timer, weft_timer, timer);
    int64_t last = (int64_t)arg, next;

    if (now - last >= t->period)
        last = now - (now - last) % t->period;
    if (__builtin_add_overflow(last, t->period, &next))
        next = WEFT_FOREVER;
    weft__timer_arm(timer, next, (uint64_t)next);
    weft__chan_offer(t->chan, &now);
}

/* Stops the ticker. A firing under way arms it again, so it is disarmed until it stays so. Caller
 * holds t->lock. */
static void ticker_stop(weft_timer *t)
{
    while (weft__timer_disarm_wait(&t->timer) || weft__load(&t->timer.pos))
        ;
    weft__chan_drain(t->chan);
}

static void ticker_start(weft_ticker *k, weft_duration period, const char *call)
{
    int64_t next = weft_after(period);

    if (period <= 0)
        weft__panic("non-positive interval for NewTicker");
    weft__enter(call);
    weft__lock(&k->t.lock, WEFT__RANK_GROUP);
    ticker_stop(&k->t);
    k->t.period = period;
    weft__timer_arm(&k->t.timer, next, (uint64_t)next);
    weft__unlock(&k->t.lock);
    weft__exit();
}

void weft_ticker_start(weft_ticker *k, weft_duration period)
{
    ticker_start(k, period, "weft_ticker_start");
}

weft_ticker *weft_ticker_new(weft_duration period)
{
    weft_ticker *k = weft__alloc(1, sizeof(*k));

    k->t.timer.fire = fire_tick;
    k->t.chan = chan_new();
    ticker_start(k, period, "weft_ticker_new");
    return k;
}

void weft_ticker_stop(weft_ticker *k)
{
    weft__enter("weft_ticker_stop");
    weft__lock(&k->t.lock, WEFT__RANK_GROUP);
    ticker_stop(&k->t);
    weft__unlock(&k->t.lock);
    weft__exit();
}

weft_chan *weft_ticker_chan(weft_ticker *k)
{
    return k->t.chan;
}

void weft_ticker_free(weft_ticker *k)
{
    if (!k)
        return;
    if (weft__load_acq(&weft__sched.running))
        weft_ticker_stop(k);
    chan_free(k->t.chan);
    timer_free(&k->t);
}
