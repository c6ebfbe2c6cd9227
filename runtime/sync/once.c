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

static void finished(weft_once *o)
{
    weft__waitq woken = {NULL, NULL};
    weft__waiter *wt;

    weft__enter("weft_once_do");
    weft__lock(&o->_lock, WEFT__RANK_OBJECT);
    weft__store_rel(&o->_state, DONE);
    while ((wt = weft__waitq_claim(queue(o), 0)) != NULL)
        weft__waitq_push(&woken, wt);
    weft__unlock(&o->_lock);
    while ((wt = weft__waitq_pop(&woken)) != NULL)
        weft__ready(wt->task);
    weft__exit();
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
        weft__waitq_push(queue(o), &wt);
        weft__park_unlock(w->task, WEFT__WAIT_ONCE, o, &o->_lock, WEFT_FOREVER);
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
