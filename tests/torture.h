/* SPDX-License-Identifier: MIT */
/* torture.h - the common part of the torture programs: SECONDS and SEED, random numbers, a
 * watchdog.
 *
 * The watchdog is a plain thread that never calls weft. After SECONDS it tells the program to stop.
 * If the program has not ended 20 s later, the watchdog sends SIGQUIT, which prints a dump and ends
 * the process with status 2. With TORTURE_KEEP=1 it leaves the process to a debugger instead. */
#ifndef TORTURE_H
#define TORTURE_H

#include <weft/task.h>

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TORTURE_UNUSED    __attribute__((unused))
#define torture_get(p)    __atomic_load_n((p), __ATOMIC_RELAXED)
#define torture_set(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define torture_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)

enum { TORTURE_PATIENCE = 20 };

static struct {
    double seconds;
    uint64_t seed;
    bool stop, ended; /* atomic */
    pthread_t watchdog;
} torture;

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static TORTURE_UNUSED bool torture_stops(void)
{
    return torture_get(&torture.stop);
}

static TORTURE_UNUSED double torture_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Numbers of one actor; its state starts at torture_seed(its number). */
static TORTURE_UNUSED uint64_t torture_seed(uint64_t actor)
{
    uint64_t z = torture.seed * UINT64_C(0x9e3779b97f4a7c15) + actor * UINT64_C(0xbf58476d1ce4e5b9);

    z = (z ^ (z >> 30)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) | 1;
}

/* 0 .. below - 1 */
static TORTURE_UNUSED unsigned torture_random(uint64_t *state, unsigned below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (unsigned)((*state >> 11) % below);
}

static TORTURE_UNUSED void torture_spin(unsigned us)
{
    double until = torture_now() + us * 1e-6;

    while (torture_now() < until)
        ;
}

static void *torture_watch(void *arg)
{
    double start = torture_now();
    bool asked = false;

    (void)arg;
    while (!torture_get(&torture.ended)) {
        double past = torture_now() - start - torture.seconds;

        if (past >= 0)
            torture_set(&torture.stop, true);
        if (past >= (double)TORTURE_PATIENCE && !asked) {
            fprintf(stderr, "torture: no end %d s after the stop\n", TORTURE_PATIENCE);
            asked = true;
            if (!getenv("TORTURE_KEEP"))
                kill(getpid(), SIGQUIT);
        }
        if (past >= 2 * (double)TORTURE_PATIENCE && !getenv("TORTURE_KEEP"))
            _exit(3);
        usleep(20000);
    }
    return NULL;
}

/* Before weft_run. */
static TORTURE_UNUSED void torture_begin(int argc, char **argv)
{
    sigset_t all, old;

    torture.seconds = argc > 1 ? atof(argv[1]) : 2;
    torture.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    EXPECT(pthread_create(&torture.watchdog, NULL, torture_watch, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* After the last weft_run. */
static TORTURE_UNUSED void torture_end(void)
{
    torture_set(&torture.ended, true);
    pthread_join(torture.watchdog, NULL);
}

/* Runs play from begin to end. Returns how many seconds that took. */
static TORTURE_UNUSED double torture_play(int argc, char **argv, weft_main_fn *play)
{
    double start;

    torture_begin(argc, argv);
    start = torture_now();
    weft_run(play, NULL);
    start = torture_now() - start;
    torture_end();
    return start;
}

/* For weft_blocking: joins the thread that `thread` points to. */
static TORTURE_UNUSED void torture_join(void *thread)
{
    pthread_join(*(pthread_t *)thread, NULL);
}

#endif
