/* SPDX-License-Identifier: MIT */
/* cpu.c - work that computes, for runs with the CPU profile on and off; and the time that one
 * sample takes in the signal's handler. */
#include "bench.h"

#include "profiles/cpu/cpu.h"
#include "profiles/cpu/record.h"
#include "profiles/cpu/signal.h"

#include <stdlib.h>
#include <ucontext.h>

void bench_cpu_compute(void)
{
    enum { ROUNDS = 1000000000 };
    weft_time start = weft_now();

    for (volatile int i = 0; i < ROUNDS; i++)
        ;
    bench_ns("cpu_compute", start, ROUNDS);
}

/* A batch of samples fits into a thread's ring, which is emptied between batches. */
enum { FRAMES = 20, BATCH = 20, BATCHES = 41, MARK = 1 << 20 };

static int volatile keep;                         /* keeps the calls from being compiled away */
static uint32_t index_of_own = WEFT__CPU_RECORDS; /* atomic: found by a sample's weight */
static uint64_t taken;                            /* atomic */
static uint32_t frames;

static void on_sample(struct weft__cpu_sink *s, const struct weft__cpu_sample *one)
{
    (void)s;
    if (one->weight < MARK)
        return;
    frames = one->walk->kept;
    __atomic_store_n(&index_of_own, one->weight - 1 - MARK, __ATOMIC_RELEASE);
    __atomic_fetch_add(&taken, 1, __ATOMIC_RELEASE);
}

static void wait_for(uint64_t n)
{
    while (__atomic_load_n(&taken, __ATOMIC_ACQUIRE) < n)
        weft_sleep(WEFT_MILLISECOND);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Takes the samples as the handler does, of the caller's stack. The first one meets unknown rules,
 * and tells by its weight which record is the thread's own. */
static void take_samples(void)
{
    int64_t times[BATCHES];
    ucontext_t uc;
    uint32_t own;

    getcontext(&uc);
    for (int i = 0; i < 256; i++)
        weft__cpu_take_sample((uint32_t)i, MARK + i, &uc);
    wait_for(1);
    own = __atomic_load_n(&index_of_own, __ATOMIC_ACQUIRE);
    for (int i = 0; i < BATCHES; i++) {
        uint64_t before = __atomic_load_n(&taken, __ATOMIC_ACQUIRE);
        weft_time start = weft_now();

        for (int k = 0; k < BATCH; k++)
            weft__cpu_take_sample(own, MARK + (int)own, &uc);
        times[i] = (weft_now() - start) / BATCH;
        wait_for(before + BATCH);
    }
    qsort(times, BATCHES, sizeof(*times), ascending);
    bench_result("cpu_sample_frames", "", frames, "frames");
    bench_result("cpu_sample", "", (double)times[BATCHES / 2], "ns");
}

static __attribute__((noinline)) int descend(int depth)
{
    if (depth > 1)
        return descend(depth - 1) + 1;
    take_samples();
    return 1;
}

void bench_cpu_sample(void)
{
    static struct weft__cpu_sink sink = {.sample = on_sample};
    struct weft__cpu_counts counts;

    weft_pin();
    bench_check(weft__cpu_start(&sink, 1), "weft__cpu_start");
    keep = descend(FRAMES - 3); /* besides these: take_samples, this function, the task's first */
    weft__cpu_stop(&counts);
}
