/* SPDX-License-Identifier: MIT */
/* switch.c - switches between tasks, and between a task and its thread's own stack.
 *
 * Owns: which task runs on a worker (w->task, prev, leave, after, begun). Only the thread of w
 * changes them. Tasks call switch_away, yield and breathe inside the runtime, with no lock; workers
 * call switch_to on their own stack.
 *
 * A task that waits switches straight to the next one. The worker's own stack runs only when no
 * task is next; for a full turn (find.c), every 64th time and when the monitor asks for one, which
 * it does each round; and for all that needs more than a switch: snapshots, pins, the hog lane, a
 * lost processor, the end. The task that arrives finishes for the task that left (arrive): it
 * clears on_cpu, and only then releases the other's lock. */
#include "runtime/machine/eh.h"
#include "runtime/sched/fatal.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

#include <sched.h>

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

/* Waits until t's last thread has left its stack. Until then that thread may also store flags. The
 * wait may be long, so it is not over when the previous task parked. */
static WEFT__NOINLINE void spin_until_left(const weft__task *t)
{
    weft__self()->now = WEFT__UNKNOWN;
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

bool weft__asks(const weft__task *t)
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

    if (weft__unlikely((next->pins && next->worker != w) || weft__asks(next)))
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

static inline void leave_to_yield(weft__worker *w, weft__task *cur)
{
    w->now = WEFT__UNKNOWN;
    weft__task_move(cur, WEFT__RUNNING, WEFT__RUNNABLE);
    weft__tell(yield, cur);
    weft__runq_push(&w->p->runq, cur, false);
}

static inline void leave_for_good(weft__worker *w, weft__task *cur)
{
    w->now = WEFT__UNKNOWN;
    weft__tell(end, cur);
    weft__task_move(cur, WEFT__RUNNING, WEFT__DEAD);
    weft__store(&w->p->ends, w->p->ends + 1);
    if (weft__unlikely(cur->pins)) {
        weft__store(&cur->pins, 0);
        weft__store(&w->pinned, NULL);
    }
}

/* Prepares cur for the switch, by the reason why it leaves. One that parks is prepared already. */
static inline void prepare(weft__worker *w, weft__task *cur, enum weft__leave how)
{
    if (weft__unlikely((cur->flags & (WEFT__LANE | WEFT__HOG | WEFT__CALLING)) &&
                       how != WEFT__LEAVE_LOST))
        leave_marked(cur, how);
    if (how == WEFT__LEAVE_YIELD)
        leave_to_yield(w, cur);
    else if (how == WEFT__LEAVE_EXIT)
        leave_for_good(w, cur);
    w->prev = cur;
    w->leave = how;
}

/* Returns the task that follows cur; NULL if the worker's own stack has to find it. */
static inline weft__task *pick(weft__proc *p, const weft__task *cur, enum weft__leave how)
{
    if (weft__unlikely(how == WEFT__LEAVE_LOST || cur->pins))
        return NULL;
    weft__store(&p->tick, p->tick + 1);
    if ((int32_t)(p->tick - weft__load(&p->turn)) >= 0 || weft__is_set(&weft__sched.stopping))
        return NULL;
    return weft__runq_pop(&p->runq);
}

/* Returns the context to which cur leaves: next's, or the worker's own, which then runs next. */
static inline weft__ctx *target(weft__worker *w, weft__task *cur, weft__task *next)
{
    if (weft__likely(next && direct(w, cur, next)))
        return &next->ctx;
    w->picked = next;
    if (!w->begun)
        weft__store(&w->task, NULL);
    return &w->ctx;
}

weft__worker *weft__switch_away(weft__worker *w, enum weft__leave how)
{
    weft__task *cur = w->task, *next;
    weft__ctx *to;
    int saved = *w->errno_at;
    weft__eh exceptions;
    bool has_exceptions;

    prepare(w, cur, how);
    next = pick(w->p, cur, how);
    if (next == cur) {
        w->prev = NULL;
        weft__task_move(cur, WEFT__RUNNABLE, WEFT__RUNNING);
        weft__tell(run, cur, w);
        return w;
    }
    to = target(w, cur, next);
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

weft__task *weft__switch_to(weft__worker *w, weft__task *t)
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
        return NULL;
    weft__fence_light();
    epoch = weft__load_acq(&weft__epoch);
    if (weft__unrecorded(prev, epoch))
        weft__reporter->record(prev, true);
    if (w->leave != WEFT__LEAVE_LOST) {
        arrive(w);
        return NULL;
    }
    w->prev = NULL;
    return prev;
}
