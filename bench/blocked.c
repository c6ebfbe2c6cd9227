/* SPDX-License-Identifier: MIT */
/* blocked.c - calls that block their thread: how late a 1 ms ticker wakes beside 1,000 of them, and
 * the cost of a declared call that does not block. */
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

enum { BLOCKED = 1000, CALLS = 2000000 };

static void sit(void *arg)
{
    (void)arg;
    sleep(60);
}

/* The figure includes the time in which the runtime finds out that the function blocks, as it does
 * with hogs: a program has that time, too. */
void bench_ticker_blocked1000(void)
{
    for (int i = 0; i < BLOCKED; i++)
        weft_go(sit, NULL);
    bench_tick("ticker_blocked1000", 4 * WEFT_SECOND);
    fflush(stdout);
    _exit(0); /* the end of the run would wait for the calls */
}

static __attribute__((noinline)) void nothing(void *arg)
{
    __asm__ volatile("" ::"r"(arg));
}

void bench_short_call(void)
{
    weft_time start = weft_now();

    for (int i = 0; i < CALLS; i++)
        weft_blocking(nothing, NULL);
    bench_ns("short_call", start, CALLS);
}
