/* SPDX-License-Identifier: MIT */
/* lock.h - the runtime's own lock: one word, held for a few instructions, never over a call that
 * may block, but possibly over a switch (park hands it to the next context, which releases it).
 *
 * Ranks, ascending; a thread takes them in this order only:
 * GROUP, OBJECT (select: several by address), TIMERS, RUNQ, TASKS. No task is made ready while a
 * lock above OBJECT is held. Releasing is one store: the next holder may free the lock. */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

#include "runtime/base/atomic.h"

enum { WEFT__FREED = 0x0ddc0ffe }; /* the lock of an object that was freed: taking it panics */

void weft__lock_slow(uint32_t *lock); /* panics, too, if it lasts for many seconds */
extern uint32_t weft__lock_sleeps;    /* how often it sleeps before that */

static inline bool weft__trylock(uint32_t *lock)
{
    uint32_t free = 0;

    return weft__load(lock) == 0 && weft__cas(lock, &free, 1);
}

static inline void weft__lock(uint32_t *lock)
{
    uint32_t free = 0;

    if (weft__unlikely(!weft__cas(lock, &free, 1)))
        weft__lock_slow(lock);
}

static inline void weft__unlock(uint32_t *lock)
{
    weft__check(weft__load(lock) == 1);
    weft__store_rel(lock, 0);
}

/* Sleeping on a word of one's own. lock.c */
void weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns /* < 0: none */);
void weft__futex_wake(uint32_t *word, int n); /* async-signal-safe */

#endif
