/* SPDX-License-Identifier: MIT */
/* sema.c - counting semaphores.
 *
 * Owns: weft_sema.
 * Lock: _lock (rank OBJECT) guards every field.
 * Tasks and foreign threads call, and hold no lock of the runtime; the waits may wait.
 *
 * A semaphore serves in order of arrival: no task overtakes one that waits. So a wait for many
 * units is not starved by waits for few. The price is that free units may lie idle behind the
 * waiter in front. A wait that gives up may therefore unblock the waits behind it. */
#include "runtime/sched/park.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_sema) == 32, "part of the ABI");

/* The public header has plain bytes for the queue, since it does not know waiters. */
static inline weft__waitq *queue(weft_sema *s)
{
    return (weft__waitq *)s->_waiters;
}

/* Returns whether there are units for the waiter in front. Caller holds the lock. */
static inline bool can_serve(weft_sema *s)
{
    const weft__waiter *wt = queue(s)->head;

    weft__check_holds(&s->_lock);
    return wt && wt->n <= s->_count;
}

/* Serves waiters from the front, WEFT__PIECE at most, and moves them to woken, for the caller to
 * make ready after the unlock. There are units for the first. Returns whether more can be served. A
 * waiter whose claim fails has timed out or was canceled, and takes no units. Caller holds the
 * lock. */
static inline bool serve_piece(weft_sema *s, weft__waitq *woken)
{
    weft__waiter *wt;

    for (int n = 0; n < WEFT__PIECE; n++) {
        wt = weft__waitq_pop(queue(s));
        if (weft__claim(wt->task, wt->ticket, 0)) {
            s->_count -= wt->n;
            weft__waitq_push(woken, wt);
        }
        if (!can_serve(s))
            return false;
    }
    return true;
}

/* Serves waiters from the front while there are units. With many waiters other tasks run between
 * the pieces. A mark in front then keeps every other call from serving, since there are never
 * enough units for it: the last task that is served may free s, so only this call may serve it. t
 * is the calling task. Caller holds the lock, which this function releases. */
static WEFT__NOINLINE void serve_front(weft_sema *s, weft__task *t)
{
    weft__waitq woken = {NULL, NULL};
    weft__waiter mark;

    while (serve_piece(s, &woken)) {
        weft__waiter_mark(&mark, t);
        mark.n = INT64_MAX;
        weft__waitq_push_front(queue(s), &mark);
        weft__unlock(&s->_lock);
        weft__ready_all(&woken);
        weft__breathe(t);
        weft__lock(&s->_lock, WEFT__RANK_OBJECT);
        weft__waitq_remove(queue(s), &mark);
        if (!can_serve(s))
            break;
    }
    weft__unlock(&s->_lock);
    weft__ready_all(&woken);
}

/* Does the same; the quick test keeps the common call small. */
static inline void serve(weft_sema *s, weft__task *t)
{
    if (can_serve(s))
        serve_front(s, t);
    else
        weft__unlock(&s->_lock);
}

int weft_sema_wait_until(weft_sema *s, int64_t n, weft_time deadline)
{
    weft__task *t = weft__enter("weft_sema_wait")->task;
    weft__waiter wt;
    int rc = 0;

    if (n <= 0)
        weft__panic("weft: weft_sema_wait for %lld units", (long long)n);
    weft__lock(&s->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(queue(s), &s->_run);
    if (!queue(s)->head && s->_count >= n) {
        s->_count -= n;
        weft__unlock(&s->_lock);
    } else {
        weft__waiter_init(&wt, t);
        wt.n = n;
        rc = weft__wait_in(queue(s), &wt, WEFT__WAIT_SEMA, s, &s->_lock, deadline);
        if (rc < 0) {
            weft__lock(&s->_lock, WEFT__RANK_OBJECT);
            serve(s, t);
        }
    }
    weft__exit_as(t);
    return rc;
}

void weft_sema_add(weft_sema *s, int64_t n)
{
    weft__task *t = weft__enter("weft_sema_add")->task;

    if (n <= 0)
        weft__panic("weft: weft_sema_add of %lld units", (long long)n);
    weft__lock(&s->_lock, WEFT__RANK_OBJECT);
    weft__waitq_renew(queue(s), &s->_run);
    if (__builtin_add_overflow(s->_count, n, &s->_count))
        weft__panic("weft: weft_sema_add of %lld units overflows semaphore %p", (long long)n,
                    (void *)s);
    serve(s, t);
    weft__exit_as(t);
}
