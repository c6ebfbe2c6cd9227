/* SPDX-License-Identifier: MIT */
/* lock.c - the slow side of locks, the checks of ranks, and sleeping on a word.
 *
 * Owns no state: a lock's word is its object's, and the counts of held locks belong to the calling
 * thread (self.c). lock.h has the rules, and says who may call. Nothing here allocates or parks a
 * task. */
#include "runtime/base/lock.h"

#include "runtime/base/self.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint32_t weft__lock_sleeps = 200000; /* some 15 s; tests set less */

/* A holder releases its lock within nanoseconds, unless the kernel has descheduled its thread. With
 * more threads than CPUs that happens: then spinning would keep the holder from its CPU. So a
 * waiter spins for about a microsecond, then yields the CPU, then sleeps for 20 us at a time. There
 * is no queue and no futex here, since waits are rare and short, and an unlock stays one store.
 *
 * A lock that no thread releases for 15 s is most likely no lock: the program freed the object, and
 * other data has the memory now. A panic that says so is worth more than a silent hang. */
WEFT__NOINLINE void weft__lock_slow(uint32_t *lock, uint32_t rank)
{
    uint32_t spins = 0;

    for (uint32_t free = 0; !weft__cas(lock, &free, rank); free = 0) {
        if (weft__unlikely(weft__load(lock) == WEFT__FREED))
            weft__panic("weft: use of an object that was freed (its lock is at %p)", (void *)lock);
        if (++spins < 128)
            weft__pause();
        else if (spins < 192)
            sched_yield();
        else
            nanosleep(&(struct timespec){0, 20000}, NULL);
        if (weft__unlikely(spins > 192 + weft__lock_sleeps))
            weft__panic("weft: the lock at %p is never released: was its object freed, or written "
                        "over?",
                        (void *)lock);
    }
}

#if WEFT_CHECK >= 2
static const char *const ranks[WEFT__RANKS] = {
    [WEFT__RANK_GROUP] = "GROUP", [WEFT__RANK_OBJECT] = "OBJECT", [WEFT__RANK_TIMERS] = "TIMERS",
    [WEFT__RANK_RUNQ] = "RUNQ",   [WEFT__RANK_TABLES] = "TABLES", [WEFT__RANK_TASKS] = "TASKS",
    [WEFT__RANK_LEAF] = "LEAF",
};

/* Counts the lock before the thread waits for it, so that a wrong order panics even if the lock is
 * free. OBJECT alone may be held twice: weft_select locks all its channels, by address. */
void weft__rank_taken(const uint32_t *lock, enum weft__rank rank)
{
    uint32_t *held = weft__ranks_held();

    for (unsigned r = rank == WEFT__RANK_OBJECT ? rank + 1 : rank; r < WEFT__RANKS; r++) {
        if (weft__unlikely(held[r] > 0)) {
            weft__panic("weft: bug: a lock of rank %s (%p) is taken under one of rank %s",
                        ranks[rank], (const void *)lock, ranks[r]);
        }
    }
    held[rank]++;
}

void weft__rank_tried(enum weft__rank rank)
{
    weft__ranks_held()[rank]++;
}

void weft__rank_released(const uint32_t *lock)
{
    uint32_t *held = weft__ranks_held(), rank = weft__load(lock);

    weft__check(rank > 0 && rank < WEFT__RANKS && held[rank] > 0);
    held[rank]--;
}

bool weft__rank_allows_ready(void)
{
    const uint32_t *held = weft__ranks_held();

    for (unsigned r = WEFT__RANK_OBJECT + 1; r < WEFT__RANKS; r++) {
        if (held[r] > 0)
            return false;
    }
    return true;
}

bool weft__rank_holds(uint32_t rank)
{
    return rank > 0 && rank < WEFT__RANKS && weft__ranks_held()[rank] > 0;
}
#endif

void weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns)
{
    struct timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, timeout_ns < 0 ? NULL : &ts, NULL, 0);
}

void weft__futex_wake(uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}
