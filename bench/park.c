/* SPDX-License-Identifier: MIT */
/* park.c - a million tasks parked on one channel: the memory of each, its creation and release. */
#include "bench.h"

#include <stdatomic.h>
#include <stdio.h>

enum { TASKS = 1000000 };

static struct {
    atomic_int parked;
    weft_chan *gate;
    weft_waitgroup done;
} s;

/* Returns the memory of the process in bytes, page tables included. */
static double memory(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    double sum = 0, kb;
    char line[256];

    if (file == NULL)
        bench_check(-1, "/proc/self/status");
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmRSS: %lf", &kb) == 1 || sscanf(line, "VmPTE: %lf", &kb) == 1)
            sum += kb * 1024;
    }
    fclose(file);
    return sum;
}

static void park(void *arg)
{
    (void)arg;
    atomic_fetch_add(&s.parked, 1);
    weft_chan_recv(s.gate, NULL);
    weft_waitgroup_done(&s.done);
}

void bench_park1m(void)
{
    double before = memory();
    weft_time start = weft_now();

    s.gate = weft_chan_new(sizeof(int), 0);
    weft_waitgroup_add(&s.done, TASKS);
    for (int i = 0; i < TASKS; i++)
        weft_go(park, NULL);
    while (atomic_load(&s.parked) < TASKS)
        weft_yield();
    bench_ns("park1m_create", start, TASKS);
    bench_result("park1m_bytes", "", (memory() - before) / TASKS, "B");
    start = weft_now();
    weft_chan_close(s.gate);
    weft_waitgroup_wait(&s.done);
    bench_ns("park1m_release", start, TASKS);
}
