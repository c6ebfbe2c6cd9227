/* SPDX-License-Identifier: MIT */
/* cond.c - condition variables.
 *
 * Owns: weft_cond.
 * Lock: c->_lock (rank OBJECT) guards the queue, which is in order of arrival.
 * Tasks and foreign threads call, and hold no lock of the runtime; the caller of wait holds the
 * mutex.
 *
 * The waiter is queued before the mutex is released, so a signal after the release finds it. A wait
 * whose deadline passes when it was signaled already counts as signaled: the signal is not lost. */
#include "runtime/sync/mutex.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_cond) == 24, "part of the ABI");

static inline weft__waitq *queue(weft_cond *c)
{
    return (weft__waitq *)c->_waiters;
}

/* The two locks that a wait releases, and the place of its call. */
struct both {
    uint32_t *lock;
    weft_mutex *mutex;
    const void *site;
};

/* Releases both locks after the task has left its stack. Copies them first: once the lock is
 * released, a signal may wake the task, and its stack with *arg changes. */
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
