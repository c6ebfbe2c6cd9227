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

/* A task of depth + 1 frames, its entry and these, parks at the end of one of 2^depth paths. */
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
