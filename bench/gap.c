/* SPDX-License-Identifier: MIT */
/* gap.c - the longest gap of two 1 ms tickers, a task and a bare thread. The thread's gap is the
 * machine's own share. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static struct {
    atomic_bool stop;
    weft_duration task, bare; /* written by its ticker alone; read once that has ended */
    weft_waitgroup task_done;
    pthread_t thread;
} gap;

static int64_t monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * WEFT_SECOND + ts.tv_nsec;
}

/* Returns the longest time between two ticks until the stop. */
static weft_duration worst_gap(void (*sleep_1ms)(void))
{
    weft_duration worst = 0;
    int64_t last = monotonic(), now;

    do {
        sleep_1ms();
        now = monotonic();
        if (now - last > worst)
            worst = now - last;
        last = now;
    } while (!atomic_load(&gap.stop));
    return worst;
}

static void sleep_as_task(void)
{
    weft_sleep(WEFT_MILLISECOND);
}

static void sleep_as_thread(void)
{
    static const struct timespec ms = {0, 1000000};

    nanosleep(&ms, NULL);
}

static void task_ticker(void *arg)
{
    (void)arg;
    gap.task = worst_gap(sleep_as_task);
    weft_waitgroup_done(&gap.task_done);
}

static void *thread_ticker(void *arg)
{
    (void)arg;
    gap.bare = worst_gap(sleep_as_thread);
    return NULL;
}

void bench_gap_start(void)
{
    atomic_store(&gap.stop, false);
    weft_waitgroup_add(&gap.task_done, 1);
    weft_go(task_ticker, NULL);
    bench_check(-pthread_create(&gap.thread, NULL, thread_ticker, NULL), "pthread_create");
}

void bench_gap_stop(weft_duration *task, weft_duration *bare)
{
    atomic_store(&gap.stop, true);
    weft_waitgroup_wait(&gap.task_done);
    weft_blocking_begin();
    pthread_join(gap.thread, NULL);
    weft_blocking_end();
    *task = gap.task;
    *bare = gap.bare;
}
