/* SPDX-License-Identifier: MIT */
/* clock.c - see clock.h. The scale of ticks is taken between init and the moment of asking, so it
 * gets better the longer the program runs; no calibration loop delays the start. */
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
static int64_t base_ticks, base_nanos;

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

static bool tsc_is_invariant(void)
{
#ifdef __x86_64__
    unsigned a, b, c, d;

    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
#else
    return false;
#endif
}

/* Reads both clocks at one time: tries again if the thread was delayed in between. */
static void both(int64_t *nanos, int64_t *ticks)
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

    weft__clock_virtual = weft__env_word("WEFT_CLOCK", kinds, 0) == 1;
    weft__clock_tsc = !weft__clock_virtual && tsc_is_invariant();
    if (weft__clock_virtual && weft__clock_vnow == 0)
        weft__clock_vnow = weft__mono();
    both(&base_nanos, &base_ticks);
    weft__clock_refresh();
}

int64_t weft__ticks_to_nanos(int64_t ticks)
{
    int64_t now_ticks, now_nanos;

    if (!weft__clock_tsc)
        return ticks;
    now_nanos = weft__nanos();
    now_ticks = weft__ticks();
    if (now_ticks <= base_ticks || now_nanos <= base_nanos)
        return now_nanos;
    return now_nanos - (int64_t)((double)(now_ticks - ticks) * (double)(now_nanos - base_nanos) /
                                 (double)(now_ticks - base_ticks));
}

/* Ticks in a nanosecond. */
static double ticks_rate(void)
{
    int64_t nanos, ticks;

    both(&nanos, &ticks);
    nanos -= base_nanos;
    ticks -= base_ticks;
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

static int64_t rate = INT64_C(1) << 24; /* ns in 2^24 ticks; atomic */

void weft__clock_refresh(void)
{
    weft__store(&rate, (int64_t)((1 << 24) / ticks_rate()));
}

int64_t weft__ticks_about(int64_t ticks)
{
    return (int64_t)((double)ticks * (double)weft__load(&rate) / (1 << 24));
}

void weft__clock_measure(void)
{
    weft__clock_ms = weft__ticks_in(1000000);
}

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
