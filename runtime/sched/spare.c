/* SPDX-License-Identifier: MIT */
/* spare.c - the supply of threads: how a worker is made, spares, the cap, and what happens when
 * there are no more.
 *
 * Owns: sched.all, sched.spares, sched.orphans, and the flag that threads are short.
 * Lock: sched.lock (rank RUNQ) guards sched.spares, sched.orphans, sched.all, and their counts.
 * spare.h says which threads may call.
 *
 * A thread is made when a processor needs one and there is no spare, up to the cap (max_threads,
 * and one for each processor). While tasks sit in calls, spares are made ahead of the need. So a
 * refusal of the kernel is known while there are threads left.
 *
 * Threads are short when as many tasks sit in calls as the cap allows, or when the kernel refuses
 * and no more spares are left than processors. From then on tasks of functions that block wait in
 * the queue of lane.c before they run, and declared calls wait before they begin. The spares that
 * are left, and RESERVE threads beyond the cap, serve functions that were not seen to block so far.
 * So at least one processor stays for tasks that do not block. If the kernel refuses and no task
 * sits in a call, one may begin. While tasks wait for a thread the kernel is asked again and again.
 *
 * A processor whose task blocks when there is no thread to take over is an orphan. The workers that
 * are left swap their own processors for it at every full turn, so its tasks, timers and sockets
 * have a thread now and then. A thread that becomes a spare takes an orphan at once.
 *
 * The cap (10,000 threads unless the program says otherwise) protects programs that leak. A run
 * begins with one spare thread, without which no hand-over could happen, and each spare that is
 * used is replaced by another.
 *
 * Each second half of the threads end that were not needed for a second, so a storm of calls leaves
 * few behind. A thread that forked stays: its end would send the child the signal of
 * PR_SET_PDEATHSIG. The first threads of a run stay, too: the threadcreate profile has no stack for
 * them, only a count. */
#include "runtime/sched/spare.h"

#include "runtime/base/log.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/thread.h"

#include <stdlib.h>
#include <string.h>

/* RESERVE: threads beyond the cap. KEPT: spares that never end, beside one for each processor.
 * AHEAD_FROM: tasks in calls from which on spares are made for all processors. */
enum { RESERVE = 8, KEPT = 8, AHEAD_FROM = 2 };

#define SECOND INT64_C(1000000000)

static struct {
    bool refused;     /* atomic: the kernel gave no thread when last asked */
    bool said_capped; /* atomic: each is said once a run */
    bool said_refused;
    int64_t asked;   /* atomic: when a spare was made ahead */
    int64_t counted; /* monitor: when it began to count */
    uint32_t least;  /* monitor: the fewest spares since then */
} supply;

/* Workers -------------------------------------------------------------------------------------- */

void weft__worker_unlist(weft__worker *w)
{
    weft__worker **at = &weft__sched.all;

    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    while (*at != w)
        at = &(*at)->all;
    *at = w->all;
    weft__store(&weft__sched.nthreads, weft__sched.nthreads - 1);
    weft__unlock(&weft__sched.lock);
}

/* Removes a worker for which there is no thread. */
static void worker_undo(weft__worker *w)
{
    weft__worker_unlist(w);
    weft__free(w);
}

weft__worker *weft__worker_new(weft_task_fn *made_for)
{
    weft__worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);

    if (!w)
        weft__no_memory(NULL, "worker");
    memset(w, 0, sizeof(*w));
    w->now = WEFT__UNKNOWN;
    w->in_rt = 1;
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    w->id = ++weft__sched.ids;
    weft__store(&weft__sched.nthreads, weft__sched.nthreads + 1);
    w->random = (weft__sched.chaos ? weft__sched.chaos : (uint64_t)weft__ticks()) * 2654435761u +
                w->id * UINT64_C(0x9e3779b97f4a7c15);
    weft__samplers_begin(w, w->random);
    w->all = weft__sched.all;
    weft__sched.all = w;
    weft__unlock(&weft__sched.lock);
    if (weft__thread_start_user(&w->thread, 1 << 20, weft__sched.work, w) != 0) {
        worker_undo(w);
        return NULL;
    }
    weft__tell_thread_made(w, made_for);
    return w;
}

/* Shortage ------------------------------------------------------------------------------------- */

/* Returns the most threads that there may be. */
static uint32_t most(void)
{
    return (uint32_t)(weft__sched.max_calls + 2 * weft__load(&weft__sched.nprocs)) + RESERVE;
}

/* Returns whether making another thread may succeed. */
static bool may_make(void)
{
    return !weft__load(&supply.refused) && weft__load(&weft__sched.nthreads) < most();
}

/* Returns how many tasks sit in calls without a processor. */
static int64_t in_calls(void)
{
    return (int64_t)weft__load(&weft__sched.nlost) - weft__load(&weft__sched.nhogs);
}

/* Returns how many more tasks may sit in calls before threads are short. One may if none does, or
 * with few threads no call would ever begin. */
static int64_t room(void)
{
    int64_t left = weft__sched.max_calls - in_calls(), spares = weft__load(&weft__sched.nspares);
    int64_t free = spares - weft__load(&weft__sched.nprocs);

    if (free <= 0 && spares > 0 && in_calls() <= 0)
        free = 1;
    return may_make() || left < free ? left : free;
}

static void say_short(void)
{
    if (weft__load(&supply.refused)) {
        if (!weft__xchg(&supply.said_refused, true))
            weft__log("weft: the kernel gives no more threads than %u (ulimit -u, pids.max, "
                      "vm.max_map_count or memory): tasks of functions that block wait for one",
                      weft__load(&weft__sched.nthreads));
    } else if (!weft__xchg(&supply.said_capped, true)) {
        weft__log("weft: %d threads sit in calls or loops without a processor, as many as "
                  "max_threads allows: tasks of functions that block wait for one",
                  weft__sched.max_calls);
    }
}

void weft__supply_check(void)
{
    int64_t left = room();

    if ((left <= 0) != weft__threads_short())
        weft__gate_set(left <= 0);
    if (weft__held_count() == 0)
        return;
    if (left > 0)
        weft__held_release(left);
    else if (weft__load(&weft__sched.nspares) > 0)
        weft__held_retry();
}

void weft__supply_missed(void)
{
    say_short();
}

/* Spares --------------------------------------------------------------------------------------- */

/* Takes the first spare out of the list. Caller holds the lock. */
static weft__worker *unlink_spare(void)
{
    weft__worker *w = weft__sched.spares;

    if (w) {
        weft__sched.spares = w->next;
        weft__store(&weft__sched.nspares, weft__sched.nspares - 1);
    }
    return w;
}

static weft__worker *pop(void)
{
    weft__worker *w;

    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    w = unlink_spare();
    weft__unlock(&weft__sched.lock);
    return w;
}

static weft__worker *make(weft_task_fn *made_for)
{
    weft__worker *w;

    if (weft__load(&weft__sched.nthreads) >= most()) {
        say_short();
        return NULL;
    }
    w = weft__worker_new(made_for);
    weft__store(&supply.refused, !w);
    if (!w)
        say_short();
    return w;
}

/* Orphans: processors without a thread --------------------------------------------------------- */

/* Takes the first orphan out of the list, or puts p at its end, so that orphans take turns. Caller
 * holds the lock. */
static weft__proc *unlink_orphan(void)
{
    weft__proc *p = weft__sched.orphans;

    if (p) {
        weft__sched.orphans = p->next;
        weft__store(&weft__sched.norphans, weft__sched.norphans - 1);
    }
    return p;
}

static void link_orphan(weft__proc *p)
{
    weft__proc **at = &weft__sched.orphans;

    while (*at)
        at = &(*at)->next;
    p->next = NULL;
    *at = p;
    weft__store(&weft__sched.norphans, weft__sched.norphans + 1);
}

/* Gives orphans to spares as long as there are both. */
static void orphans_give(void)
{
    weft__proc *p;
    weft__worker *w;

    do {
        weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
        p = weft__sched.spares ? unlink_orphan() : NULL;
        w = p ? unlink_spare() : NULL;
        weft__unlock(&weft__sched.lock);
        if (w)
            weft__proc_give(p, w);
    } while (w);
}

bool weft__orphans_may_be(void)
{
    return weft__load(&weft__sched.norphans) + 1 < (uint32_t)weft__load(&weft__sched.nprocs);
}

void weft__orphans_add(weft__proc *p)
{
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    link_orphan(p);
    weft__unlock(&weft__sched.lock);
    orphans_give(); /* a spare may have come meanwhile */
    weft__fence_full();
    weft__wake_one();
}

/* Holds the lock of w while w->p changes: a taker that saw the old processor as w's must not take
 * it after w has left the runtime with the new one. */
void weft__orphans_swap(weft__worker *w)
{
    weft__proc *p = w->p, *orphan;

    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    orphan = unlink_orphan();
    if (orphan) {
        weft__store(&p->owner, NULL);
        link_orphan(p);
    }
    weft__unlock(&weft__sched.lock);
    if (!orphan)
        return;
    weft__lock(&w->lk, WEFT__RANK_RUNQ);
    weft__store(&w->p, orphan);
    weft__unlock(&w->lk);
    weft__store_rel(&orphan->owner, w);
}

/* Ahead of the need --------------------------------------------------------------------------- */

void weft__spare_ahead(weft_task_fn *made_for)
{
    uint32_t procs = (uint32_t)weft__load(&weft__sched.nprocs);
    uint32_t wanted = weft__held_count() > 0 ? procs + 1 : in_calls() < AHEAD_FROM ? 1 : procs;
    weft__worker *w;

    if (weft__load(&weft__sched.stopping))
        return;
    if (weft__load(&supply.refused) && weft__mono() - weft__load(&supply.asked) < SECOND / 10)
        return;
    while (weft__load(&weft__sched.nspares) < wanted) {
        weft__store(&supply.asked, weft__mono());
        w = make(made_for);
        if (!w) {
            weft__supply_check();
            return;
        }
        weft__spare_put(w);
    }
}

weft__worker *weft__spare_get(weft_task_fn *made_for)
{
    weft__worker *w = pop();

    return w || weft__load(&weft__sched.stopping) ? w : make(made_for);
}

void weft__spare_put(weft__worker *w)
{
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    w->next = weft__sched.spares;
    weft__sched.spares = w;
    weft__store(&weft__sched.nspares, weft__sched.nspares + 1);
    weft__unlock(&weft__sched.lock);
    if (weft__load(&weft__sched.norphans) > 0)
        orphans_give();
    if (weft__threads_short())
        weft__supply_check();
}

/* Ending --------------------------------------------------------------------------------------- */

static uint32_t kept(void)
{
    return (uint32_t)weft__load(&weft__sched.nprocs) + KEPT;
}

/* Ends the thread of w, which frees w once it sees that it is abandoned. */
static void retire(weft__worker *w)
{
    weft__worker_unlist(w);
    weft__tell_thread_gone(w);
    pthread_detach(w->thread);
    weft__store_rel(&w->wake, 1);
    weft__store_rel(&w->end, WEFT__ABANDONED);
    weft__futex_wake(&w->wake, 1); /* w may be freed: then this wakes no thread */
}

/* Ends half of the spares that were not needed for a second. */
static void retire_some(int64_t now)
{
    uint32_t spares = weft__load(&weft__sched.nspares), n;
    weft__worker *w, *stay = NULL, *next;

    if (spares < supply.least)
        supply.least = spares;
    if (now - supply.counted < SECOND)
        return;
    n = supply.least > kept() ? (supply.least - kept() + 1) / 2 : 0;
    supply.counted = now;
    supply.least = spares;
    while (n > 0 && (w = pop()) != NULL) {
        if (weft__load(&w->stays)) {
            w->next = stay;
            stay = w;
        } else {
            retire(w);
        }
        n--;
    }
    for (; stay; stay = next) {
        next = stay->next;
        weft__spare_put(stay);
    }
}

bool weft__supply_surplus(void)
{
    return weft__load(&weft__sched.nspares) > kept();
}

void weft__supply_tend(int64_t now)
{
    if (weft__load(&supply.refused))
        weft__spare_ahead(NULL);
    retire_some(now);
    if (weft__threads_short() || weft__held_count() > 0)
        weft__supply_check();
}

void weft__supply_clear(void)
{
    memset(&supply, 0, sizeof(supply));
}
