/* SPDX-License-Identifier: MIT */
/* charge.h - charges the holder of a lock with the time that others waited for it.
 *
 * On unlock the holder is charged with the time that all waiters have waited since the last charge.
 * A walk of the queue would make each unlock cost as much as there are waiters. So the waiter in
 * front has two sums for the whole queue: `count`, the number of waiters, and `owed`, the sum of
 * the instants from which each of them is to be charged. The waiting time at instant now is
 * count * now - owed.
 *
 * Each waiter that an unlock lets in also makes a pair with the holder, for the time since it was
 * queued last. A waiter that lost to a barger is queued again, so it makes a pair with each of the
 * two holders, for different times.
 *
 * mutex.c and rwmutex.c call, and hold the lock of the queue, unless a function says otherwise. No
 * waiter of such a queue ever leaves by itself, so the sums stay right. */
#ifndef WEFT_CHARGE_H
#define WEFT_CHARGE_H

#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sched/sinks.h"

/* Queues a waiter at the end; it is charged from now on. */
static inline void weft__charge_push(weft__waitq *q, weft__waiter *wt, int64_t now)
{
    weft__waiter *head;

    wt->count = 0;
    wt->owed = 0;
    wt->from = now;
    weft__waitq_push(q, wt);
    head = q->head;
    head->count++;
    head->owed += (uint64_t)now;
}

/* Queues a waiter in front, which takes the sums over. */
static inline void weft__charge_push_front(weft__waitq *q, weft__waiter *wt, int64_t now)
{
    const weft__waiter *head = q->head;

    wt->count = (head ? head->count : 0) + 1;
    wt->owed = (head ? head->owed : 0) + (uint64_t)now;
    wt->from = now;
    weft__waitq_push_front(q, wt);
}

/* Returns the number of waiters. */
static inline uint32_t weft__charge_count(const weft__waitq *q)
{
    return q->head ? q->head->count : 0;
}

/* Returns the time that all waiters have waited since the last charge, and begins a new one:
 * nothing is owed at this instant. The sums may wrap around, but their difference is right. */
static inline int64_t weft__charge_take(weft__waitq *q, int64_t now)
{
    weft__waiter *head = q->head;
    uint64_t all, owed;

    if (!head)
        return 0;
    all = head->count * (uint64_t)now;
    owed = all - head->owed;
    head->owed = all;
    return (int64_t)owed;
}

/* Pops the first waiter, and hands the sums to the next one. Called right after take, with the same
 * instant: nothing is owed then, so the new sum is known without a walk. */
static inline weft__waiter *weft__charge_pop(weft__waitq *q, int64_t now)
{
    weft__waiter *wt = weft__waitq_pop(q), *head = q->head;

    if (wt && head) {
        head->count = wt->count - 1;
        head->owed = head->count * (uint64_t)now;
    }
    return wt;
}

/* Returns whether a window of the mutex profile began after `charged`, the instant of the lock's
 * last charge. If so, weft__charge_cut computes the part of the charge that lies in the window. */
static inline bool weft__charge_is_cut(int64_t charged)
{
    return weft__unlikely(weft__load(&weft__windows.latest) > charged);
}

/* charge.c. Fills inside with the time that the waiters of both queues have waited in each window,
 * and returns it. Called before take, which forgets the waiters' sum. other may be NULL. */
const int64_t *weft__charge_cut(const weft__waitq *q, const weft__waitq *other, int64_t now,
                                int64_t inside[WEFT__WINDOWS]);

/* Records a charge and its pair, if they are sampled. Called without locks, since the sampler walks
 * a stack, and before `first` is made ready, since the sampler reads its record. */
static inline void weft__charge(const struct weft__charge *c)
{
    weft__worker *w = weft__self();
    bool charged, paired;

    if (!c->first || weft__load(&weft__charge_period) == 0)
        return;
    charged = weft__sub_own(&w->charges.left, c->waited);
    paired = weft__sub_own(&w->pairs.left, c->first_waited);
    if (charged || paired)
        weft__tell_held_up(c, charged, paired);
}

/* Records the pair of another waiter that the same unlock lets in. */
static inline void weft__charge_pair(const struct weft__charge *c, const weft__waiter *wt)
{
    struct weft__charge other = *c;

    other.first = wt->task;
    other.first_waited = c->now - wt->from;
    if (weft__load(&weft__charge_period) != 0 &&
        weft__sub_own(&weft__self()->pairs.left, other.first_waited))
        weft__tell_held_up(&other, false, true);
}

#endif
