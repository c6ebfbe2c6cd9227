/* SPDX-License-Identifier: MIT */
/* running.h - which task each thread runs, and the stacks of tasks that are parked or that threads
 * run.
 *
 * weft__stack_bounds, weft__regs_saved and weft__runner_find only read memory: any thread,
 * anywhere. The others may be called by any thread or task that holds no lock: weft__runners_read
 * takes sched.lock, and a walk may wait for the symbolizer. Tasks go on meanwhile, so an answer may
 * be out of date when it comes. */
#ifndef WEFT_RUNNING_H
#define WEFT_RUNNING_H

#include "profiles/capture/interrupt.h"
#include "profiles/capture/snapshot.h"
#include "profiles/capture/syscalls.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"

/* Reads the bounds of t's stack. Returns false if they are just being changed, because t ended and
 * another task takes its place. */
bool weft__stack_bounds(const weft__task *t, uintptr_t *lo, uintptr_t *hi);

/* Reads the registers of a context saved at sp. Returns false if sp is not in the stack [lo, hi).
 */
bool weft__regs_saved(struct weft__regs *r, const void *sp, uintptr_t lo, uintptr_t hi);
/* Walks the stack of t, whose context is saved. The walk is empty if the context is not in the
 * stack. If t may have been resumed meanwhile, the caller drops the result. */
void weft__walk_saved(struct weft__walk *walk, const weft__task *t);

/* A worker, with the task that its thread runs. */
struct weft__runner {
    weft__task *task; /* NULL if it runs none */
    uint32_t worker;  /* the worker's id */
    int tid;          /* its thread */
    int64_t since;    /* ns: when the task's declared call began, else when the task lost its
                       * processor; 0 if neither happened */
};

/* Lists all workers, ordered by task, or in descending order of their ids. n receives their number.
 * The list is for free(). Returns NULL if memory ran out. */
struct weft__runner *weft__runners_read(size_t *n, bool by_task);
/* Finds a task in a list that is ordered by task. Returns NULL if no worker runs it. */
const struct weft__runner *weft__runner_find(const struct weft__runner *all, size_t n,
                                             const weft__task *t);

/* Looks whether the thread sits in a system call, and walks the stack of the task if so
 * (syscalls.h).
 */
enum weft__syscall weft__runner_in_call(struct weft__walk *walk, const struct weft__runner *r,
                                        int64_t *cpu);
/* Gets the stack of r's task, and the state and time for its record. If the thread sits in a system
 * call, walks its stack. Else asks the thread (interrupt.h); the question is kept in *ask, which is
 * NULL at first. Returns false if the stack may still come: then the caller calls again. The caller
 * ends the question. */
bool weft__look_at_runner(struct weft__record *to, struct weft__walk *walk,
                          const struct weft__runner *r, weft__interrupt **ask);

#endif
