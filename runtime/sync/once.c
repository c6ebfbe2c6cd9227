/* SPDX-License-Identifier: MIT */
/* once.c - one call of a function. _state: NEW -> BUSY -> DONE; DONE is read without the lock and
 * written after the function returned. _owner is right while BUSY; deadlock reports read it without
 * the lock. _lock (rank OBJECT) guards the rest. */
#include "runtime/sched/park.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_once) == 32, "part of the ABI");

enum { NEW, BUSY, DONE, RUN = 4 /* above: BUSY has the number of the run */ };

static uint32_t busy(void)
{
    return BUSY + RUN * weft__run_number;
}

static inline weft__waitq *queue(weft_once *o)
{
    return (weft__waitq *)o->_waiters;
}

/* From the unlock on o may be freed, as later callers see that it is done. Nothing else ends these
 * waits, so they are claimed after it. */
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

/* Returns true if the caller must call the function. */
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
    if (weft__likely(weft__load_acq(&o->_state) == DONE && !weft__forked) || !elected(o))
        return;
    fn(arg);
    finished(o);
}
