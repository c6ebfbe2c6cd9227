/* SPDX-License-Identifier: MIT */
/* mutex.c - mutexes: barging, fair after a millisecond, with an owner.
 *
 * state: the holder's id << HOLDER, 0 while it is free; WAITERS: the queue is not empty, so unlock
 * must look at it; STARVING: the mutex is handed to the waiter in front, and nobody barges.
 * m->_lock (rank OBJECT) guards the queue, and the two flags are set and cleared under it. Holder
 * and lock are one word: no dump sees a mutex held by nobody, or by one who has let go.
 *
 * Not starving, unlock frees the mutex and wakes the waiter in front, which competes with whoever
 * runs: that one has the mutex in its cache and needs no switch. A waiter that lost for a
 * millisecond turns on STARVING; then unlock passes the mutex on. It ends with the last waiter or
 * one that waited less. */
#include "mutex.h"

#include "charge.h"
#include "observe.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_mutex) == 40, "part of the ABI");

enum { WAITERS = 1, STARVING = 2, HOLDER = WEFT__MUTEX_HOLDER };
enum { COMPETE, HANDED_OVER }; /* what a waiter is told */

static inline weft__waitq *queue(weft_mutex *m)
{
    return (weft__waitq *)m->_waiters;
}

static inline bool may_take(uint64_t state)
{
    return !(state >> HOLDER) && !(state & STARVING);
}

/* Tries to take the mutex for a task from whatever state allows it. */
static bool grab(weft_mutex *m, uint64_t id)
{
    uint64_t state = weft__load(&m->_state);

    while (may_take(state)) {
        if (weft__cas(&m->_state, &state, state | id << HOLDER))
            return true;
    }
    return false;
}

/* Under m->_lock: promises that unlock will look at the queue; false if the mutex came free. */
static bool announce(weft_mutex *m)
{
    uint64_t state = weft__load(&m->_state);

    while (!may_take(state)) {
        if ((state & WAITERS) || weft__cas(&m->_state, &state, state | WAITERS))
            return true;
    }
    return false;
}

/* Under m->_lock. True if there was a queue of an earlier run, which is forgotten now. */
static bool renewed(weft_mutex *m)
{
    if (m->_run == weft__run_number)
        return false;
    weft__waitq_renew(queue(m), &m->_run);
    return weft__and(&m->_state, ~(uint64_t)(WAITERS | STARVING)) & WAITERS;
}

/* Under m->_lock, before the first wait of this run. */
static void not_of_an_earlier_run(weft_mutex *m)
{
    uint64_t holder = weft__load(&m->_state) >> HOLDER;

    if (m->_run != weft__run_number && holder != 0 && holder < weft__first_id)
        weft__panic("weft: mutex %p was locked by task %llu in an earlier run, which has ended",
                    (void *)m, (unsigned long long)holder);
    renewed(m);
}

static WEFT__NOINLINE void lock_slow(weft_mutex *m, weft__task *t)
{
    int64_t since = 0, now;
    weft__waiter wt;

    for (;;) {
        weft__lock(&m->_lock);
        not_of_an_earlier_run(m);
        if (!announce(m)) {
            weft__unlock(&m->_lock);
            if (grab(m, t->id))
                return;
            continue;
        }
        weft__waiter_init(&wt, t);
        now = since != 0 && t->worker->now != WEFT__UNKNOWN ? t->worker->now : weft__ticks();
        wt.index = since != 0 && now - since > weft__clock_ms; /* it starves */
        if (wt.index)
            weft__or(&m->_state, STARVING);
        if (since == 0) {
            since = now;
            weft__charge_push(queue(m), &wt, now);
        } else {
            weft__charge_push_front(queue(m), &wt, now);
        }
        wt.n = since;
        if (weft__park_unlock(t, WEFT__WAIT_MUTEX, m, &m->_lock, WEFT_FOREVER) == HANDED_OVER)
            return;
        if (grab(m, t->id))
            return;
    }
}

void weft__mutex_lock_at(weft_mutex *m, void *site)
{
    weft__task *t = weft__self()->task;

    if (!grab(m, t->id))
        lock_slow(m, t);
    weft__store(&m->_site, site);
}

static WEFT__NOINLINE void lock_contended(weft_mutex *m, void *site)
{
    weft__enter("weft_mutex_lock");
    weft__mutex_lock_at(m, site);
    weft__exit();
}

/* The id first: what is read after a locked instruction waits for it. */
void weft_mutex_lock(weft_mutex *m)
{
    uint64_t free = 0, id = weft__caller("weft_mutex_lock")->id;

    if (weft__likely(weft__cas(&m->_state, &free, id << HOLDER)))
        weft__store(&m->_site, __builtin_return_address(0));
    else
        lock_contended(m, __builtin_return_address(0));
}

bool weft_mutex_trylock(weft_mutex *m)
{
    if (!grab(m, weft__caller("weft_mutex_trylock")->id))
        return false;
    weft__store(&m->_site, __builtin_return_address(0));
    return true;
}

/* Under m->_lock. The flags for a queue whose front is about to be woken. */
static uint64_t flags_left(weft_mutex *m)
{
    return queue(m)->head ? WAITERS : 0;
}

/* Under m->_lock: frees it for wt, which was claimed and left the queue, or hands it over. */
static void pass_to(weft_mutex *m, const weft__waiter *wt, int64_t now)
{
    bool starving;

    if (wt->task->result != HANDED_OVER) {
        weft__store_rel(&m->_state, flags_left(m));
        return;
    }
    starving = queue(m)->head && now - wt->n > weft__clock_ms;
    weft__store_rel(&m->_state,
                    wt->task->id << HOLDER | flags_left(m) | (starving ? STARVING : 0u));
}

/* Whoever gets the mutex may free it: so it is let go by one instruction, or else all is done
 * before the one that waits is made ready. */
void weft__mutex_unlock_in(weft_mutex *m, weft__task *self, const void *site)
{
    struct weft__charge c = {.self = self, .site = site};
    uint64_t held = weft__load(&m->_state) >> HOLDER;
    weft__waiter *wt;
    bool claimed;
    int64_t now;

    if (!held)
        weft__fatal("sync: unlock of unlocked mutex (%p)", (void *)m);
    held <<= HOLDER;
    if (weft__cas(&m->_state, &held, 0))
        return;
    weft__lock(&m->_lock);
    if (weft__unlikely(renewed(m))) {
        weft__unlock(&m->_lock);
        weft__mutex_unlock_in(m, self, site);
        return;
    }
    now = weft__ticks();
    c.now = now;
    c.waited = weft__charge_take(queue(m), now);
    wt = weft__charge_pop(queue(m), now);
    if (!wt) /* the state told of waiters: another unlock was quicker */
        weft__fatal("sync: unlock of unlocked mutex (%p)", (void *)m);
    claimed = weft__claim(wt->task, wt->ticket,
                          wt->index || (weft__load(&m->_state) & STARVING) ? HANDED_OVER : COMPETE);
    weft__assert(claimed); /* nothing but unlock ends a wait for a mutex */
    pass_to(m, wt, now);
    c.first = wt->task;
    c.first_waited = now - wt->n;
    weft__unlock(&m->_lock);
    weft__charge(&c);
    weft__ready(c.first);
}

/* False if somebody waits, or id does not hold it. The state is not read: that would wait for the
 * locked instruction that took the mutex. */
static inline bool unlock_alone(weft_mutex *m, uint64_t id)
{
    uint64_t state = id << HOLDER;

    return weft__likely(weft__cas(&m->_state, &state, 0));
}

static WEFT__NOINLINE void unlock_contended(weft_mutex *m)
{
    weft__mutex_unlock_in(m, weft__enter("weft_mutex_unlock")->task, NULL);
    weft__exit();
}

void weft_mutex_unlock(weft_mutex *m)
{
    if (!unlock_alone(m, weft__caller("weft_mutex_unlock")->id))
        unlock_contended(m);
}

void weft_mutex_assert_held(const weft_mutex *m)
{
    if (weft__load(&m->_state) >> HOLDER != weft__caller("weft_mutex_assert_held")->id)
        weft__panic("weft: mutex %p is not held by the caller", (const void *)m);
}
