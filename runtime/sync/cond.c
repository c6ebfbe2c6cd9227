/* SPDX-License-Identifier: MIT */
/* cond.c - condition variables. _lock (rank OBJECT) guards the queue, in order of arrival.
 *
 * The waiter is queued before the mutex is released, so no signal that follows the release is
 * missed. A wait that timed out but was signaled meanwhile counts as signaled. */
#include "runtime/sync/mutex.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_cond) == 24, "part of the ABI");

static inline weft__waitq *queue(weft_cond *c)
{
    return (weft__waitq *)c->_waiters;
}

struct both {
    uint32_t *lock;
    weft_mutex *mutex;
    const void *site;
};

/* Releases both, the mutex last: its next holder may signal, and the waiter's stack may be gone. */
static void release(void *arg)
{
    struct both b = *(struct both *)arg;

    weft__unlock(b.lock);
    weft__mutex_unlock_in(b.mutex, NULL, b.site);
}

int weft_cond_wait_until(weft_cond *c, weft_mutex *m, weft_time deadline)
{
    weft__worker *w = weft__enter("weft_cond_wait");
    struct both held = {&c->_lock, m, __builtin_return_address(0)};
    weft__waiter wt;
    int rc;

    weft__waiter_init(&wt, w->task);
    weft__lock(&c->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(queue(c), &c->_run);
    weft__waitq_push(queue(c), &wt);
    rc = weft__park(w->task, WEFT__WAIT_COND, c, release, &held, deadline);
    if (rc < 0)
        weft__waitq_leave(queue(c), &wt, &c->_lock, WEFT__RANK_OBJECT);
    weft__mutex_lock_in(m, __builtin_return_address(0));
    weft__exit();
    return rc;
}

void weft_cond_signal(weft_cond *c)
{
    weft__waiter *wt;
    weft__task *t;

    weft__enter("weft_cond_signal");
    weft__lock(&c->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(queue(c), &c->_run);
    wt = weft__waitq_claim(queue(c), 0);
    t = wt ? wt->task : NULL;
    weft__unlock(&c->_lock);
    if (t)
        weft__ready(t);
    weft__exit();
}

void weft_cond_broadcast(weft_cond *c)
{
    weft__task *t = weft__enter("weft_cond_broadcast")->task;

    weft__lock(&c->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(queue(c), &c->_run);
    weft__wake_all(t, queue(c), &c->_lock);
    weft__exit_as(t);
}
