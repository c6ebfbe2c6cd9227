/* SPDX-License-Identifier: MIT */
/* toy_latch.c - see toy_latch.h. _lock (rank OBJECT) guards everything; _count == 0 and a waiter in
 * the queue, outside the lock, mean that a task is in the middle of waking them all. */
#include "toy_latch.h"

#include "runtime/sched/park.h"

static inline weft__waitq *queue(toy_latch *l)
{
    return (weft__waitq *)l->_waiters;
}

static void lock(toy_latch *l)
{
    weft__lock(&l->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(queue(l), &l->_run);
}

void toy_latch_down(toy_latch *l)
{
    weft__task *t = weft__enter("toy_latch_down")->task;

    lock(l);
    if (l->_count <= 0)
        weft__panic("toy: count down of latch %p, which is open", (void *)l);
    if (--l->_count == 0)
        weft__wake_all(t, queue(l), &l->_lock);
    else
        weft__unlock(&l->_lock);
    weft__exit_as(t);
}

int toy_latch_wait_until(toy_latch *l, weft_time deadline)
{
    weft__task *t = weft__enter("toy_latch_wait")->task;
    weft__waiter wt;
    int rc = 0;

    lock(l);
    if (l->_count == 0) {
        weft__unlock(&l->_lock);
    } else {
        weft__waiter_init(&wt, t);
        rc = weft__wait_in(queue(l), &wt, WEFT__WAIT_TOY_LATCH, l, &l->_lock, deadline);
    }
    weft__exit_as(t);
    return rc;
}
