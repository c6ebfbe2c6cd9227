/* SPDX-License-Identifier: MIT */
/* waitgroup.c - wait groups: a count, and tasks that wait until it is zero.
 *
 * Owns: weft_waitgroup.
 * Lock: _lock (rank OBJECT) guards every field.
 * Tasks and foreign threads call, and hold no lock of the runtime; the waits may wait.
 * Always, outside the lock: a count of zero and a queue that is not empty mean that a task is in
 * the middle of waking the waiters. */
#include "runtime/sched/park.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_waitgroup) == 32, "part of the ABI");

/* The public header has plain bytes for the queue, since it does not know waiters. */
static inline weft__waitq *queue(weft_waitgroup *wg)
{
    return (weft__waitq *)wg->_waiters;
}

/* Returns whether a task is in the middle of waking the waiters of wg. Caller holds the lock. */
static inline bool is_waking(weft_waitgroup *wg)
{
    weft__check_holds(&wg->_lock);
    weft__waitq_renew(queue(wg), &wg->_run);
    return wg->_count == 0 && queue(wg)->head;
}

/* Lets other tasks run until no task is waking. Caller holds the lock before and after it. */
static WEFT__NOINLINE void let_wake_end(weft_waitgroup *wg, weft__task *t)
{
    do {
        weft__unlock(&wg->_lock);
        weft__breathe(t);
        weft__lock(&wg->_lock, WEFT__RANK_OBJECT);
    } while (is_waking(wg));
}

/* Takes the lock at a moment when no task is waking. While one is, no wait may return, since its
 * task could free wg, and the count may not rise. */
static inline void lock(weft_waitgroup *wg, weft__task *t)
{
    weft__lock(&wg->_lock, WEFT__RANK_OBJECT);
    if (weft__unlikely(is_waking(wg)))
        let_wake_end(wg, t);
}

/* Wakes all waiters when the count reaches zero. The first of them that returns may free wg. */
void weft_waitgroup_add(weft_waitgroup *wg, int64_t n)
{
    weft__task *t = weft__enter("weft_waitgroup_add")->task;

    lock(wg, t);
    if (__builtin_add_overflow(wg->_count, n, &wg->_count))
        weft__panic("weft: weft_waitgroup_add of %lld overflows wait group %p", (long long)n,
                    (void *)wg);
    if (wg->_count < 0)
        weft__panic("sync: negative WaitGroup counter");
    if (wg->_count == 0 && queue(wg)->head)
        weft__wake_all(t, queue(wg), &wg->_lock);
    else
        weft__unlock(&wg->_lock);
    weft__exit_as(t);
}

int weft_waitgroup_wait_until(weft_waitgroup *wg, weft_time deadline)
{
    weft__task *t = weft__enter("weft_waitgroup_wait")->task;
    weft__waiter wt;
    int rc = 0;

    lock(wg, t);
    if (wg->_count == 0) {
        weft__unlock(&wg->_lock);
    } else {
        weft__waiter_init(&wt, t);
        rc = weft__wait_in(queue(wg), &wt, WEFT__WAIT_GROUP, wg, &wg->_lock, deadline);
    }
    weft__exit_as(t);
    return rc;
}
