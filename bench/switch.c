/* SPDX-License-Identifier: MIT */
/* switch.c - the price of a yield, and of a task's birth and end. */
#include "bench.h"

static struct {
    weft_waitgroup started, done;
    weft_chan *begin;
    int each; /* the number of yields of one task */
} y;

static void yielder(void *arg)
{
    (void)arg;
    weft_waitgroup_done(&y.started);
    weft_chan_recv(y.begin, NULL);
    for (int i = 0; i < y.each; i++)
        weft_yield();
    weft_waitgroup_done(&y.done);
}

static void yielders(const char *name, int tasks, int each)
{
    weft_time start;

    y.each = each;
    y.begin = weft_chan_new(sizeof(int), 0);
    weft_waitgroup_add(&y.started, tasks);
    weft_waitgroup_add(&y.done, tasks);
    for (int i = 0; i < tasks; i++)
        weft_go(yielder, NULL);
    weft_waitgroup_wait(&y.started);
    start = weft_now();
    weft_chan_close(y.begin);
    weft_waitgroup_wait(&y.done);
    bench_ns(name, start, (int64_t)tasks * each);
}

void bench_yield2(void)
{
    yielders("yield2", 2, 2000000);
}

void bench_yield100k(void)
{
    yielders("yield100k", 100000, 20);
}

enum { BATCH = 1000, ROUNDS = 1000 };

static void newborn(void *wg)
{
    weft_waitgroup_done(wg);
}

static void batch(void)
{
    weft_waitgroup wg = WEFT_WAITGROUP_INIT;

    weft_waitgroup_add(&wg, BATCH);
    for (int i = 0; i < BATCH; i++)
        weft_go(newborn, &wg);
    weft_waitgroup_wait(&wg);
}

void bench_spawn_batch1000(void)
{
    weft_time start;

    batch();
    start = weft_now();
    for (int i = 0; i < ROUNDS; i++)
        batch();
    bench_ns("spawn_batch1000", start, (int64_t)BATCH * ROUNDS);
}
