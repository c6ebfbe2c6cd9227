/* SPDX-License-Identifier: MIT */
/* sampler.c - starts and stops a sampling; the controller, the thread that serves it (cpu.h).
 *
 * Owns: the sampling under way. The thread that took `busy` starts and stops it; in between the
 * controller alone uses records and threads.
 * Lock: listening (a pthread mutex) is held while samples are handed on, and guards the listener
 * and the rounds.
 *
 * A ring has room for 100 ms of samples even of the deepest stacks, and the controller empties it
 * every 50 ms; longer if it must wait for the symbolizer. It looks for new threads as often, but
 * less if there are many, since that costs a microsecond for each. */
#include "profiles/cpu/bounds.h"
#include "profiles/cpu/cpu.h"
#include "profiles/cpu/record.h"
#include "profiles/cpu/signal.h"
#include "profiles/cpu/threads.h"
#include "profiles/walk/symbolize.h"

#include "runtime/base/clock.h"
#include "runtime/base/lock.h"
#include "runtime/sched/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { DRAIN = 50000000 /* ns */, MANY = 200 /* threads */, LOOK_EACH = 5 /* drains */ };

static struct {
    uint32_t busy;     /* atomic */
    uint32_t stopping; /* atomic */
    uint32_t call;     /* atomic; a futex: 1: the controller is wanted now */
    pthread_t controller;
    struct weft__cpu_sink *to;
    int64_t cpu; /* of the process, at the start; ns */
    struct weft__cpu_counts counts;
    struct weft__walk walk; /* of the sample that is handed on */
} sampling;

static pthread_mutex_t listening = PTHREAD_MUTEX_INITIALIZER;
static struct weft__cpu_sink *listener; /* guarded by listening */

/* The controller's looks at all rings. */
static struct {
    bool serving;         /* the controller lives; guarded by listening, as the next */
    uint32_t begun, done; /* the number of the latest round that began, and that ended */
    uint32_t changes;     /* atomic; a futex: goes up when a round ends, or serving does */
} rounds;

/* Hands on the samples of a thread. */
static void drain(struct weft__cpu_record *r)
{
    struct weft__cpu_sample s;

    pthread_mutex_lock(&listening);
    while (weft__cpu_record_read(r, &s, &sampling.walk, &sampling.counts)) {
        sampling.to->sample(sampling.to, &s);
        if (listener)
            listener->sample(listener, &s);
        weft__tags_drop(s.tags);
    }
    pthread_mutex_unlock(&listening);
    sampling.counts.lost += weft__xchg(&r->lost, 0);
}

static void round_begins(void)
{
    weft__store(&sampling.call, 0);
    pthread_mutex_lock(&listening);
    rounds.begun++;
    pthread_mutex_unlock(&listening);
}

static void tell_change(void)
{
    weft__add(&rounds.changes, 1);
    weft__futex_wake(&rounds.changes, INT32_MAX);
}

static void round_ends(void)
{
    pthread_mutex_lock(&listening);
    rounds.done = rounds.begun;
    pthread_mutex_unlock(&listening);
    tell_change();
}

static void serve(bool serving)
{
    pthread_mutex_lock(&listening);
    rounds.serving = serving;
    pthread_mutex_unlock(&listening);
    tell_change();
}

static void call_controller(void)
{
    weft__store_rel(&sampling.call, 1);
    weft__futex_wake(&sampling.call, 1);
}

static void *controller(void *arg)
{
    int self = gettid();

    (void)arg;
    prctl(PR_SET_NAME, "weft-cpu");
    for (uint32_t i = 1; !weft__load_acq(&sampling.stopping); i++) {
        weft__futex_wait(&sampling.call, 0, DRAIN);
        round_begins();
        weft__symbolizer_look(); /* has files learned that were opened meanwhile */
        weft__cpu_threads_each(drain);
        round_ends();
        if (weft__cpu_threads_count() < MANY || i % LOOK_EACH == 0)
            weft__cpu_threads_look(&sampling.counts, self, drain);
    }
    weft__cpu_threads_stop(&sampling.counts);
    weft__cpu_records_stop();
    weft__cpu_threads_each(drain);
    serve(false);
    return NULL;
}

static int64_t process_cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void clear(void)
{
    weft__cpu_threads_free();
    weft__cpu_records_close();
    weft__cpu_bounds_free();
    weft__store_rel(&sampling.busy, 0);
}

int weft__cpu_start(struct weft__cpu_sink *to, int hz)
{
    uint32_t busy = 0;

    if (!weft__cas(&sampling.busy, &busy, 1))
        return -EBUSY;
    weft__symbolizer_settle(); /* else walks would miss rules in the first milliseconds of a run */
    sampling.to = to;
    sampling.counts = (struct weft__cpu_counts){.hz = hz};
    weft__store(&sampling.stopping, 0);
    if (!weft__cpu_records_open()) {
        clear();
        return -ENOMEM;
    }
    sampling.counts.signo = weft__cpu_signal_take();
    sampling.cpu = process_cpu();
    weft__cpu_threads_look(&sampling.counts, 0, drain);
    serve(true);
    if (weft__thread_start(&sampling.controller, 0, controller, NULL) == 0)
        return 0;
    serve(false);
    weft__cpu_threads_stop(&sampling.counts);
    clear();
    return -EAGAIN;
}

void weft__cpu_stop(struct weft__cpu_counts *counts)
{
    weft__store_rel(&sampling.stopping, 1);
    call_controller();
    pthread_join(sampling.controller, NULL);
    *counts = sampling.counts;
    counts->cpu = process_cpu() - sampling.cpu;
    counts->replaced = !weft__cpu_signal_stands(counts->signo);
    clear();
}

void weft__cpu_listen(struct weft__cpu_sink *to)
{
    pthread_mutex_lock(&listening);
    listener = to;
    pthread_mutex_unlock(&listening);
}

static uint32_t rounds_begun(void)
{
    uint32_t n;

    pthread_mutex_lock(&listening);
    n = rounds.begun;
    pthread_mutex_unlock(&listening);
    return n;
}

/* Returns whether no round up to this one is still to come. */
static bool is_over(uint32_t round)
{
    bool over;

    pthread_mutex_lock(&listening);
    over = !rounds.serving || (int32_t)(rounds.done - round) >= 0;
    pthread_mutex_unlock(&listening);
    return over;
}

/* The round under way may have passed a ring already, so the next one counts. */
void weft__cpu_hand_on(void)
{
    uint32_t next = rounds_begun() + 1, seen;

    while (seen = weft__load_acq(&rounds.changes), !is_over(next)) {
        call_controller();
        weft__futex_wait(&rounds.changes, seen, -1);
    }
}
