/* SPDX-License-Identifier: MIT */
/* clock.c - reads the clocks and converts ticks.
 *
 * Owns: the base of the scale of ticks (weft__clock_base), the last measured rate, and the virtual
 * time. weft__clock_init writes the base before tasks run; it is constant afterwards. The rate and
 * the virtual time are atomic. There is no lock, and any thread may call (clock.h).
 *
 * The scale is the line from the base to the moment of asking. So it gets more exact the longer the
 * program runs, and no calibration loop delays the start: a program that ends after 5 ms should not
 * have spent 10 ms on its clock. */
#include "runtime/base/clock.h"

#include "runtime/base/env.h"

#include <string.h>
#include <time.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

bool weft__clock_tsc, weft__clock_virtual;
int64_t weft__clock_vnow;
int64_t weft__clock_ms;
struct weft__clock_base weft__clock_base, weft__clock_noted;

int64_t weft__mono(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

int64_t weft__nanos(void)
{
    return weft__unlikely(weft__clock_virtual) ? weft__load_acq(&weft__clock_vnow) : weft__mono();
}

/* Returns whether the TSC counts at one rate on all CPUs, whatever their frequency and sleep
 * states. Without that, stamps of two CPUs could not be compared. */
static bool tsc_is_invariant(void)
{
#ifdef __x86_64__
    unsigned a, b, c, d;

    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
#else
    return false;
#endif
}

/* Reads both clocks at one moment. The kernel may deschedule the thread between two reads, which
 * would put their distance into the scale; of four tries it keeps the one that took the least. */
static void read_both(int64_t *nanos, int64_t *ticks)
{
    int64_t before, took, least = INT64_MAX;

    for (int i = 0; i < 4; i++) {
        int64_t now;

        before = weft__ticks();
        now = weft__nanos();
        took = weft__ticks() - before;
        if (took >= least)
            continue;
        least = took;
        *nanos = now;
        *ticks = before + took / 2;
    }
}

void weft__clock_init(void)
{
    static const char *const kinds[] = {"real", "virtual", NULL};

    weft__store(&weft__clock_virtual, weft__env_word("WEFT_CLOCK", kinds, 0) == 1);
    weft__store(&weft__clock_tsc, !weft__clock_virtual && tsc_is_invariant());
    if (weft__clock_virtual && weft__clock_vnow == 0)
        weft__clock_vnow = weft__mono(); /* once: a later run must not go back in time */
    read_both(&weft__clock_base.nanos, &weft__clock_base.ticks);
    weft__clock_refresh();
}

/* Measures back from now, not forward from the base: the error of the rate then grows with the age
 * of the stamp, not with the age of the program. */
int64_t weft__ticks_to_nanos(int64_t ticks)
{
    int64_t now_ticks, now_nanos;

    if (!weft__clock_tsc)
        return ticks;
    now_nanos = weft__nanos();
    now_ticks = weft__ticks();
    if (now_ticks <= weft__clock_base.ticks || now_nanos <= weft__clock_base.nanos)
        return now_nanos;
    return now_nanos -
           (int64_t)((double)(now_ticks - ticks) * (double)(now_nanos - weft__clock_base.nanos) /
                     (double)(now_ticks - weft__clock_base.ticks));
}

/* Returns the ticks in a nanosecond; 1 if ticks are nanoseconds, or if no time has passed since the
 * base and there is nothing to measure yet. */
static double ticks_rate(void)
{
    int64_t nanos, ticks;

    read_both(&nanos, &ticks);
    nanos -= weft__clock_base.nanos;
    ticks -= weft__clock_base.ticks;
    return weft__clock_tsc && nanos > 0 && ticks > 0 ? (double)ticks / (double)nanos : 1;
}

int64_t weft__ticks_lasted(int64_t ticks)
{
    return (int64_t)((double)ticks / ticks_rate());
}

int64_t weft__ticks_in(int64_t nanos)
{
    return (int64_t)((double)nanos * ticks_rate());
}

/* The nanoseconds in 2^24 ticks. An integer, since it is read and written without a lock; 24 bits
 * of fraction are an error below one in ten million. */
static int64_t rate = INT64_C(1) << 24; /* atomic */

void weft__clock_refresh(void)
{
    weft__store(&rate, (int64_t)((1 << 24) / ticks_rate()));
}

int64_t weft__ticks_about(int64_t ticks)
{
    return (int64_t)((double)ticks * (double)weft__load(&rate) / (1 << 24));
}

void weft__clock_note(void)
{
    weft__store(&weft__clock_noted.ticks, weft__ticks());
    weft__store(&weft__clock_noted.nanos, weft__nanos());
}

void weft__clock_measure(void)
{
    weft__store(&weft__clock_ms, weft__ticks_in(1000000));
}

/* Two idle workers may want to advance at once: the loop lets the later time win. */
void weft__clock_advance(int64_t to)
{
    int64_t now = weft__load(&weft__clock_vnow);

    while (now < to && !weft__cas(&weft__clock_vnow, &now, to))
        ;
}

int64_t weft__cpu_nanos(int tid_clock)
{
    struct timespec ts;

    if (clock_gettime((clockid_t)tid_clock, &ts) != 0)
        return 0;
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}
