/* SPDX-License-Identifier: MIT */
/* worker.c - the work of a worker's thread: run tasks, hand processors over, wait for one.
 *
 * Owns: the life of a worker from its thread's start to its end. spare.c makes the threads; they
 * run weft__worker_main, which calls no function of a program: tasks run below weft__switch_to.
 * scheduler.h has the protocols and the locks. */
#include "runtime/machine/eh.h"
#include "runtime/sched/beside.h"
#include "runtime/sched/delay.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/spare.h"
#include "runtime/sched/thread.h"

#include <sched.h>

static bool is_abandoned(weft__worker *w)
{
    return weft__load_acq(&w->end) != WEFT__ALIVE;
}

/* Returns whether the run is over for w. Checks `end` before and after `stopping`: an abandoned
 * worker could otherwise read the `stopping` of the next run. */
static bool run_is_over(weft__worker *w)
{
    return is_abandoned(w) || weft__load_acq(&weft__sched.stopping) || is_abandoned(w);
}

/* Queues a task that came back without its processor; the thread becomes a spare. on_cpu is cleared
 * before the task is in a queue, where any worker can take it. */
static void lost_came_back(weft__worker *w, weft__task *t)
{
    weft_task_fn *fn = t->fn; /* t may end, and be another, once it is in the queue */
    bool is_hog;
    int64_t cpu = 0;
    uint32_t why;

    weft__lock(&w->lk, WEFT__RANK_RUNQ);
    why = w->lost;
    w->lost = WEFT__KEPT;
    weft__store(&w->take, 0);
    weft__unlock(&w->lk);
    weft__store(&w->lost_since, 0);
    weft__delay_forget(w);
    if (run_is_over(w)) {
        /* t is RUNNING, not LOST, if the end of the run took its processor. */
        weft__task_move(t, weft__load(&t->state), WEFT__DEAD);
        return;
    }
    is_hog = why == WEFT__BURNT || why == WEFT__STALLED;
    if (is_hog)
        cpu = weft__cpu_nanos(w->cpu_clock) - w->hog_cpu;
    weft__lane_back(t, why == WEFT__BURNT, cpu);
    if (why == WEFT__IN_CALL)
        weft__flag_set(t, WEFT__SAT);
    if (weft__threads_short())
        weft__flag_set(t, WEFT__PASSED); /* it brings a thread */
    weft__task_move(t, WEFT__LOST, WEFT__RUNNABLE);
    weft__tell(yield, t);
    weft__store_rel(&t->on_cpu, 0);
    if (why == WEFT__DECLARED) /* it burnt no CPU, and may have come back for a moment only */
        weft__global_push_front(t);
    else
        weft__global_push(t);
    weft__fence_full();
    if (why == WEFT__IN_CALL)
        weft__site_returned(fn);
    if (is_hog) {
        weft__store_seq(&w->hog_since, 0);
        weft__beside_left(w);
        weft__sub(&weft__sched.nhogs, 1);
        weft__lane_returned(w);
    }
    weft__sub(&weft__sched.nlost, 1);
    weft__wake_one();
}

/* Gives the processor to the thread that t is tied to. That thread may still have a processor of
 * its own, which it is about to give away, since t has left it. */
static void give_to_pinned(weft__worker *w, weft__task *t)
{
    weft__worker *to = t->worker;
    weft__proc *p = w->p;

    for (int spins = 0; weft__load_acq(&to->p); spins++) {
        if (weft__load(&weft__sched.stopping))
            return;
        if (spins < 100)
            weft__pause();
        else
            sched_yield();
    }
    weft__store_rel(&w->p, NULL);
    to->picked = t;
    to->now = WEFT__UNKNOWN;
    weft__proc_give(p, to);
}

/* Gives the processor to another thread while the task that is tied to this thread waits. */
static void give_while_pinned(weft__worker *w)
{
    weft__proc *p = w->p;
    weft_task_fn *fn = weft__load(&w->pinned->fn);
    weft__worker *spare = weft__spare_get(fn);

    if (!spare && !weft__load(&weft__sched.stopping))
        spare = weft__worker_new(fn);
    if (!spare && !weft__load(&weft__sched.stopping)) /* the processor would have no thread */
        weft__no_thread(weft__load(&weft__sched.nthreads));
    if (!spare)
        return;
    weft__spare_ahead(fn);
    weft__store_rel(&w->p, NULL);
    weft__proc_give(p, spare);
}

/* Waits for a processor. fresh: the thread that made w gives it one, or puts it among the spares.
 * Returns false at the end of the run. */
static bool wait_for_processor(weft__worker *w, bool fresh)
{
    if (!fresh && !weft__load(&w->pinned))
        weft__spare_put(w);
    while (!weft__load_acq(&w->p)) {
        if (run_is_over(w))
            return false;
        weft__futex_wait(&w->wake, 0, -1);
        weft__store_seq(&w->wake, 0); /* before p is read: it may erase the 1 of a giver */
    }
    return true;
}

static void step(weft__worker *w)
{
    weft__task *t = w->picked;

    w->picked = NULL;
    if (!t && weft__load(&w->pinned)) {
        give_while_pinned(w);
        return;
    }
    if (!t) {
        if (weft__unlikely(weft__load(&weft__sched.norphans) > 0))
            weft__orphans_swap(w);
        t = weft__find_work(w);
    }
    if (!t)
        return;
    if (weft__unlikely(t->pins && t->worker != w)) {
        give_to_pinned(w, t);
        return;
    }
    if (weft__unlikely(!w->begun && weft__asks(t) && !weft__gate_admit(t)))
        return;
    t = weft__switch_to(w, t);
    if (t)
        lost_came_back(w, t);
}

void *weft__worker_main(void *arg)
{
    weft__worker *w = arg;
    bool fresh = true;

    weft__self_set(w);
    w->errno_at = weft__errno_at();
    w->eh = weft__eh_at();
    weft__ctx_thread(&w->ctx);
    weft__worker_setup(w);
    weft__worker_lives(w);
    weft__store(&w->in_rt, 1);
    while (!run_is_over(w)) {
        if (weft__load_acq(&w->p))
            step(w);
        else if (!wait_for_processor(w, fresh))
            break;
        fresh = false;
    }
    if (w->begun) /* the task was picked and marked, but the run ended first */
        weft__task_move(w->picked, WEFT__RUNNING, WEFT__RUNNABLE);
    weft__worker_lives(NULL);
    weft__worker_teardown(w);
    weft__self_set(NULL);
    if (weft__xchg(&w->end, WEFT__GONE) == WEFT__ABANDONED)
        weft__free(w);
    return NULL;
}
