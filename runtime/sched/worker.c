/* SPDX-License-Identifier: MIT */
/* worker.c - the work of a thread with a processor: switch tasks, find work, sleep, hand over.
 *
 * Owns: the workers, and which task runs on them. scheduler.h has the protocols and the locks.
 * Tasks call switch_away, yield and breathe inside the runtime, with no lock; workers do the rest.
 *
 * A task that waits switches straight to the next one. The worker's own stack runs only when no
 * task is next; for a full turn (timers, the loop, the global queue), every 64th time and when the
 * monitor asks for one, which it does each round; and for all that needs more than a switch:
 * snapshots, pins, the hog lane, a lost processor, the end. The task that arrives finishes for the
 * task that left (arrive): it clears on_cpu, and only then releases the other's lock. */
#include "runtime/machine/eh.h"
#include "runtime/sched/beside.h"
#include "runtime/sched/fatal.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/spare.h"
#include "runtime/sched/thread.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAP = 100000, SHARED_NAP = 1000000 /* ns */ };
enum { FULL_TURN = 64, GLOBAL_FIRST = 4, SPIN_ROUNDS = 40, SPIN_PAUSES = 30 };
enum { POLL_TICKS = 200000, POLL_SHARE = 8, POLL_MOST = 5000000 /* ticks */ };
enum { POLL_CHANGES = 128 };

struct weft__sched weft__sched;
uint32_t weft__run_number;

/* Switching ------------------------------------------------------------------------------------ */

static WEFT__NOINLINE void overflowed(weft__task *t)
{
    weft__report_overflow(t);
}

/* Finishes for the context that left: other threads may use its stack from here on. */
static inline void arrive(weft__worker *w)
{
    weft__task *prev = w->prev;
    weft__after *after = w->after;

    if (!prev)
        return;
    w->prev = NULL;
    if (weft__unlikely((weft__load(&prev->flags) & WEFT__CANARY) &&
                       !weft__stack_intact(&prev->ctx)))
        overflowed(prev);
    if (w->leave == WEFT__LEAVE_EXIT) {
        weft__task_free(w->p, prev);
        return;
    }
    weft__store_rel(&prev->on_cpu, 0);
    if (after) {
        after(w->after_arg);
        w->after = NULL;
    }
}

/* Waits until t's last thread has left its stack. Until then that thread may also store flags. */
static WEFT__NOINLINE void spin_until_left(const weft__task *t)
{
    for (int spins = 0; weft__load_acq(&t->on_cpu); spins++) {
        if (spins < 100)
            weft__pause();
        else
            sched_yield();
    }
}

static inline void wait_until_left(const weft__task *t)
{
    if (weft__unlikely(weft__load_acq(&t->on_cpu)))
        spin_until_left(t);
}

/* Returns whether t must ask at a gate before it runs. */
static inline bool asks(const weft__task *t)
{
    if (weft__likely(!weft__gates_any()))
        return false;
    wait_until_left(t);
    return weft__gate_asks(t);
}

/* Marks t as running on this worker. */
static inline void begin(weft__worker *w, weft__task *t)
{
    wait_until_left(t);
    weft__store(&t->on_cpu, 1);
    weft__task_move(t, WEFT__RUNNABLE, WEFT__RUNNING);
    weft__store_rel(&w->task, t); /* pairs with the monitor's look, which reads t->fn */
    t->worker = w;
    weft__tell(run, t, w);
}

/* Returns whether cur may switch straight to next. If this returns false after begin(next), the
 * worker's stack resumes next as already begun. */
static bool direct(weft__worker *w, weft__task *cur, weft__task *next)
{
    uint32_t epoch;

    if (weft__unlikely((next->pins && next->worker != w) || asks(next)))
        return false;
    begin(w, next);
    w->begun = true;
    weft__fence_light();
    epoch = weft__load_acq(&weft__epoch);
    if (weft__unlikely(weft__unrecorded(next, epoch) || weft__unrecorded(cur, epoch)))
        return false;
    w->begun = false;
    return true;
}

void weft__in_a_call(const char *call)
{
    weft__panic("weft: %s between weft_blocking_begin and weft_blocking_end", call);
}

/* Handles a task with a mark that leaves: panics inside a declared call, gives up its lane. */
static WEFT__NOINLINE void leave_marked(weft__task *t, enum weft__leave how)
{
    if (t->flags & WEFT__CALLING)
        weft__in_a_call(how == WEFT__LEAVE_PARK   ? weft__wait_text(t->reason)
                        : how == WEFT__LEAVE_EXIT ? "the end of the task"
                                                  : "a yield");
    if (t->flags & WEFT__LANE)
        weft__lane_leave(t);
    else /* it came back when no hogs were known, and has run to a wait since */
        weft__flag_clear(t, WEFT__HOG | WEFT__HEAVY);
}

weft__worker *weft__switch_away(weft__worker *w, enum weft__leave how)
{
    weft__task *cur = w->task, *next = NULL;
    weft__proc *p = w->p;
    weft__ctx *to;
    int saved = *w->errno_at;
    weft__eh exceptions;
    bool has_exceptions;

    if (weft__unlikely((cur->flags & (WEFT__LANE | WEFT__HOG | WEFT__CALLING)) &&
                       how != WEFT__LEAVE_LOST))
        leave_marked(cur, how);
    if (how == WEFT__LEAVE_YIELD) {
        w->now = WEFT__UNKNOWN;
        weft__task_move(cur, WEFT__RUNNING, WEFT__RUNNABLE);
        weft__tell(yield, cur);
        weft__runq_push(&p->runq, cur, false);
    } else if (how == WEFT__LEAVE_EXIT) {
        w->now = WEFT__UNKNOWN;
        weft__task_move(cur, WEFT__RUNNING, WEFT__DEAD);
        weft__store(&p->ends, p->ends + 1);
        if (weft__unlikely(cur->pins)) {
            weft__store(&cur->pins, 0);
            weft__store(&w->pinned, NULL);
        }
    }
    w->prev = cur;
    w->leave = how;
    if (weft__likely(how != WEFT__LEAVE_LOST && !cur->pins)) {
        weft__store(&p->tick, p->tick + 1);
        if ((int32_t)(p->tick - weft__load(&p->turn)) < 0 && !weft__is_set(&weft__sched.stopping))
            next = weft__runq_pop(&p->runq);
    }
    if (next == cur) {
        w->prev = NULL;
        weft__task_move(cur, WEFT__RUNNABLE, WEFT__RUNNING);
        weft__tell(run, cur, w);
        return w;
    }
    if (weft__likely(next && direct(w, cur, next))) {
        to = &next->ctx;
    } else {
        to = &w->ctx;
        w->picked = next;
        if (!w->begun)
            weft__store(&w->task, NULL);
    }
    has_exceptions = weft__eh_take(w->eh, &exceptions);
    /* The only place where a task leaves its stack, so that stacks of one wait are equal. */
    weft__ctx_switch(&cur->ctx, to, how == WEFT__LEAVE_EXIT);
    w = cur->worker; /* may be another worker by now */
    arrive(w);
    *w->errno_at = saved;
    if (weft__unlikely(has_exceptions))
        *w->eh = exceptions;
    return w;
}

weft__task *weft__worker_arrived(void)
{
    weft__worker *w = weft__self();
    weft__task *t = w->task;

    weft__ctx_started(&t->ctx);
    arrive(w);
    if (!(t->flags & WEFT__STARTED))
        weft__flag_set(t, WEFT__STARTED);
    return t;
}

void weft__yield(weft__task *t)
{
    if (t->flags & WEFT__FOREIGN)
        sched_yield();
    else
        weft__switch_away(t->worker, WEFT__LEAVE_YIELD);
}

void weft__breathe(weft__task *t)
{
    if (!(t->flags & WEFT__FOREIGN))
        weft__store(&t->worker->p->turn, t->worker->p->tick);
    weft__yield(t);
}

void weft_yield(void)
{
    weft__task *t = weft__enter("weft_yield")->task;

    weft__yield(t);
    weft__exit_as(t);
}

/* Handing processors over ---------------------------------------------------------------------- */

weft__worker *weft__enter_slow(const char *call)
{
    weft__worker *w = weft__self();
    bool lost;

    if (w->foreign)
        return weft__foreign_again(w, call);
    if (w->task->flags & WEFT__CALLING)
        weft__in_a_call(call);
    weft__lock(&w->lk, WEFT__RANK_RUNQ); /* waits for a taker in mid-decision */
    lost = w->lost;
    if (!lost)
        weft__store(&w->take, 0);
    weft__unlock(&w->lk);
    /* Not taken from, but asked: the time slice is used up. */
    return weft__switch_away(w, lost ? WEFT__LEAVE_LOST : WEFT__LEAVE_YIELD);
}

void weft__proc_give(weft__proc *p, weft__worker *w)
{
    weft__store_rel(&p->owner, w);
    weft__lock(&w->lk, WEFT__RANK_RUNQ);
    weft__store_rel(&w->p, p);
    weft__store_rel(&w->wake, 1);
    weft__unlock(&w->lk); /* from here on w may run, end and be freed */
    weft__futex_wake(&w->wake, 1);
}

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

/* Waking and sleeping -------------------------------------------------------------------------- */

void weft__proc_wake(weft__proc *p)
{
    weft__loop_wake(p->loop);
}

/* Clears the processor's idle bit. Returns true if this call did. The count follows later, and the
 * thread that cleared the bit may be delayed before that while the owner runs on. So only the bits
 * tell which processors sleep; the count is an upper bound. */
static bool idle_leave(uint32_t index)
{
    uint64_t bit = UINT64_C(1) << (index % 64);

    weft__add_seq(&weft__sched.idle_gen, 1);
    if (!(weft__and(&weft__sched.idle[index / 64], ~bit) & bit))
        return false;
    weft__sub(&weft__sched.nidle, 1);
    return true;
}

static void idle_join(uint32_t index)
{
    weft__add(&weft__sched.nidle, 1);
    weft__or(&weft__sched.idle[index / 64], UINT64_C(1) << (index % 64));
}

bool weft__all_idle(void)
{
    int n = 0;

    if (weft__load_seq(&weft__sched.nidle) < (uint32_t)weft__sched.nprocs)
        return false;
    for (int i = 0; i < weft__sched.nprocs; i += 64)
        n += __builtin_popcountll(weft__load_seq(&weft__sched.idle[i / 64]));
    return n == weft__sched.nprocs;
}

void weft__wake_one(void)
{
    weft__fence_light();
    if (weft__load(&weft__sched.nidle) == 0 || weft__load(&weft__sched.nspinning) > 0)
        return;
    for (int i = 0; i < weft__sched.nprocs; i += 64) {
        uint64_t idle = weft__load(&weft__sched.idle[i / 64]);

        while (idle) {
            uint32_t index = (uint32_t)(i + __builtin_ctzll(idle));

            if (idle_leave(index)) {
                weft__proc_wake(&weft__sched.procs[index]);
                return;
            }
            idle &= idle - 1;
        }
    }
}

void weft__proc_post(weft__proc *p, weft__mail *m)
{
    weft__lock(&p->mail_lock, WEFT__RANK_RUNQ);
    m->next = p->mail;
    weft__store(&p->mail, m);
    weft__unlock(&p->mail_lock);
    weft__fence_full(); /* uv_async_send looks at its flag with a relaxed load first */
    weft__proc_wake(p);
}

static void deliver_mail(weft__proc *p)
{
    weft__mail *m, *next, *ordered = NULL;

    if (weft__likely(!weft__load(&p->mail)))
        return;
    weft__lock(&p->mail_lock, WEFT__RANK_RUNQ);
    m = p->mail;
    weft__store(&p->mail, NULL);
    weft__unlock(&p->mail_lock);
    for (; m; m = next) {
        next = m->next;
        m->next = ordered;
        ordered = m;
    }
    for (m = ordered; m; m = next) {
        next = m->next;
        m->deliver(p, m);
    }
}

static bool work_anywhere(void)
{
    if (weft__global_len() > 0)
        return true;
    for (int i = 0; i < weft__sched.nprocs; i++) {
        if (weft__runq_stealable(&weft__sched.procs[i].runq))
            return true;
    }
    return false;
}

static int64_t earliest_timer(void)
{
    int64_t least = WEFT_FOREVER;

    for (int i = 0; i < weft__sched.nprocs; i++) {
        int64_t next = weft__load_acq(&weft__sched.procs[i].timers.next);

        if (next < least)
            least = next;
    }
    return least;
}

/* Returns whether only a timer, or nothing at all, can wake a task. Sees all processors asleep
 * twice, with none up in between (idle_gen), and reads the earliest timer in between. */
static bool all_asleep(int64_t *when)
{
    uint32_t gen = weft__load_seq(&weft__sched.idle_gen);

    if (!weft__all_idle() || weft__load_seq(&weft__sched.nlost) > 0 || weft__held_count() > 0 ||
        weft__load_seq(&weft__sched.outside) > 0 || weft__load_seq(&weft__sched.stopping))
        return false;
    for (int i = 0; i < weft__sched.nprocs; i++) {
        weft__proc *p = &weft__sched.procs[i];

        if (!weft__runq_empty(&p->runq) || weft__load_seq(&p->mail))
            return false;
    }
    *when = earliest_timer();
    return weft__global_len() == 0 && weft__load_seq(&weft__sched.idle_gen) == gen &&
           weft__all_idle();
}

/* All processors sleep: jumps the virtual clock, or reports a deadlock. */
static void nobody_left(int64_t when)
{
    if (when == WEFT_FOREVER) {
        weft__deadlock();
    } else if (weft__clock_virtual) {
        weft__clock_advance(when);
        for (int i = 0; i < weft__sched.nprocs; i++)
            weft__proc_wake(&weft__sched.procs[i]);
    }
}

/* Returns how long p may sleep, in ns; -1: until it is woken. */
static int64_t sleep_time(weft__proc *p)
{
    int64_t next = weft__load(&p->timers.next), now;

    if (next == WEFT_FOREVER)
        return -1;
    now = weft__nanos();
    if (next <= now)
        return 0;
    return weft__clock_virtual ? -1 : next - now;
}

/* Shortens a sleep while processors without a thread wait for this one. */
static int64_t short_sleep(int64_t ns)
{
    bool shared = weft__load(&weft__sched.norphans) > 0;

    return shared && (ns < 0 || ns > SHARED_NAP) ? SHARED_NAP : ns;
}

/* Stretches a sleep. Where timers follow each other closely, each would cost a sleep. So after a
 * short sleep the next one is NAP at least: many timers share it, and are late by half of it. */
static int64_t nap(weft__proc *p, int64_t ns)
{
    int64_t last = p->slept;

    p->slept = ns;
    return ns > 0 && ns < NAP && last > 0 && last < NAP ? NAP : ns;
}

static void idle(weft__proc *p)
{
    int64_t when;

    idle_join(p->index);
    weft__fence_heavy();
    if (!work_anywhere() && !weft__load(&p->mail) && !weft__load(&weft__sched.stopping)) {
        if (all_asleep(&when))
            nobody_left(when);
        weft__loop_poll(p->loop, short_sleep(nap(p, sleep_time(p))));
        p->polled = weft__ticks();
    }
    idle_leave(p->index);
    weft__monitor_kick();
}

/* Finding work --------------------------------------------------------------------------------- */

static weft__task *steal(weft__worker *w, weft__proc *p)
{
    uint32_t n = (uint32_t)weft__sched.nprocs, first = (uint32_t)(weft__random(&w->random) % n);

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
    uint32_t n = (uint32_t)weft__sched.nprocs;

    if (n == 1 || 2 * weft__load(&weft__sched.nspinning) >= n - weft__load(&weft__sched.nidle))
        return NULL;
    weft__add(&weft__sched.nspinning, 1);
    for (uint32_t i = 0; i < p->patience && !t && !weft__load(&weft__sched.stopping); i++) {
        t = weft__global_pop(&p->runq, weft__sched.nprocs);
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
 * sockets ready whose tasks are still in the queue, each poll finds them all again. find_work polls
 * earlier after POLL_CHANGES new sockets: the poll after 2,000 accepts took 14 ms. */
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
    for (int i = 0; i < weft__sched.nprocs; i++) {
        if (&weft__sched.procs[i] != p)
            weft__timers_run(&weft__sched.procs[i]);
    }
}

/* Takes a full turn for w, which has a processor. Returns NULL after a sleep or at the end. */
static weft__task *find_work(weft__worker *w)
{
    weft__proc *p = w->p;
    weft__task *t = NULL;

    weft__store(&p->turn, p->tick + FULL_TURN);
    w->source = WEFT__BY_LOOP;
    deliver_mail(p);
    w->now = weft__ticks();
    if (w->now - p->polled > p->poll_after || weft__loop_changes(p->loop) >= POLL_CHANGES)
        poll_now(w, p);
    w->source = WEFT__BY_TIMER;
    weft__timers_run(p); /* after the poll: due tasks then go before those that it made ready */
    if (weft__unlikely(weft__load(&weft__sched.late)))
        run_late_timers(p);
    w->source = WEFT__BY_LOOP;
    weft__samplers_check(w);
    w->now = weft__ticks();
    if (p->turns++ % GLOBAL_FIRST == 0)
        t = weft__global_pop(&p->runq, weft__sched.nprocs);
    if (!t)
        t = weft__runq_pop(&p->runq);
    if (!t)
        t = weft__global_pop(&p->runq, weft__sched.nprocs);
    if (!t && weft__loop_busy(p->loop)) {
        poll_now(w, p);
        t = weft__runq_pop(&p->runq);
    }
    if (!t && weft__sched.nprocs > 1) {
        w->now = WEFT__UNKNOWN;
        t = steal(w, p);
        if (!t)
            t = spin(w, p);
    }
    if (!t)
        idle(p);
    w->source = WEFT__BY_LIBRARY;
    return t;
}

/* Runs t until a task switches back to the thread's stack, and finishes for that task. */
static void run(weft__worker *w, weft__task *t)
{
    weft__task *prev;
    uint32_t epoch;

    if (!w->begun)
        begin(w, t);
    w->begun = false;
    weft__store(&w->p->tick, w->p->tick + 1);
    weft__fence_light();
    epoch = weft__load_acq(&weft__epoch);
    if (weft__unrecorded(t, epoch))
        weft__reporter->record(t, false);
    weft__ctx_switch(&w->ctx, &t->ctx, false);
    prev = w->prev;
    if (!prev)
        return;
    weft__fence_light();
    epoch = weft__load_acq(&weft__epoch);
    if (weft__unrecorded(prev, epoch))
        weft__reporter->record(prev, true);
    if (w->leave != WEFT__LEAVE_LOST) {
        arrive(w);
        return;
    }
    w->prev = NULL;
    lost_came_back(w, prev);
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
        t = find_work(w);
    }
    if (!t)
        return;
    if (weft__unlikely(t->pins && t->worker != w)) {
        give_to_pinned(w, t);
        return;
    }
    if (weft__unlikely(!w->begun && asks(t) && !weft__gate_admit(t)))
        return;
    run(w, t);
}

static void *worker_main(void *arg)
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
    if (weft__thread_start_user(&w->thread, 1 << 20, worker_main, w) != 0) {
        worker_undo(w);
        return NULL;
    }
    weft__tell_thread_made(w, made_for);
    return w;
}
