/* SPDX-License-Identifier: MIT */
/* find.c - finds the next task for a worker: the full turn of a processor.
 *
 * Owns: when a processor polls its loop and when it looks at the other queues. Only the owner of
 * the processor calls weft__find_work, on its thread's own stack, with no lock held.
 *
 * A full turn delivers mail, polls, runs timers, and then looks in this processor's queue, in the
 * global one, in the loop and in the other processors' queues. If nothing is found, it sleeps. A
 * processor that rests (run/procs.c) does the first half alone. */
#include "runtime/sched/delay.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

enum { FULL_TURN = 64, GLOBAL_FIRST = 4, SPIN_ROUNDS = 40, SPIN_PAUSES = 30 };
enum { POLL_TICKS = 200000, POLL_SHARE = 8, POLL_MOST = 5000000 /* ticks */ };
enum { POLL_CHANGES = 128 };

static weft__task *steal(weft__worker *w, weft__proc *p)
{
    uint32_t n = (uint32_t)weft__load_acq(&weft__sched.nprocs),
             first = (uint32_t)(weft__random(&w->random) % n);

    for (uint32_t i = 0; i < n; i++) {
        weft__proc *victim = &weft__sched.procs[(first + i) % n];
        weft__task *t = victim == p ? NULL : weft__runq_steal(&p->runq, &victim->runq);

        if (t)
            return t;
    }
    return NULL;
}

/* Looks for work for a while: a sleep and a wake-up across CPUs cost a hundred times as much as a
 * look. At most half as many workers as are busy may look, or they would do nothing else. */
static weft__task *spin(weft__worker *w, weft__proc *p)
{
    weft__task *t = NULL;
    uint32_t n = (uint32_t)weft__load_acq(&weft__sched.nprocs);

    if (n == 1 || 2 * weft__load(&weft__sched.nspinning) >= n - weft__load(&weft__sched.nidle))
        return NULL;
    weft__add(&weft__sched.nspinning, 1);
    for (uint32_t i = 0; i < p->patience && !t && !weft__load(&weft__sched.stopping); i++) {
        t = weft__global_pop(&p->runq, weft__load(&weft__sched.active));
        if (!t)
            t = steal(w, p);
        for (int j = 0; j < SPIN_PAUSES && !t; j++)
            weft__pause();
    }
    p->patience = t ? SPIN_ROUNDS : p->patience / 2 + 1;
    if (weft__sub(&weft__sched.nspinning, 1) == 1 && t)
        weft__wake_one();
    return t;
}

/* Polls, and chooses the time of the next poll. Polls get a share of the time at most: with many
 * sockets ready whose tasks are still in the queue, each poll finds them all again. weft__find_work
 * polls earlier after POLL_CHANGES new sockets: the poll after 2,000 accepts took 14 ms. */
static void poll_now(weft__worker *w, weft__proc *p)
{
    int64_t took;

    p->polled = w->now;
    weft__loop_poll(p->loop, 0);
    w->now = weft__ticks();
    took = w->now - p->polled;
    p->poll_after = took < POLL_MOST / POLL_SHARE ? POLL_TICKS + POLL_SHARE * took : POLL_MOST;
}

/* Runs the timers of other processors: one has due timers, and its task does not switch. */
static void run_late_timers(weft__proc *p)
{
    for (int i = 0; i < weft__load_acq(&weft__sched.nprocs); i++) {
        if (&weft__sched.procs[i] != p)
            weft__timers_run(&weft__sched.procs[i]);
    }
}

/* Leaves the tasks of p, which rests, to the other processors, and sleeps: they are the ones that
 * its loop and its timers made ready, and those that it had when it came to rest. */
static void rest(weft__proc *p)
{
    weft__task *t;

    while ((t = weft__runq_pop(&p->runq)) != NULL)
        weft__global_push(t);
    weft__proc_sleep(p);
}

weft__task *weft__find_work(weft__worker *w)
{
    weft__proc *p = w->p;
    weft__task *t = NULL;

    weft__store(&p->turn, p->tick + FULL_TURN);
    w->source = WEFT__BY_LOOP;
    weft__proc_deliver(p);
    w->now = weft__ticks();
    weft__delay_check(w);
    if (w->now - p->polled > p->poll_after || weft__loop_changes(p->loop) >= POLL_CHANGES)
        poll_now(w, p);
    w->source = WEFT__BY_TIMER;
    weft__timers_run(p); /* after the poll: due tasks then go before those that it made ready */
    if (weft__unlikely(weft__load(&weft__sched.late)))
        run_late_timers(p);
    w->source = WEFT__BY_LOOP;
    weft__samplers_check(w);
    w->now = weft__ticks();
    if (weft__proc_rests(p)) {
        rest(p);
        return NULL;
    }
    if (p->turns++ % GLOBAL_FIRST == 0)
        t = weft__global_pop(&p->runq, weft__load(&weft__sched.active));
    if (!t)
        t = weft__runq_pop(&p->runq);
    if (!t)
        t = weft__global_pop(&p->runq, weft__load(&weft__sched.active));
    if (!t && weft__loop_busy(p->loop)) {
        poll_now(w, p);
        t = weft__runq_pop(&p->runq);
    }
    if (!t && weft__load(&weft__sched.nprocs) > 1) {
        w->now = WEFT__UNKNOWN;
        t = steal(w, p);
        if (!t)
            t = spin(w, p);
    }
    if (!t)
        weft__proc_sleep(p);
    w->source = WEFT__BY_LIBRARY;
    return t;
}
