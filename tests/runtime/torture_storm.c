/* SPDX-License-Identifier: MIT */
/* torture_storm.c - storms of blocked threads, again and again, with caps from 1 thread to many,
 * and a kernel that now and then refuses a thread.
 *
 * In a storm tasks sit in undeclared and declared calls of random length, burn CPU, are pinned, or
 * do nothing, called from functions of their own and through one shared function. Meanwhile a
 * ticker sleeps a millisecond at a time. All tasks of a storm must end. Afterwards no task is
 * without a processor, and none waits for a thread. */
#include "torture.h"

#include "runtime/sched/lane.h"

#include <weft/task.h>
#include <weft/time.h>

#include <errno.h>

static uint64_t storms, ticks, ended; /* ended: atomic */
static bool refuses;                  /* atomic: threads are refused now and then */
static uint64_t asked;                /* atomic */

int __real_weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);
int __wrap_weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);

int __wrap_weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
    if (torture_get(&refuses) && torture_add(&asked, 1) % 4 != 0)
        return EAGAIN;
    return __real_weft__thread_start_user(thread, stack, fn, arg);
}

/* The actors. arg: microseconds. */

static void sit(void *arg)
{
    usleep((useconds_t)(uintptr_t)arg);
}

static void sit_declared(void *arg)
{
    weft_blocking(sit, arg);
}

static void call_often(void *arg)
{
    for (uintptr_t i = 0; i < (uintptr_t)arg % 64; i++) {
        weft_blocking_begin();
        weft_blocking_end();
        weft_yield();
    }
}

static void burn(void *arg)
{
    for (int i = 0; i < 3; i++) {
        torture_spin((unsigned)(uintptr_t)arg / 4);
        weft_yield();
    }
}

static void sit_pinned(void *arg)
{
    weft_pin();
    sit(arg);
    weft_yield();
    sit_declared(arg);
    weft_unpin();
}

static void nothing(void *arg)
{
    (void)arg;
}

static weft_task_fn *const actors[] = {sit,  sit,        sit_declared, sit_declared, call_often,
                                       burn, sit_pinned, nothing,      nothing};

enum { ACTORS = sizeof(actors) / sizeof(*actors) };

struct act {
    weft_task_fn *fn;
    void *arg;
};

static void play(void *arg)
{
    struct act *a = arg;

    a->fn(a->arg);
    free(a);
    torture_add(&ended, 1);
}

static void play_sit(void *arg)
{
    sit(arg);
    torture_add(&ended, 1);
}

static void play_declared(void *arg)
{
    sit_declared(arg);
    torture_add(&ended, 1);
}

static void start_one(uint64_t *random)
{
    unsigned kind = torture_random(random, 4);
    void *us = (void *)(uintptr_t)torture_random(random, 30000);
    struct act *a;

    if (kind == 0) {
        weft_go(play_sit, us);
        return;
    }
    if (kind == 1) {
        weft_go(play_declared, us);
        return;
    }
    a = malloc(sizeof(*a));
    EXPECT(a != NULL);
    *a = (struct act){actors[torture_random(random, ACTORS)], us};
    if (a->fn == sit_pinned && torture_get(&refuses))
        a->fn = nothing; /* while a pinned task waits, its thread needs another to stand in */
    weft_go(play, a);
}

static void storm(uint64_t *random, bool may_refuse)
{
    uint64_t n = 1 + torture_random(random, 80), before = torture_get(&ended);

    torture_set(&refuses, may_refuse && torture_random(random, 2) == 0);
    for (uint64_t i = 0; i < n; i++)
        start_one(random);
    while (torture_get(&ended) < before + n) {
        weft_sleep(WEFT_MILLISECOND);
        ticks++;
    }
    torture_set(&refuses, false);
    while (torture_get(&weft__sched.nlost) > 0 || weft__held_count() > 0)
        weft_sleep(WEFT_MILLISECOND);
    EXPECT(torture_get(&weft__sched.nhogs) == 0);
    storms++;
}

static int run(void *arg)
{
    uint64_t *random = arg;

    for (int i = 0; i < 10 && !torture_stops(); i++)
        storm(random, i > 0); /* the first threads have to be there */
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t random;

    torture_begin(argc, argv);
    random = torture_seed(1);
    while (!torture_stops()) {
        weft_run_options options = {.max_threads = (int)torture_random(&random, 12),
                                    .max_hogs = (int)torture_random(&random, 4)};

        torture_set(&refuses, false);
        EXPECT(weft_run_with(&options, run, &random) == 0);
    }
    torture_end();
    printf("storms: %llu of %llu tasks, %llu ticks beside them\n", (unsigned long long)storms,
           (unsigned long long)torture_get(&ended), (unsigned long long)ticks);
    return 0;
}
