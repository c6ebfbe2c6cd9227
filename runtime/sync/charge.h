/* SPDX-License-Identifier: MIT */
/* charge.h - the waiting that a lock's holders are charged with.
 *
 * On unlock the holder is charged with the time that all waiters have waited since the last charge.
 * The waiter in front keeps the books, so that nobody walks the queue: count is how many there are,
 * owed the sum of the instants from which each is to be charged. The caller holds the queue's lock;
 * no waiter of it ever leaves by itself.
 *
 * Each waiter that is let in makes a pair with the holder: from when it was queued last, so that a
 * waiter that lost to a barger makes one with each of the two, for different times. */
#ifndef WEFT_CHARGE_H
#define WEFT_CHARGE_H

#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sched/sinks.h"

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

static inline void weft__charge_push_front(weft__waitq *q, weft__waiter *wt, int64_t now)
{
    const weft__waiter *head = q->head;

    wt->count = (head ? head->count : 0) + 1;
    wt->owed = (head ? head->owed : 0) + (uint64_t)now;
    wt->from = now;
    weft__waitq_push_front(q, wt);
}

static inline uint32_t weft__charge_count(const weft__waitq *q)
{
    return q->head ? q->head->count : 0;
}

/* Takes the sum owed by now; nothing is owed after it. Sums may wrap, their difference does not. */
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

/* Pops the first waiter. To be called just after take, at the same instant. */
static inline weft__waiter *weft__charge_pop(weft__waitq *q, int64_t now)
{
    weft__waiter *wt = weft__waitq_pop(q), *head = q->head;

    if (wt && head) {
        head->count = wt->count - 1;
        head->owed = head->count * (uint64_t)now;
    }
    return wt;
}

/* Returns true if a window of the mutex profile began since charged, the instant of the lock's last
 * charge. Then weft__charge_cut computes how much of the charge lies in it. */
static inline bool weft__charge_is_cut(int64_t charged)
{
    return weft__unlikely(weft__load(&weft__windows.latest) > charged);
}

/* charge.c: fills inside with the time that the waiters of both queues have waited in each window,
 * and returns it. To be called before take. other may be NULL. */
const int64_t *weft__charge_cut(const weft__waitq *q, const weft__waitq *other, int64_t now,
                                int64_t inside[WEFT__WINDOWS]);

/* Records the samples of a charge and of its pair, if it has any. No lock is held, and first is
 * not ready yet. */
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
