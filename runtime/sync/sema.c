/* SPDX-License-Identifier: MIT */
/* sema.c - counting semaphores and wait groups. _lock (rank OBJECT) guards everything.
 *
 * A semaphore is first come, first served: while a task waits no other overtakes, so a wait for
 * many units is not starved by waits for few. A wait that gives up may unblock those behind it. */
#include "runtime/sched/park.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_sema) == 32, "part of the ABI");
_Static_assert(sizeof(weft_waitgroup) == 32, "part of the ABI");

static inline weft__waitq *squeue(weft_sema *s)
{
    return (weft__waitq *)s->_waiters;
}

/* Serves the front while there are units; the tasks to make ready go to woken. Caller holds the
 * lock. */
static void serve(weft_sema *s, weft__waitq *woken)
{
    weft__check_holds(&s->_lock);
    weft__waiter *wt;

    while ((wt = squeue(s)->head) != NULL && wt->n <= s->_count) {
        weft__waitq_remove(squeue(s), wt);
        if (weft__claim(wt->task, wt->ticket, 0)) {
            s->_count -= wt->n;
            weft__waitq_push(woken, wt);
        }
    }
}

static void ready_all(weft__waitq *woken)
{
    weft__waiter *wt;

    while ((wt = weft__waitq_pop(woken)) != NULL)
        weft__ready(wt->task);
}

int weft_sema_wait_until(weft_sema *s, int64_t n, weft_time deadline)
{
    weft__worker *w = weft__enter("weft_sema_wait");
    weft__waitq woken = {NULL, NULL};
    weft__waiter wt;
    int rc = 0;

    if (n <= 0)
        weft__panic("weft: weft_sema_wait for %lld units", (long long)n);
    weft__lock(&s->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(squeue(s), &s->_run);
    if (!squeue(s)->head && s->_count >= n) {
        s->_count -= n;
        weft__unlock(&s->_lock);
    } else {
        weft__waiter_init(&wt, w->task);
        wt.n = n;
        weft__waitq_push(squeue(s), &wt);
        rc = weft__park_unlock(w->task, WEFT__WAIT_SEMA, s, &s->_lock, deadline);
        if (rc < 0) {
            weft__lock(&s->_lock, WEFT__RANK_OBJECT);
            weft__waitq_remove(squeue(s), &wt);
            serve(s, &woken);
            weft__unlock(&s->_lock);
            ready_all(&woken);
        }
    }
    weft__exit();
    return rc;
}

void weft_sema_add(weft_sema *s, int64_t n)
{
    weft__waitq woken = {NULL, NULL};

    weft__enter("weft_sema_add");
    if (n <= 0)
        weft__panic("weft: weft_sema_add of %lld units", (long long)n);
    weft__lock(&s->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(squeue(s), &s->_run);
    if (__builtin_add_overflow(s->_count, n, &s->_count))
        weft__panic("weft: weft_sema_add of %lld units overflows semaphore %p", (long long)n,
                    (void *)s);
    serve(s, &woken);
    weft__unlock(&s->_lock);
    ready_all(&woken);
    weft__exit();
}

static inline weft__waitq *wqueue(weft_waitgroup *wg)
{
    return (weft__waitq *)wg->_waiters;
}

void weft_waitgroup_add(weft_waitgroup *wg, int64_t n)
{
    weft__waitq woken = {NULL, NULL};
    weft__waiter *wt;

    weft__enter("weft_waitgroup_add");
    weft__lock(&wg->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(wqueue(wg), &wg->_run);
    if (__builtin_add_overflow(wg->_count, n, &wg->_count))
        weft__panic("weft: weft_waitgroup_add of %lld overflows wait group %p", (long long)n,
                    (void *)wg);
    if (wg->_count < 0)
        weft__panic("sync: negative WaitGroup counter");
    while (wg->_count == 0 && (wt = weft__waitq_claim(wqueue(wg), 0)) != NULL)
        weft__waitq_push(&woken, wt);
    weft__unlock(&wg->_lock);
    ready_all(&woken);
    weft__exit();
}

int weft_waitgroup_wait_until(weft_waitgroup *wg, weft_time deadline)
{
    weft__worker *w = weft__enter("weft_waitgroup_wait");
    weft__waiter wt;
    int rc = 0;

    weft__lock(&wg->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(wqueue(wg), &wg->_run);
    if (wg->_count == 0) {
        weft__unlock(&wg->_lock);
    } else {
        weft__waiter_init(&wt, w->task);
        weft__waitq_push(wqueue(wg), &wt);
        rc = weft__park_unlock(w->task, WEFT__WAIT_GROUP, wg, &wg->_lock, deadline);
        if (rc < 0) {
            weft__lock(&wg->_lock, WEFT__RANK_OBJECT);
            weft__waitq_remove(wqueue(wg), &wt);
            weft__unlock(&wg->_lock);
        }
    }
    weft__exit();
    return rc;
}
