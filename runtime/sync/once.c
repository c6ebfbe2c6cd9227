/* SPDX-License-Identifier: MIT */
/* once.c - one call of a function, however many tasks ask for it.
 *
 * Owns: weft_once. _state goes from NEW to BUSY to DONE.
 * Lock: o->_lock (rank OBJECT) guards all fields. DONE is also read without the lock, and is
 * written after the function has returned, so a reader of DONE sees the function's effects. _owner
 * is right while BUSY; deadlock reports read it without the lock. Tasks and foreign threads call
 * weft_once_do, and hold no lock of the runtime; it may wait. */
#include "runtime/sched/park.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_once) == 32, "part of the ABI");

/* RUN: BUSY also has the number of the run, times RUN, so that a call of an earlier run is
 * known. */
enum { NEW, BUSY, DONE, RUN = 4 };

/* Returns BUSY of this run. */
static uint32_t busy(void)
{
    return BUSY + RUN * weft__run_number;
}

static inline weft__waitq *queue(weft_once *o)
{
    return (weft__waitq *)o->_waiters;
}

/* Returns whether the function was called and o may be freed. finished stores DONE under the lock:
 * a caller that sees DONE while the lock is held takes the lock as well, so that finished has
 * released it before that caller returns. */
static inline bool is_done(weft_once *o)
{
    return weft__load_acq(&o->_state) == DONE && weft__load_acq(&o->_lock) == 0;
}

/* Marks the function as called and wakes the tasks that wait. From the unlock on o may be freed,
 * since later callers see that it is done. So the queue is taken out of o under the lock, and its
 * waiters are claimed afterwards; no deadline or cancellation ends these waits meanwhile. */
static void finished(weft_once *o)
{
    weft__task *t = weft__enter("weft_once_do")->task;
    weft__waitq waiting;
    weft__waiter *wt;

    weft__lock(&o->_lock, WEFT__RANK_OBJECT);
    weft__store_rel(&o->_state, DONE);
    waiting = weft__waitq_take(queue(o));
    weft__unlock(&o->_lock);
    for (unsigned i = 0; (wt = weft__waitq_claim(&waiting, 0)) != NULL; i++) {
        weft__ready(wt->task);
        weft__breathe_at(i, t);
    }
    weft__exit_as(t);
}

/* Returns true if the caller must call the function; else waits until another task has. */
static bool elected(weft_once *o)
{
    weft__worker *w = weft__enter("weft_once_do");
    weft__waiter wt;
    bool mine;

    weft__lock(&o->_lock, WEFT__RANK_OBJECT);
    mine = o->_state == NEW;
    if (o->_state % RUN == BUSY) {
        if (o->_state != busy())
            weft__panic("weft: once %p was begun in an earlier run, which has ended", (void *)o);

        weft__waiter_init(&wt, w->task);
        weft__wait_in(queue(o), &wt, WEFT__WAIT_ONCE, o, &o->_lock, WEFT_FOREVER);
    } else {
        if (mine) {
            weft__store(&o->_owner, w->task->id);
            weft__store(&o->_state, busy());
        }
        weft__unlock(&o->_lock);
    }
    weft__exit();
    return mine;
}

void weft_once_do(weft_once *o, void (*fn)(void *arg), void *arg)
{
    if (weft__likely(is_done(o) && !weft__forked) || !elected(o))
        return;
    fn(arg);
    finished(o);
}
