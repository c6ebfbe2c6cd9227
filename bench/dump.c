/* SPDX-License-Identifier: MIT */
/* dump.c - a dump of many parked tasks to a file: its wall time, and the longest gaps of a 1 ms
 * ticker meanwhile. */
#include "bench.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static weft_waitgroup parked, left_gate;
static weft_chan *gate;
static int depth_of_all;
static int volatile sink; /* keeps the calls from being compiled away */

/* The functions of a task that parks at the end of one of 2^depth paths: its stack then has its
 * entry and `depth` of these frames. */
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

    sink = turn[path & 1](path >> 1, depth_of_all);
    weft_waitgroup_done(&left_gate);
}

void bench_park_frames(int tasks, int depth)
{
    gate = weft_chan_new(sizeof(int), 0);
    depth_of_all = depth;
    weft_waitgroup_add(&parked, tasks);
    weft_waitgroup_add(&left_gate, tasks);
    for (int i = 0; i < tasks; i++)
        weft_go(entry, (void *)(intptr_t)i);
    weft_waitgroup_wait(&parked);
}

void bench_release_frames(void)
{
    weft_chan_close(gate);
    weft_waitgroup_wait(&left_gate);
}

static void dump(const char *name, int tasks)
{
    const weft_dump_options options = {WEFT_DUMP_TASKS};
    weft_duration task, bare;
    FILE *file = tmpfile();
    weft_time start;
    struct stat st;

    if (file == NULL)
        bench_check(-1, "tmpfile");
    bench_park_frames(tasks, 7);
    bench_gap_start();
    start = weft_now();
    bench_check(weft_dump(fileno(file), &options), "weft_dump");
    bench_result(name, "_wall", (double)(weft_now() - start) / 1e9, "s");
    bench_gap_stop(&task, &bare);
    bench_result(name, "_gap", (double)task / 1e6, "ms");
    bench_result(name, "_bare", (double)bare / 1e6, "ms");
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

/* Starts tasks that wake up every 10 ms, more often than the processors have time for. */
static void wake_up_often(void *arg)
{
    while (*(volatile bool *)arg)
        weft_sleep(10 * WEFT_MILLISECOND);
    weft_waitgroup_done(&left_gate);
}

static double dump_time(void)
{
    const weft_dump_options options = {WEFT_DUMP_TASKS};
    FILE *file = tmpfile();
    weft_time start = weft_now();

    if (file == NULL)
        bench_check(-1, "tmpfile");
    bench_check(weft_dump(fileno(file), &options), "weft_dump");
    fclose(file);
    return (double)(weft_now() - start) / 1e9;
}

/* Dumps the tasks while they are busy, and again while they wait. */
void bench_dump_busy100k(void)
{
    enum { TASKS = 100000 };
    bool goes_on = true;
    double busy, quiet;

    weft_waitgroup_add(&left_gate, TASKS);
    for (int i = 0; i < TASKS; i++)
        weft_go(wake_up_often, &goes_on);
    weft_sleep(2 * WEFT_SECOND);
    dump_time(); /* the first dump of a process learns names and rules */
    busy = dump_time();
    goes_on = false;
    weft_waitgroup_wait(&left_gate);
    bench_park_frames(TASKS, 1);
    dump_time();
    quiet = dump_time();
    bench_result("dump_busy100k", "_wall", busy, "s");
    bench_result("dump_busy100k", "_ratio", busy / quiet, "x");
}
