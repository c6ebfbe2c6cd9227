/* SPDX-License-Identifier: MIT */
/* lock.h - the runtime's own lock: one word, held for a few instructions, never over a call that
 * may block, but possibly over a switch (park hands it to the next context, which releases it).
 *
 * A lock's word is 0, or the rank of what it guards while a thread holds it. A thread takes locks
 * by ascending rank, and makes no task ready under one above OBJECT. With WEFT_CHECK=2 each lock
 * and unlock checks that, by counts of the calling thread. Releasing is one store: the next holder
 * may free the lock. */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

#include "runtime/base/atomic.h"

enum { WEFT__FREED = 0x0ddc0ffe }; /* the lock of an object that was freed: taking it panics */

void weft__lock_slow(uint32_t *lock, uint32_t rank); /* panics, too, if it lasts for many seconds */
extern uint32_t weft__lock_sleeps;                   /* how often it sleeps before that */

enum weft__rank {
    WEFT__RANK_GROUP = 1, /* groups, timers' own locks, signals: held over operations on objects */
    WEFT__RANK_OBJECT,    /* channels, locks, sockets ...; select holds several, by address */
    WEFT__RANK_TIMERS,    /* a processor's heap */
    WEFT__RANK_RUNQ,      /* queues, workers and their supply */
    WEFT__RANK_TABLES, /* sets of labels, the sweep of ended tasks: held over a registry's lock */
    WEFT__RANK_TASKS,  /* registries */
    WEFT__RANK_LEAF,   /* what is held over no other lock */
    WEFT__RANKS
};

#if WEFT_CHECK >= 2
void weft__rank_taken(const uint32_t *lock, enum weft__rank rank); /* panics if one above is held */
void weft__rank_tried(enum weft__rank rank);
void weft__rank_released(const uint32_t *lock);
bool weft__rank_holds(uint32_t rank);
bool weft__rank_allows_ready(void); /* the caller may make a task ready */
void weft__rank_forget(void);       /* the calling thread writes a report, whatever it holds */
#else
static inline void weft__rank_taken(const uint32_t *lock, enum weft__rank rank)
{
    (void)lock, (void)rank;
}
static inline void weft__rank_tried(enum weft__rank rank)
{
    (void)rank;
}
static inline void weft__rank_released(const uint32_t *lock)
{
    (void)lock;
}
static inline void weft__rank_forget(void)
{
}
#endif
/* The first line of a function whose caller holds that lock. */
#define weft__check_holds(lock) weft__check(weft__rank_holds(weft__load(lock)))

static inline bool weft__trylock(uint32_t *lock, enum weft__rank rank)
{
    uint32_t free = 0;

    if (weft__load(lock) != 0 || !weft__cas(lock, &free, (uint32_t)rank))
        return false;
    weft__rank_tried(rank);
    return true;
}

static inline void weft__lock(uint32_t *lock, enum weft__rank rank)
{
    uint32_t free = 0;

    weft__rank_taken(lock, rank);
    if (weft__unlikely(!weft__cas(lock, &free, (uint32_t)rank)))
        weft__lock_slow(lock, rank);
}

static inline void weft__unlock(uint32_t *lock)
{
    weft__rank_released(lock);
    weft__store_rel(lock, 0);
}

/* Releases the lock of an object that is to be freed. A call that takes it panics. */
static inline void weft__lock_poison(uint32_t *lock)
{
    weft__rank_released(lock);
    weft__store_rel(lock, WEFT__FREED);
}

/* Sleeping on a word of one's own. lock.c */
void weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns /* < 0: none */);
void weft__futex_wake(uint32_t *word, int n); /* async-signal-safe */

#endif
