/* SPDX-License-Identifier: MIT */
/* clock.h - time: nanoseconds (real or virtual) and ticks.
 *
 * Nanoseconds are for deadlines and timers. Ticks stamp waits: they are the processor's cycle
 * counter (TSC) where it is invariant, since reading it costs a third of clock_gettime; elsewhere
 * they are monotonic nanoseconds. Readers of a stamp (dumps, profiles) convert it to nanoseconds.
 *
 * Under the virtual clock (WEFT_CLOCK=virtual) time stands still while any task runs, and jumps to
 * the next timer when all processors are idle. So tests of time need not sleep, and are exact.
 *
 * Any thread may call the functions, under any lock, in or out of a run; nothing here blocks.
 * Before the first run the clock is the real one and ticks are nanoseconds. Only the start of a run
 * calls weft__clock_init and weft__clock_measure, and only the scheduler calls
 * weft__clock_advance. */
#ifndef WEFT_CLOCK_H
#define WEFT_CLOCK_H

#include "runtime/base/atomic.h"

#include <time.h>

/* Constant during a run. Atomic: a task that an earlier run left behind in a call may come out of
 * it while a run begins. */
extern WEFT__HIDDEN bool weft__clock_tsc, weft__clock_virtual;
extern int64_t weft__clock_vnow; /* virtual monotonic time */
/* The base of the scale of ticks: one moment in both units. Constant after weft__clock_init. */
extern WEFT__HIDDEN struct weft__clock_base {
    int64_t ticks, nanos;
} weft__clock_base;
/* The latest such moment that was noted: for readers of a core, who have no clock. Atomic, but the
 * two may be of different notes. */
extern WEFT__HIDDEN struct weft__clock_base weft__clock_noted;

/* Chooses the clock and the kind of ticks, and takes the base of their scale. Each run calls it. */
void weft__clock_init(void);
int64_t weft__mono(void);  /* real monotonic nanoseconds, also under the virtual clock */
int64_t weft__nanos(void); /* monotonic nanoseconds of the clock in use */

/* Convert a moment, a length, and a length back. The first two read both clocks at each call. */
int64_t weft__ticks_to_nanos(int64_t ticks); /* a moment, on the scale of weft__nanos */
int64_t weft__ticks_lasted(int64_t ticks);   /* the nanoseconds that this many ticks last */
int64_t weft__ticks_in(int64_t nanos);       /* the ticks in this many nanoseconds */
/* Converts a length as weft__ticks_lasted does, but by the rate that weft__clock_refresh found
 * last. It reads no clock, so a profile can afford a call for each event. */
int64_t weft__ticks_about(int64_t ticks);
/* Measures the rate of ticks again. The more time since weft__clock_init, the more exact it is. */
void weft__clock_refresh(void);
/* Notes this moment. The monitor does so at each look. */
void weft__clock_note(void);
/* Sets weft__clock_ms. Called later in the start of a run than weft__clock_init, so that the rate
 * rests on some time. */
void weft__clock_measure(void);
extern int64_t weft__clock_ms; /* atomic, as weft__clock_tsc: the ticks in a millisecond, roughly;
                                * for limits, not for sums */

/* Moves the virtual clock forward to `to`; leaves it alone if it is already later. The scheduler
 * calls it when every processor is idle. */
void weft__clock_advance(int64_t to);

/* Returns the CPU nanoseconds of the thread with this clockid; 0 if the thread has ended. */
int64_t weft__cpu_nanos(int tid_clock);

/* Returns the clockid of the CPU time of the thread tid of this process. The kernel's layout: the
 * complement of the id, then a bit for "one thread" and the number of the scheduler's clock. */
static inline int weft__cpu_clock_of(int tid)
{
    return (int)(~(unsigned)tid << 3 | 6);
}

/* Returns the nanoseconds since 1970. For the dates that people read; it may jump. */
static inline int64_t weft__realtime(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Returns the stamp of this moment. Needs no fence: a stamp that is a few nanoseconds early or late
 * changes nothing for readers. */
static inline int64_t weft__ticks(void)
{
#ifdef __x86_64__
    if (weft__likely(weft__load(&weft__clock_tsc)))
        return (int64_t)__builtin_ia32_rdtsc();
#endif
    return weft__nanos();
}

#endif
