/* SPDX-License-Identifier: MIT */
/* lock.c - the slow side of locks, fences and futexes. */
#include "runtime/base/lock.h"

#include "runtime/base/env.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool weft__no_membarrier;

/* WEFT_MEMBARRIER=0 forces the fallback, for tests. */
void weft__fence_init(void)
{
    if (weft__env_off("WEFT_MEMBARRIER") ||
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        weft__no_membarrier = true;
}

void weft__fence_heavy(void)
{
    weft__fence_full_();
    if (!weft__no_membarrier)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    weft__compiler_barrier();
}

uint32_t weft__lock_sleeps = 200000; /* some 15 s; tests set less */

/* Holders are out within nanoseconds unless their thread is descheduled; with more threads than
 * CPUs that happens, so give the CPU away before long, and sleep if it lasts. A lock that nobody
 * releases is no lock: the object was freed, and something else is there. */
WEFT__NOINLINE void weft__lock_slow(uint32_t *lock)
{
    uint32_t spins = 0;

    while (!weft__trylock(lock)) {
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

void weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns)
{
    struct timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, timeout_ns < 0 ? NULL : &ts, NULL, 0);
}

void weft__futex_wake(uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}
