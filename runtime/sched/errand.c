/* SPDX-License-Identifier: MIT */
/* errand.c - work that a dying thread leaves to weft_run's thread.
 *
 * Owns: the one errand. There is no lock: its state is atomic, and goes from NO_ERRAND to ASKED by
 * the dying thread, to TAKEN and DONE by weft_run's. errand.h says which thread may call. */
#include "runtime/sched/errand.h"

#include "runtime/base/clock.h"
#include "runtime/base/death.h"
#include "runtime/base/lock.h"
#include "runtime/sched/scheduler.h"

#include <pthread.h>
#include <unistd.h>

/* The time in which weft_run's thread must begin. Sanitizers make everything ten times as slow. */
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
enum { BEGINS = 5000 /* ms */ };
#else
enum { BEGINS = 500 /* ms */ };
#endif

enum errand_state { NO_ERRAND, ASKED, TAKEN, DONE };

static struct {
    pthread_t runner; /* weft_run's thread */
    uint32_t state;   /* atomic, futex: enum errand_state */
    void (*fn)(void *arg);
    void *arg;
} errand;

void weft__errands_init(void)
{
    errand.runner = pthread_self();
}

bool weft__errand(void (*fn)(void *arg), void *arg)
{
    int64_t until = weft__mono() + BEGINS * INT64_C(1000000);
    uint32_t asked = ASKED;

    if (pthread_equal(errand.runner, pthread_self()))
        return false;
    errand.fn = fn;
    errand.arg = arg;
    weft__store_rel(&errand.state, ASKED);
    weft__done_kick();
    while (weft__load_acq(&errand.state) == ASKED && weft__mono() < until)
        weft__futex_wait(&errand.state, ASKED, 1000000);
    if (weft__cas(&errand.state, &asked, NO_ERRAND))
        return false;
    while (weft__load_acq(&errand.state) == TAKEN)
        weft__futex_wait(&errand.state, TAKEN, -1);
    return true;
}

void weft__errand_run(void)
{
    uint32_t asked = ASKED;

    if (!weft__cas(&errand.state, &asked, TAKEN))
        return;
    errand.fn(errand.arg);
    weft__store_rel(&errand.state, DONE);
    weft__futex_wake(&errand.state, 1);
}

void weft__death_wait(void)
{
    while (weft__is_dying()) {
        weft__errand_run();
        usleep(1000);
    }
}
