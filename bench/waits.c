/* SPDX-License-Identifier: MIT */
/* waits.c - work that waits, run with the profiles on and off. With the profiles on, known.c tests
 * after the work that they have all of a known waiting time. A little of the same work comes first,
 * untimed: the first sample at a place learns the unwinding rules of its frames, which takes a
 * millisecond or two once in a process. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

WEFT_CHAN_TYPE(ints, int);

enum { RUNS = 2 };

static bool profiled(void)
{
    const char *rate = getenv("BENCH_BLOCK_RATE");

    return !rate || strcmp(rate, "0") != 0;
}

/* Each side waits once a trip, for the value of the other side. */
void bench_waits_roundtrip(void)
{
    static const int trips[] = {100000, 3000000};
    static const char *const names[] = {"waits_roundtrip_first", "waits_roundtrip"};

    for (int i = 0; i < RUNS; i++)
        bench_roundtrips(names[i], trips[i], 2 * trips[i]);
    if (profiled())
        bench_result("held", "", bench_held_chan(), "x");
}

void bench_waits_buffered128(void)
{
    static const int items[] = {500000, 15000000};
    static const char *const names[] = {"waits_buffered128_first", "waits_buffered128"};

    for (int i = 0; i < RUNS; i++)
        bench_transfers(names[i], items[i]);
    if (profiled())
        bench_result("held", "", bench_held_chan(), "x");
}

void bench_waits_lock(void)
{
    static const int each[] = {100, 3000};
    static const char *const names[] = {"waits_lock_first", "waits_lock"};
    double charged;

    for (int i = 0; i < RUNS; i++)
        bench_locks_over_yield(names[i], each[i]);
    if (!profiled())
        return;
    bench_result("held", "", bench_held_lock(&charged), "x");
    bench_result("charged", "", charged, "x");
}

/* Sends and receives in one task without ever waiting: there is always room, then a value. */
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

/* Waits at one of many distinct stacks: each bit of the stack's number chooses one of two
 * functions. */
enum { PATH = 14, KEPT_WAITS = 40000 };
static int volatile kept_sink; /* keeps the calls from being compiled away */

typedef int kept_step(ints *c, int path, int depth);
static kept_step kept_left, kept_right;
static kept_step *const kept_turn[] = {kept_left, kept_right};

static int kept_wait(ints *c, int path, int depth)
{
    int v = 0;

    if (depth > 0)
        return kept_turn[path & 1](c, path >> 1, depth - 1);
    ints_recv(c, &v);
    return v;
}

static __attribute__((noinline)) int kept_left(ints *c, int path, int depth)
{
    return kept_wait(c, path, depth) + 1;
}

static __attribute__((noinline)) int kept_right(ints *c, int path, int depth)
{
    return kept_wait(c, path, depth) + 2;
}

static void kept_send(void *c)
{
    while (ints_send(c, 1) == 0)
        continue;
}

static double kept_time(ints *c, int stacks)
{
    weft_time start;

    for (int i = 0; i < 2 * stacks; i++) /* learns all the stacks */
        kept_sink = kept_left(c, i % stacks, PATH);
    start = weft_now();
    for (int i = 0; i < KEPT_WAITS; i++)
        kept_sink = kept_left(c, i % stacks, PATH);
    return (double)(weft_now() - start) / KEPT_WAITS;
}

/* Every wait is sampled. */
void bench_waits_kept(void)
{
    ints *c = ints_new(0);
    double few, many;

    weft_profile_set_block_rate(1);
    weft_go(kept_send, c);
    few = kept_time(c, 10);
    many = kept_time(c, 4000);
    ints_close(c);
    bench_result("waits_kept", "_10", few, "ns");
    bench_result("waits_kept", "_4000", many, "ns");
    bench_result("waits_kept", "_ratio", many / few, "x");
}

/* For resume.py, which counts instructions. */
void bench_waits_resume(void)
{
    bench_roundtrips("waits_resume", 20000, 40000);
}
