/* SPDX-License-Identifier: MIT */
/* burn.h - CPU time to be found in profiles: two functions that burn it, told apart by their names.
 */
#ifndef WEFT_TESTS_BURN_H
#define WEFT_TESTS_BURN_H

#include <stdint.h>
#include <time.h>

#define NOINLINE __attribute__((noinline))
enum { HZ = 100, PERIOD = 1000000000 / HZ, MS = 1000000 };

static inline int64_t clock_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Burns so many ns of the calling thread's CPU time. */
static NOINLINE void burn(int64_t ns)
{
    int64_t end = clock_of(CLOCK_THREAD_CPUTIME_ID) + ns;

    while (clock_of(CLOCK_THREAD_CPUTIME_ID) < end) {
        for (volatile int i = 0; i < 1000; i++)
            ;
    }
}

NOINLINE void burns_most(int64_t ns);
NOINLINE void burns_most(int64_t ns)
{
    burn(ns);
    __asm__ volatile("");
}

NOINLINE void burns_some(int64_t ns);
NOINLINE void burns_some(int64_t ns)
{
    burn(ns);
    __asm__ volatile("");
}

#endif
