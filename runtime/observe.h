/* SPDX-License-Identifier: MIT */
/* observe.h - what profiles/ hangs into the runtime. The runtime includes no profiler; profiles/
 * defines weft__hooks.
 *
 * Snapshots (profiles/tasks.c has the argument). weft__epoch is the number E of the latest one.
 * A task whose snap is below 2E has not been recorded in it. Before such a task is resumed, or
 * leaves RUNNING, the worker that does so calls record(). The scheduler stores a task's new state,
 * fences lightly and only then reads the epoch; the dumper stores the epoch, fences heavily and
 * only then reads states. So either the dumper sees the change, or the worker sees the epoch. */
#ifndef WEFT_OBSERVE_H
#define WEFT_OBSERVE_H

#include "task.h"

struct weft__hooks {
    /* t is at a safe point: its context is saved, and nobody else can run it. running: it runs at
     * the cut; else it was about to be resumed. On a worker's own stack. */
    void (*record)(weft__task *t, bool running);
    /* Prints the tasks to fd, the caller's first. Any thread; tasks run on. ucontext: where a
     * signal found the caller's task, or NULL. */
    void (*explain)(int fd, const void *ucontext);
    void (*start)(void); /* weft_run begins */
    void (*stop)(void);  /* weft_run ends: nobody looks at workers and tasks after it */
    /* Directed capture: in a signal handler on the thread that runs t. */
    void (*interrupted)(weft__task *t, void *ucontext);
};

extern const struct weft__hooks weft__hooks;

static inline bool weft__unrecorded(const weft__task *t, uint32_t epoch)
{
    return weft__load_acq(&t->snap) < 2 * epoch;
}

#endif
