/* SPDX-License-Identifier: MIT */
/* clock.h - time: nanoseconds (real or virtual) and ticks.
 *
 * Ticks are the TSC where it is invariant (a read costs a third of clock_gettime), else monotonic
 * nanoseconds. They stamp waits and are turned into nanoseconds only when somebody looks.
 * Under the virtual clock (WEFT_CLOCK=virtual) time stands still while anything runs and jumps to
 * the next timer when all processors are idle: tests of time need no sleeping. */
#ifndef WEFT_CLOCK_H
#define WEFT_CLOCK_H

#include "runtime/base/atomic.h"

#include <time.h>

extern bool weft__clock_tsc, weft__clock_virtual; /* constant after init */
extern int64_t weft__clock_vnow;                  /* virtual monotonic time */

void weft__clock_init(void);
int64_t weft__mono(void);                    /* real monotonic nanoseconds */
int64_t weft__nanos(void);                   /* monotonic nanoseconds of the clock in use */
int64_t weft__ticks_to_nanos(int64_t ticks); /* to the scale of weft__nanos */
int64_t weft__ticks_lasted(int64_t ticks);   /* how long so many are, in nanoseconds */
int64_t weft__ticks_in(int64_t nanos);       /* and how many so long is */
int64_t weft__ticks_about(int64_t ticks);    /* as lasted, by the rate at the last refresh */
void weft__clock_refresh(void);              /* the longer since init, the better */
void weft__clock_measure(void);              /* some time after init, for the one below */
extern int64_t weft__clock_ms;               /* ticks in a millisecond, about */
void weft__clock_advance(int64_t to);        /* virtual clock only; never back */
int64_t weft__cpu_nanos(int tid_clock);      /* CPU nanoseconds of the thread with that clockid */

/* Returns the clockid of the CPU time of that thread of this process. */
static inline int weft__cpu_clock_of(int tid)
{
    return (int)(~(unsigned)tid << 3 | 6);
}

static inline int64_t weft__realtime(void) /* nanoseconds since 1970 */
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static inline int64_t weft__ticks(void)
{
#ifdef __x86_64__
    if (weft__likely(weft__clock_tsc))
        return (int64_t)__builtin_ia32_rdtsc();
#endif
    return weft__nanos();
}

#endif
