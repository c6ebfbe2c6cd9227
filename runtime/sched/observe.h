/* SPDX-License-Identifier: MIT */
/* observe.h - the ways to watch the runtime: the reporter, the epoch of snapshots, the samplers of
 * waits. The runtime calls the reporter through a pointer and works without one. So it includes
 * nothing of profiles/, which sets the pointer (profiles/account/run.c).
 *
 * The runtime calls the reporter's functions; each says below on which thread and under which
 * locks. weft__epoch and the periods are atomic, and any thread may read them.
 *
 * Snapshots (profiles/capture/tasks.c has the argument). weft__epoch is the number E of the latest
 * one. A task whose snap is below 2E has not been recorded in it. Before such a task is resumed, or
 * leaves RUNNING, the worker that does so calls record(). The scheduler stores a task's new state,
 * fences lightly and only then reads the epoch; the dumper stores the epoch, fences heavily and
 * only then reads states. So either the dumper sees the change, or the worker sees the epoch. */
#ifndef WEFT_OBSERVE_H
#define WEFT_OBSERVE_H

#include "runtime/sched/scheduler.h"
#include "runtime/sched/task.h"
#include "runtime/sched/wait.h"

#include <signal.h>

/* Says how to report the end of the process. All zero: shows every task, the caller's first. */
struct weft__death {
    const void *ucontext;         /* where a signal found the thread that dies; NULL: no signal
                                   * came, and the caller's own stack is shown */
    const weft__task *overflowed; /* the task whose stack was too small, or NULL */
    uintptr_t address;            /* where it ran out, 0 if that is not known; of another fault the
                                   * address that it came with */
    int error;                    /* errno when a fault came */
    const void *caller;           /* of the library's call that panics: the stack is shown from
                                   * where this returns to; NULL: from where it stands */
    bool distrust;                /* the runtime's data on the thread may be overwritten */
    bool locks;                   /* the report begins with the holders of locks */
    bool alone;                   /* no other task is shown, if the one that dies is known */
};

/* The windows that profiles of mutexes have open (profiles/account/windows.c): when each began, 0
 * if the place is free, and the latest of these instants. */
enum { WEFT__WINDOWS = 16 };
extern struct weft__windows {
    int64_t latest, began[WEFT__WINDOWS]; /* atomic; ticks */
} weft__windows;

/* How many ticks of waiting give one sample; 0: none. Each worker subtracts the waits of its tasks
 * from w->waits.left; the wait that drives it below 0 is told to the sinks (waited). So a wait
 * of length d is reported with probability d / period, and always if it is longer than the period.
 * If sampling is off, left begins at NEVER: a check first would cost as much on each wait. */
extern WEFT__HIDDEN int64_t weft__wait_period, weft__charge_period; /* atomic; park.c */

/* Shows the program to its reader: in reports of its end, in snapshots. There is one reporter at
 * most. Each function may be called at any time in a run, by several threads at once. */
struct weft__reporter {
    /* t is at a safe point: its context is saved, and nobody else can run it. running: it runs at
     * the cut; else it was about to be resumed. On a worker's own stack; of a foreign thread on
     * that thread's. */
    void (*record)(weft__task *t, bool running);
    /* Prints the tasks to fd, the one that dies first. On the thread that dies; tasks run on. */
    void (*explain)(int fd, const struct weft__death *d);
    /* Prints the stack of the thread that dies, before explain: in its signal's handler, whatever
     * state the heap and the locks are in. */
    void (*explain_first)(int fd, const struct weft__death *d);
    /* Writes where in the code pc is. Also called in such a handler. */
    void (*put_place)(int fd, uintptr_t pc);
    /* Looks at a fault, in its handler. Does not return if the thread can go on
     * (profiles/walk/libdw_fault.c). async-signal-safe */
    void (*faulted)(int signo, const siginfo_t *info, const void *ucontext);
    /* The calling thread is about to die while another makes a report: nobody may wait for it. */
    void (*dies)(void);
    /* Directed capture: in a signal handler on the thread that runs t; NULL: it is in the runtime,
     * or runs none. */
    void (*interrupted)(weft__task *t, void *ucontext);
};

/* Never NULL: at first a reporter that does nothing (observe.c). Set before the first run. */
extern const struct weft__reporter *weft__reporter;

#define WEFT__NEVER (INT64_MAX / 2) /* less UNKNOWN is not too little for an int64_t */

/* Begins with a random phase, so that not always the first wait is sampled. */
static inline void weft__sampler_begin(struct weft__sampler *s, int64_t period, uint64_t random)
{
    weft__store(&s->period, period);
    weft__store(&s->left, period > 0 ? (int64_t)(random % (uint64_t)period) : 0);
}

static inline void weft__samplers_begin(weft__worker *w, uint64_t random)
{
    int64_t wait = weft__load(&weft__wait_period);

    weft__sampler_begin(&w->waits, wait, random);
    if (wait == 0)
        weft__store(&w->waits.left, WEFT__NEVER);
    weft__sampler_begin(&w->charges, weft__load(&weft__charge_period), random);
    weft__sampler_begin(&w->pairs, weft__load(&weft__charge_period), random);
}

/* Called by the owner. A concurrent set_periods (recorder.c) may lose its store to left; this
 * repairs it. */
static inline void weft__samplers_check(weft__worker *w)
{
    if (weft__unlikely(weft__load(&w->waits.left) > WEFT__NEVER / 2 &&
                       weft__load(&weft__wait_period) != 0))
        weft__samplers_begin(w, weft__random(&w->random));
}

static inline bool weft__unrecorded(const weft__task *t, uint32_t epoch)
{
    return weft__load_acq(&t->snap) < 2 * epoch;
}

#endif
