/* SPDX-License-Identifier: MIT */
/* run.c - a run: from a plain thread to a running set of processors and back.
 *
 * Owns: the order in which the parts of the runtime start and end. All
 * functions run on the thread that called weft_run, which runs no task. It starts the workers,
 * waits for the main task's end, and meanwhile does the work that signal handlers have left, and
 * tends the number of processors. The
 * kernel gives a signal of the process to the main thread first; so most signals land here, if
 * weft_run was called there.
 *
 * The end of a run waits a second for tasks in C calls, then leaves them to their threads. */
#include "runtime/run/run.h"

#include "runtime/base/env.h"
#include "runtime/base/handler.h"
#include "runtime/io/fd.h"
#include "runtime/io/sock.h"
#include "runtime/machine/eh.h"
#include "runtime/run/files.h"
#include "runtime/run/layout.h"
#include "runtime/run/procs.h"
#include "runtime/sched/beside.h"
#include "runtime/sched/delay.h"
#include "runtime/sched/errand.h"
#include "runtime/sched/fatal.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/park.h"
#include "runtime/sched/pool.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/spare.h"
#include "runtime/sched/thread.h"
#include "runtime/sync/group.h"
#include "runtime/sync/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The end -------------------------------------------------------------------------------------- */

/* The reasons why a worker has not left its loop; the end of the run waits longest for the last. */
enum left { NOBODY, IN_A_CALL, IN_THE_RUNTIME };

/* Stops w. Its task, if it runs one, comes to the worker's own stack at its next call. */
static enum left worker_stop(weft__worker *w)
{
    enum left where = IN_A_CALL;

    weft__lock(&w->lk, WEFT__RANK_RUNQ);
    if (!w->lost) {
        weft__store(&w->take, 1);
        weft__fence_heavy();
        if (weft__load_acq(&w->in_rt) == 0) {
            w->lost = WEFT__IN_CALL;
            weft__store(&w->p, NULL);
        } else {
            weft__store(&w->take, 0);
            where = IN_THE_RUNTIME;
        }
    } else {
        (void)weft__load_acq(&w->in_rt); /* a 0 shows all that it did before it left for its call */
    }
    weft__unlock(&w->lk);
    weft__store_rel(&w->wake, 1);
    weft__futex_wake(&w->wake, 1);
    return where;
}

/* Stops the workers. Returns the reason why some have not left their loops. */
static enum left workers_stop(void)
{
    enum left most = NOBODY, where;
    weft__worker *w;

    for (int i = 0; i < weft__sched.nprocs; i++)
        weft__proc_wake(&weft__sched.procs[i]);
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ); /* one may be making another just now */
    w = weft__sched.all;
    weft__unlock(&weft__sched.lock);
    for (; w; w = w->all) {
        if (weft__load_acq(&w->end) == WEFT__ALIVE) {
            where = worker_stop(w);
            if (where > most)
                most = where;
        }
    }
    return most;
}

static void workers_join(void)
{
    weft__worker *w, *next;
    pthread_t thread;

    for (w = weft__sched.all; w; w = next) {
        next = w->all;
        thread = w->thread;
        if (weft__xchg(&w->end, WEFT__ABANDONED) == WEFT__GONE) {
            pthread_join(thread, NULL);
            weft__lock(&w->lk, WEFT__RANK_RUNQ); /* weft__proc_give has let go of it */
            weft__unlock(&w->lk);
            weft__free(w);
        } else {
            pthread_detach(thread); /* w may be gone */
        }
    }
    weft__sched.all = weft__sched.spares = NULL;
}

static void tear_down(void)
{
    int64_t until = weft__mono() + INT64_C(1000000000);
    enum left left;
    bool idle;

    weft__monitor_stop();
    weft__beside_stop();
    while ((left = workers_stop()) == IN_THE_RUNTIME || (left != NOBODY && weft__mono() < until)) {
        weft__death_wait();
        usleep(100);
    }
    weft__foreign_leave();
    weft__foreign_stop(until);
    weft__sinks_stop();
    weft__signals_stop();
    weft__handlers_end();
    workers_join();
    weft__lane_clear();
    weft__socks_discard();
    idle = weft__pools_stop(until);
    weft__procs_free(); /* the last events of the loops may make tasks ready */
    weft__children_discard();
    weft__global_clear();
    weft__tasks_discard(!idle);
    weft__files_end();
    weft__store_rel(&weft__sched.running, false);
}

/* The run -------------------------------------------------------------------------------------- */

struct start {
    weft_main_fn *fn;
    void *arg;
};

static void main_task(void *arg)
{
    struct start *s = arg;

    weft__sched.result = s->fn(s->arg);
    weft__store_seq(&weft__sched.stopping, true);
    weft__done_kick();
}

/* Makes a first blocking call. Under TSan that call allocates the thread's notes of signals, and a
 * signal that comes in the middle of it is lost. */
static void signals_can_come(void)
{
#ifdef WEFT__TSAN
    usleep(1);
#endif
}

static void begin(const weft_run_options *o)
{
    static uint32_t guard;

    weft__not_forked("weft_run");
    weft__lock(&guard, WEFT__RANK_GROUP);
    if (weft__load(&weft__sched.running)) {
        weft__unlock(&guard);
        weft__panic("weft: weft_run called while a run is under way");
    }
    memset(&weft__sched, 0, sizeof(weft__sched));
    weft__done_init();
    weft__sched.running = true;
    weft__run_number++;
    weft__unlock(&guard);
    weft__files_begin(!o->keep_file_limit && !weft__env_off("WEFT_RAISE_FILES"));
    weft__sched.work = weft__worker_main;
    weft__sched.handoff = !o->no_handoff && !weft__env_off("WEFT_HANDOFF");
    weft__sched.signals = !o->no_signals;
    weft__sched.chaos = (uint64_t)weft__env_number("WEFT_CHAOS", 0, INT64_MAX, 0);
    weft__fatal_begin();
    weft__ctx_init();
    weft__fence_init();
    weft__clock_init();
    weft__eh_init();
    weft__foreign_init();
    weft__errands_init();
    weft__tasks_init(o->stack_size, weft__group_leave);
    weft__layout_init();
    weft__procs_make(o);
    weft__lane_clear(); /* before any worker: functions known to hog enter the lane at once */
    weft__supply_clear();
    weft__beside_start();
    weft__delays_begin();
    weft__clock_measure();
    weft__pools_start();
    weft__sinks_start();
    signals_can_come();
    weft__handlers_begin();
    weft__threads_begin();
    if (weft__sched.signals) {
        weft__signals_start();
        weft__faults_begin();
    }
    weft__foreign_open();
}

/* Starts a thread for each processor, a spare, so that the first call that blocks can be handed
 * over, and the monitor. Where the system does not give these, no task runs. */
static void threads_start(void)
{
    for (int i = 0; i <= weft__sched.nprocs; i++) {
        weft__worker *w = weft__worker_new(NULL);

        if (!w)
            weft__no_thread((unsigned)i);
        weft__store(&w->stays, true);
        weft__spare_put(w);
    }
    weft__monitor_start();
    for (int i = 0; i < weft__sched.nprocs; i++)
        weft__proc_give(&weft__sched.procs[i], weft__spare_get(NULL));
}

/* Does the run, with the caller's context saved. */
static void run(void *start)
{
    weft__task *t = weft__task_new(NULL, NULL, main_task, start);
    sigset_t mask;

    t->creator_pc = 0;
    weft__flag_clear(t, WEFT__FOREIGN_CREATOR);
    weft__visible(t);
    weft__global_push(t);
    threads_start();
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    while (!weft__load_acq(&weft__sched.stopping)) {
        weft__done_wait(&mask);
        weft__errand_run();
        weft__signals_handle();
        weft__procs_tend();
    }
    tear_down();
}

int weft__run(const weft_run_options *options, weft_main_fn *fn, void *arg)
{
    struct start start = {fn, arg};

    begin(options);
    weft__ctx_call(&weft__sched.runner, run, &start);
    return weft__sched.result;
}
