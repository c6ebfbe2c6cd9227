/* SPDX-License-Identifier: MIT */
/* lock.h - the runtime's own lock, the ranks of locks, and sleeping on a word.
 *
 * A lock is one word. A thread holds it for a few instructions, and never over a call that may
 * block the thread. A parking task may hand its lock over a switch of stacks: the next context
 * releases it. A pthread mutex allows no such thing, which is one reason to have a lock of our own;
 * its size is the other.
 *
 * Rules, which each lock and unlock checks with WEFT_CHECK=2 by counts of the calling thread:
 *   a thread takes locks by ascending rank; weft_select alone takes several of one rank;
 *   a thread makes no task ready while it holds a lock of a rank above OBJECT, since that may take
 *   locks of rank RUNQ.
 * A free lock's word is 0; a held lock's word is its rank. Releasing is one store, after which the
 * releaser does not touch the word: its next holder may free the memory.
 *
 * Any thread may take a lock, in or out of a run. A signal handler may only try: the thread that it
 * interrupted could hold the lock. */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

#include "runtime/base/atomic.h"
#include "runtime/base/check.h"

/* The word of the lock of a freed object: makes each later attempt to take the lock panic. */
enum { WEFT__FREED = 0x0ddc0ffe };

/* Takes a lock that another thread holds. Panics if the object was freed, and if the wait lasts for
 * many seconds: then the memory is most likely no lock any more. */
void weft__lock_slow(uint32_t *lock, uint32_t rank);
extern uint32_t weft__lock_sleeps; /* how often weft__lock_slow sleeps before it panics */

enum weft__rank {
    WEFT__RANK_GROUP = 1, /* groups, timers' own locks, signals: held over operations on objects */
    WEFT__RANK_OBJECT,    /* channels, locks, sockets ...; select holds several, by address */
    WEFT__RANK_TIMERS,    /* a processor's heap */
    WEFT__RANK_RUNQ,      /* queues, workers and their supply */
    WEFT__RANK_TABLES, /* sets of labels, the sweep of ended tasks: held over a registry's lock */
    WEFT__RANK_TASKS,  /* registries */
    WEFT__RANK_LEAF,   /* locks that are held over no other lock */
    WEFT__RANKS
};

#if WEFT_CHECK >= 2
void weft__rank_taken(const uint32_t *lock, enum weft__rank rank); /* panics if one above is held */
void weft__rank_tried(enum weft__rank rank);    /* a trylock succeeded: it cannot deadlock */
void weft__rank_released(const uint32_t *lock); /* before the word becomes 0 */
bool weft__rank_holds(uint32_t rank);           /* the calling thread holds a lock of this rank */
bool weft__rank_allows_ready(void);             /* the caller may make a task ready */
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
#endif
/* The first line of a function whose caller must hold that lock. It checks that the lock is held
 * and that the thread holds some lock of its rank: the word does not say which thread holds it. */
#define weft__check_holds(lock) weft__check(weft__rank_holds(weft__load(lock)))

/* Takes the lock if it is free, and returns whether it was. May be called under locks of any rank,
 * since a thread that does not wait cannot deadlock. The load in front keeps the cache line shared
 * while another thread holds the lock. */
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

/* Releases the lock of an object that the caller is about to free. A later call that takes the lock
 * panics with a text that names the mistake, as long as the memory holds nothing else. */
static inline void weft__lock_poison(uint32_t *lock)
{
    weft__rank_released(lock);
    weft__store_rel(lock, WEFT__FREED);
}

/* Puts the thread to sleep while *word equals while_it_is, for at most timeout_ns nanoseconds (any
 * time if below 0). May return early without a reason, so callers loop. lock.c */
void weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns);
/* Wakes up to n threads that sleep on word. The caller has changed *word before.
 * async-signal-safe */
void weft__futex_wake(uint32_t *word, int n);

#endif
