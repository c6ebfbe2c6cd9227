/* SPDX-License-Identifier: MIT */
/* bench.c - finds the case, runs it in weft_run, prints its results. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    void (*fn)(void);
} cases[] = {
    {"page_touch", bench_page_touch},
    {"page_warm", bench_page_warm},
    {"yield2", bench_yield2},
    {"yield100k", bench_yield100k},
    {"spawn_batch1000", bench_spawn_batch1000},
    {"unbuffered_roundtrip", bench_unbuffered_roundtrip},
    {"buffered128", bench_buffered128},
    {"select4", bench_select4},
    {"lock_uncontended", bench_lock_uncontended},
    {"lock_over_yield1000", bench_lock_over_yield1000},
    {"park1m", bench_park1m},
    {"timers1m", bench_timers1m},
    {"ticker_hogs", bench_ticker_hogs},
    {"ticker_hogs1000", bench_ticker_hogs1000},
    {"ticker_blocked1000", bench_ticker_blocked1000},
    {"short_call", bench_short_call},
    {"accept_storm", bench_accept_storm},
    {"fd_wait", bench_fd_wait},
    {"waits_roundtrip", bench_waits_roundtrip},
    {"waits_buffered128", bench_waits_buffered128},
    {"waits_lock", bench_waits_lock},
    {"waits_kept", bench_waits_kept},
    {"waits_none", bench_waits_none},
    {"waits_resume", bench_waits_resume},
    {"cpu_compute", bench_cpu_compute},
    {"cpu_sample", bench_cpu_sample},
    {"trace_bytes", bench_trace_bytes},
    {"trace_start1m", bench_trace_start1m},
    {"scrape10k", bench_scrape10k},
    {"scrape10k_live", bench_scrape10k_live},
    {"dump10k", bench_dump10k},
    {"dump100k", bench_dump100k},
    {"dump_busy100k", bench_dump_busy100k},
    {"walk1m", bench_walk1m},
    {"heap_pair", bench_heap_pair},
    {"serve_hello", bench_serve_hello},
    {"serve_parked100k", bench_serve_parked100k},
};

void bench_result(const char *name, const char *suffix, double value, const char *unit)
{
    printf("%s%s %.6g %s\n", name, suffix, value, unit);
}

void bench_ns(const char *name, weft_time start, int64_t ops)
{
    bench_result(name, "", (double)(weft_now() - start) / (double)ops, "ns");
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

void bench_lateness(const char *name, int64_t *late, size_t n)
{
    if (n == 0)
        bench_check(-1, "no time was measured");
    qsort(late, n, sizeof(*late), ascending);
    bench_result(name, "_p50", (double)late[n / 2] / 1e6, "ms");
    bench_result(name, "_p99", (double)late[n * 99 / 100] / 1e6, "ms");
    bench_result(name, "_worst", (double)late[n - 1] / 1e6, "ms");
}

void bench_check(int rc, const char *call)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", call, weft_strerror(rc));
    _exit(1);
}

static void set_rate(const char *variable, void (*set)(weft_duration))
{
    const char *rate = getenv(variable);

    if (rate)
        set(strtoll(rate, NULL, 10));
}

static int main_task(void *fn)
{
    set_rate("BENCH_BLOCK_RATE", weft_profile_set_block_rate);
    set_rate("BENCH_MUTEX_RATE", weft_profile_set_mutex_rate);
    if (getenv("BENCH_CPU"))
        bench_cpu_on();
    bench_trace_begin();
    (*(void (**)(void))fn)();
    if (getenv("BENCH_CPU"))
        bench_result("held", "", bench_held(), "x");
    fflush(stdout);
    /* Some cases leave tasks that never end, and the end of the run would wait for them. */
    _exit(0);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        void (*fn)(void) = cases[i].fn;

        if (strcmp(argv[1], cases[i].name) == 0)
            return weft_run(main_task, &fn);
    }
    fprintf(stderr, "usage: bench CASE\n");
    return 2;
}
