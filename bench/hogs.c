/* SPDX-License-Identifier: MIT */
/* hogs.c - how late a 1 ms ticker wakes beside tasks that never wait (hogs). There is no warm-up,
 * so the figure includes the time in which the runtime finds out that the function hogs. */
#include "bench.h"

enum { MAX_TICKS = 10000 };

static int64_t volatile sink;
static int64_t turns; /* the turns of spin's loop in 20 ms */

static __attribute__((noinline)) int64_t spin(int64_t n)
{
    int64_t x = 1;

    for (int64_t i = 0; i < n; i++) {
        x = (int64_t)((uint64_t)x * 3 + (uint64_t)i);
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

/* Finds how many turns take 20 ms of an undisturbed processor. */
static void calibrate(void)
{
    enum { PROBE = 2000000, TRIES = 20 };
    int64_t best = INT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        weft_time start = weft_now(), took;

        sink = spin(PROBE);
        took = weft_now() - start;
        if (took < best)
            best = took;
    }
    turns = (int64_t)((double)PROBE * (double)(20 * WEFT_MILLISECOND) / (double)best);
}

void bench_tick(const char *name, weft_duration length)
{
    static int64_t late[MAX_TICKS];
    weft_time end = weft_after(length);
    size_t n = 0;

    while (n < MAX_TICKS && weft_now() < end) {
        weft_time when = weft_after(WEFT_MILLISECOND);

        weft_sleep_until(when);
        late[n++] = weft_now() - when;
    }
    bench_lateness(name, late, n);
}

static void hog(void *arg)
{
    (void)arg;
    for (;;)
        sink = spin(INT64_C(1) << 40);
}

void bench_ticker_hogs(void)
{
    for (int i = 0; i < 2 * weft_procs(); i++)
        weft_go(hog, NULL);
    bench_tick("ticker_hogs", 4 * WEFT_SECOND);
}

static void hog_20ms(void *arg)
{
    (void)arg;
    for (;;) {
        sink = spin(turns);
        weft_yield();
    }
}

void bench_ticker_hogs1000(void)
{
    calibrate();
    for (int i = 0; i < 1000; i++)
        weft_go(hog_20ms, NULL);
    bench_tick("ticker_hogs1000", 6 * WEFT_SECOND);
}
