/* SPDX-License-Identifier: MIT */
/* timer.c - a million tasks that each sleep once, for one to two seconds. */
#include "bench.h"

#include <stdlib.h>
#include <sys/resource.h>

enum { TASKS = 1000000 };

static struct {
    int64_t slot[TASKS]; /* first the time that the task will sleep, then how late it woke */
    weft_waitgroup done;
} s;

static void nap(void *slot)
{
    int64_t *time = slot;
    weft_time when = weft_after(*time);

    weft_sleep_until(when);
    *time = weft_now() - when;
    weft_waitgroup_done(&s.done);
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void bench_timers1m(void)
{
    weft_time start = weft_now();

    srandom(1);
    weft_waitgroup_add(&s.done, TASKS);
    for (int i = 0; i < TASKS; i++) {
        s.slot[i] = WEFT_SECOND + random() % WEFT_SECOND;
        weft_go(nap, &s.slot[i]);
    }
    bench_ns("timers1m_create", start, TASKS);
    weft_waitgroup_wait(&s.done);
    bench_result("timers1m_cpu", "", cpu_seconds(), "s");
    bench_lateness("timers1m_late", s.slot, TASKS);
}
