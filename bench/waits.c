/* SPDX-License-Identifier: MIT */
/* waits.c - work that waits, to be run with the profiles on and off. Where they are on, known.c
 * says after the work how much they have of what is waited. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

WEFT_CHAN_TYPE(ints, int);

static bool profiled(void)
{
    const char *rate = getenv("BENCH_BLOCK_RATE");

    return !rate || strcmp(rate, "0") != 0;
}

/* Each side waits once a trip, for the other's value. */
void bench_waits_roundtrip(void)
{
    enum { TRIPS = 3000000 };

    bench_roundtrips("waits_roundtrip", TRIPS, 2 * TRIPS);
    if (profiled())
        bench_result("held", "", bench_held_chan(), "x");
}

void bench_waits_buffered128(void)
{
    bench_transfers("waits_buffered128", 15000000);
    if (profiled())
        bench_result("held", "", bench_held_chan(), "x");
}

void bench_waits_lock(void)
{
    double charged;

    bench_locks_over_yield("waits_lock", 3000);
    if (!profiled())
        return;
    bench_result("held", "", bench_held_lock(&charged), "x");
    bench_result("charged", "", charged, "x");
}

/* There is always room, then always a value. */
void bench_waits_none(void)
{
    enum { ITEMS = 20000000 };
    ints *c = ints_new(128);
    weft_time start = weft_now();
    int v;

    for (int i = 0; i < ITEMS; i++) {
        ints_send(c, i);
        ints_recv(c, &v);
    }
    bench_ns("waits_none", start, ITEMS);
}

/* For resume.py, which counts instructions. */
void bench_waits_resume(void)
{
    bench_roundtrips("waits_resume", 20000, 40000);
}
