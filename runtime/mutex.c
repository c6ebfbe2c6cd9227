/* SPDX-License-Identifier: MIT */
/* mutex.c - mutexes: barging, fair after a millisecond, with an owner.
 *
 * word: LOCKED; WAITERS: the queue is not empty, so unlock must look at it; STARVING: the mutex is
 * handed to the waiter in front, and nobody barges. m->_lock (rank OBJECT) guards the queue, and
 * WAITERS and STARVING are set and cleared under it. _owner and _site are written by the holder
 * and read by dumps.
 *
 * Not starving, unlock frees the word and wakes the waiter in front, which competes with whoever
 * runs: that one has the mutex in its cache and needs no switch. A waiter that lost for a
 * millisecond turns on STARVING; then unlock passes LOCKED on. It ends with the last waiter or one
 * that waited less. */
#include "mutex.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_mutex) == 40, "part of the ABI");

enum { LOCKED = 1, WAITERS = 2, STARVING = 4 };

#define STARVED INT64_C(1000000) /* ns */

static inline weft__waitq *queue(weft_mutex *m)
{
    return (weft__waitq *)m->_waiters;
}

static inline void owned(weft_mutex *m, uint64_t id, void *site)
{
    weft__store(&m->_owner, id);
    weft__store(&m->_site, site);
}

/* Tries to take the mutex from whatever state allows it. */
static bool grab(weft_mutex *m)
{
    uint32_t word = weft__load(&m->_word);

    while (!(word & (LOCKED | STARVING))) {
        if (weft__cas(&m->_word, &word, word | LOCKED))
            return true;
    }
    return false;
}

/* Under m->_lock: promises that unlock will look at the queue; false if the mutex came free. */
static bool announce(weft_mutex *m)
{
    uint32_t word = weft__load(&m->_word);

    for (;;) {
        if (!(word & (LOCKED | STARVING)))
            return false;
        if ((word & WAITERS) || weft__cas(&m->_word, &word, word | WAITERS))
            return true;
    }
}

static WEFT__NOINLINE void lock_slow(weft_mutex *m, weft__task *t)
{
    int64_t since = 0;
    weft__waiter wt;

    for (;;) {
        weft__lock(&m->_lock);
        if (!announce(m)) {
            weft__unlock(&m->_lock);
            if (grab(m))
                return;
            continue;
        }
        weft__waiter_init(&wt, t);
        wt.index = since != 0 && weft__nanos() - since > STARVED; /* it starves */
        if (wt.index)
            weft__or(&m->_word, STARVING);
        if (since == 0) {
            since = weft__nanos();
            weft__waitq_push(queue(m), &wt);
        } else {
            weft__waitq_push_front(queue(m), &wt);
        }
        wt.n = since;
        if (weft__park_unlock(t, WEFT__WAIT_MUTEX, m, &m->_lock, WEFT_FOREVER) == LOCKED)
            return; /* handed over */
        if (grab(m))
            return;
    }
}

void weft__mutex_lock_at(weft_mutex *m, void *site)
{
    weft__task *t = weft__self()->task;

    if (!grab(m))
        lock_slow(m, t);
    owned(m, t->id, site);
}

static WEFT__NOINLINE void lock_contended(weft_mutex *m, void *site)
{
    weft__enter("weft_mutex_lock");
    weft__mutex_lock_at(m, site);
    weft__exit();
}

void weft_mutex_lock(weft_mutex *m)
{
    uint32_t free = 0;

    if (weft__likely(weft__cas(&m->_word, &free, LOCKED)))
        owned(m, weft__caller("weft_mutex_lock")->id, __builtin_return_address(0));
    else
        lock_contended(m, __builtin_return_address(0));
}

bool weft_mutex_trylock(weft_mutex *m)
{
    if (!grab(m))
        return false;
    owned(m, weft__caller("weft_mutex_trylock")->id, __builtin_return_address(0));
    return true;
}

/* Under m->_lock. The flags for a queue whose front is about to be woken. */
static uint32_t flags_left(weft_mutex *m)
{
    return queue(m)->head ? WAITERS : 0;
}

/* Somebody waits. Whoever is woken may free the mutex, so all is done before weft__ready. */
static WEFT__NOINLINE void unlock_slow(weft_mutex *m)
{
    weft__waiter *wt;
    weft__task *t;

    weft__lock(&m->_lock);
    wt = weft__waitq_pop(queue(m));
    if (!wt || !weft__claim(wt->task, wt->ticket,
                            wt->index || (weft__load(&m->_word) & STARVING) ? LOCKED : 0)) {
        weft__assert(!wt); /* nothing but unlock ends a wait for a mutex */
        weft__store_rel(&m->_word, 0);
        weft__unlock(&m->_lock);
        return;
    }
    t = wt->task;
    if (t->result == LOCKED) {
        bool starving = queue(m)->head && weft__nanos() - wt->n > STARVED;

        weft__store_rel(&m->_word, LOCKED | flags_left(m) | (starving ? STARVING : 0u));
    } else {
        weft__store_rel(&m->_word, flags_left(m));
    }
    weft__unlock(&m->_lock);
    weft__ready(t);
}

/* False if somebody waits. */
static inline bool unlock_alone(weft_mutex *m)
{
    uint32_t word = LOCKED;

    weft__store(&m->_owner, 0);
    if (weft__likely(weft__cas(&m->_word, &word, 0)))
        return true;
    if (!(word & LOCKED))
        weft__fatal("sync: unlock of unlocked mutex (%p)", (void *)m);
    return false;
}

void weft__mutex_unlock_in(weft_mutex *m)
{
    if (!unlock_alone(m))
        unlock_slow(m);
}

void weft_mutex_unlock(weft_mutex *m)
{
    if (weft__likely(unlock_alone(m)))
        return;
    weft__enter("weft_mutex_unlock");
    unlock_slow(m);
    weft__exit();
}

void weft_mutex_assert_held(const weft_mutex *m)
{
    if (!(weft__load(&m->_word) & LOCKED) ||
        weft__load(&m->_owner) != weft__caller("weft_mutex_assert_held")->id)
        weft__panic("weft: mutex %p is not held by the caller", (const void *)m);
}
