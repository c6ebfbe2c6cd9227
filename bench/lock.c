/* SPDX-License-Identifier: MIT */
/* lock.c - a mutex that one task uses alone, and one that a thousand tasks wait for. */
#include "bench.h"

void bench_lock_uncontended(void)
{
    enum { OPS = 50000000 };
    static weft_mutex mu = WEFT_MUTEX_INIT;
    weft_time start = weft_now();

    for (int i = 0; i < OPS; i++) {
        weft_mutex_lock(&mu);
        weft_mutex_unlock(&mu);
    }
    bench_ns("lock_uncontended", start, OPS);
}

enum { TASKS = 1000 };

static struct {
    weft_mutex mu;
    weft_waitgroup done;
    int each; /* constant while tasks run */
} s;

static void yield_locked(void *arg)
{
    (void)arg;
    for (int i = 0; i < s.each; i++) {
        weft_mutex_lock(&s.mu);
        weft_yield();
        weft_mutex_unlock(&s.mu);
    }
    weft_waitgroup_done(&s.done);
}

void bench_locks_over_yield(const char *name, int each)
{
    weft_time start = weft_now();

    s.each = each;
    weft_waitgroup_add(&s.done, TASKS);
    for (int i = 0; i < TASKS; i++)
        weft_go(yield_locked, NULL);
    weft_waitgroup_wait(&s.done);
    bench_ns(name, start, (int64_t)TASKS * each);
}

void bench_lock_over_yield1000(void)
{
    bench_locks_over_yield("lock_over_yield1000", 1000);
}
