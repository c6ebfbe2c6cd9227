/* SPDX-License-Identifier: MIT */
/* charge.h - the waiting that a lock's holders are charged with.
 *
 * Who lets go is charged with what all that wait have waited since somebody was charged last. The
 * waiter in front keeps the books, so that nobody walks the queue: count is how many there are,
 * owed the sum of the instants from which each is to be charged. Under the lock of the queue; no
 * waiter of it ever leaves by itself. */
#ifndef WEFT_CHARGE_H
#define WEFT_CHARGE_H

#include "observe.h"
#include "park.h"

static inline void weft__charge_push(weft__waitq *q, weft__waiter *wt, int64_t now)
{
    weft__waiter *head;

    wt->count = 0;
    wt->owed = 0;
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
    weft__waitq_push_front(q, wt);
}

/* What is owed by now; from here on nothing is. Sums may wrap, their difference does not. */
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

/* Just after take. */
static inline weft__waiter *weft__charge_pop(weft__waitq *q, int64_t now)
{
    weft__waiter *wt = weft__waitq_pop(q), *head = q->head;

    if (wt && head) {
        head->count = wt->count - 1;
        head->owed = head->count * (uint64_t)now;
    }
    return wt;
}

/* Without locks, before first is made ready. */
static inline void weft__charge(const struct weft__charge *c)
{
    if (c->first && weft__load(&weft__charge_period) != 0 &&
        weft__sub_own(&weft__self()->charges.left, c->waited))
        weft__hooks.held_up(c);
}

#endif
