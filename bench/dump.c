/* SPDX-License-Identifier: MIT */
/* dump.c - a dump of many parked tasks to a file: its wall time, and the longest gap of a 1 ms
 * ticker meanwhile, of a task's and of a bare thread's, which is the machine's own share. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static weft_waitgroup parked;
static weft_chan *gate;
static atomic_bool stop;
static int volatile sink; /* keeps the calls from being compiled away */

/* A task of 8 frames, its entry and 7 of these, parks at the end of one of 128 paths. */
typedef int step_fn(intptr_t path, int depth);
static step_fn left, right;
static step_fn *const turn[] = {left, right};

static __attribute__((noinline)) int left(intptr_t path, int depth)
{
    if (depth == 1) {
        weft_waitgroup_done(&parked);
        return weft_chan_recv(gate, NULL) + 1;
    }
    return turn[path & 1](path >> 1, depth - 1) + 1;
}

static __attribute__((noinline)) int right(intptr_t path, int depth)
{
    if (depth == 1) {
        weft_waitgroup_done(&parked);
        return weft_chan_recv(gate, NULL) + 2;
    }
    return turn[path & 1](path >> 1, depth - 1) + 2;
}

static void entry(void *arg)
{
    intptr_t path = (intptr_t)arg;

    sink = turn[path & 1](path >> 1, 7);
}

/* The longest time between two ticks seen by a ticker that ran until stop. */
typedef struct ticker {
    weft_duration worst;
    weft_waitgroup done;
} ticker;

static int64_t monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * WEFT_SECOND + ts.tv_nsec;
}

static void count_gaps(ticker *t, void (*sleep_1ms)(void))
{
    int64_t last = monotonic();

    while (!atomic_load(&stop)) {
        int64_t now;

        sleep_1ms();
        now = monotonic();
        if (now - last > t->worst)
            t->worst = now - last;
        last = now;
    }
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

static void task_ticker(void *t)
{
    count_gaps(t, sleep_as_task);
    weft_waitgroup_done(&((ticker *)t)->done);
}

static void *thread_ticker(void *t)
{
    count_gaps(t, sleep_as_thread);
    return NULL;
}

static void dump(const char *name, int tasks)
{
    const weft_dump_options options = {WEFT_DUMP_TASKS};
    ticker task = {0}, bare = {0};
    FILE *file = tmpfile();
    pthread_t thread;
    weft_time start;
    struct stat st;

    if (file == NULL)
        bench_check(-1, "tmpfile");
    gate = weft_chan_new(sizeof(int), 0);
    weft_waitgroup_add(&parked, tasks);
    for (int i = 0; i < tasks; i++)
        weft_go(entry, (void *)(intptr_t)i);
    weft_waitgroup_wait(&parked);

    weft_waitgroup_add(&task.done, 1);
    weft_go(task_ticker, &task);
    bench_check(-pthread_create(&thread, NULL, thread_ticker, &bare), "pthread_create");
    start = weft_now();
    bench_check(weft_dump(fileno(file), &options), "weft_dump");
    bench_result(name, "_wall", (double)(weft_now() - start) / 1e9, "s");
    atomic_store(&stop, true);
    weft_waitgroup_wait(&task.done);
    weft_blocking_begin();
    pthread_join(thread, NULL);
    weft_blocking_end();
    bench_result(name, "_gap", (double)task.worst / 1e6, "ms");
    bench_result(name, "_bare", (double)bare.worst / 1e6, "ms");
    fstat(fileno(file), &st);
    bench_result(name, "_bytes", (double)st.st_size, "B");
}

void bench_dump10k(void)
{
    dump("dump10k", 10000);
}

void bench_dump100k(void)
{
    dump("dump100k", 100000);
}
