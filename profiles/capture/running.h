/* SPDX-License-Identifier: MIT */
/* running.h - the tasks that threads run, and the stacks of tasks; for tasks.c, wall.c and others.
 */
#ifndef WEFT_RUNNING_H
#define WEFT_RUNNING_H

#include "profiles/capture/interrupt.h"
#include "profiles/capture/snapshot.h"
#include "profiles/capture/syscalls.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"

/* Reads the bounds of t's stack. Returns false if they change just now: t ended, and another task
 * takes its record. */
bool weft__stack_bounds(const weft__task *t, uintptr_t *lo, uintptr_t *hi);

/* Reads the registers of a context saved at sp. Returns false if sp is not in the stack [lo, hi).
 */
bool weft__regs_saved(struct weft__regs *r, const void *sp, uintptr_t lo, uintptr_t hi);
/* Walks the stack of t, whose context is saved. If t may be resumed meanwhile, the caller throws
 * the result away then. */
void weft__walk_saved(struct weft__walk *walk, const weft__task *t);
/* A worker with the task that its thread runs. */
struct weft__runner {
    weft__task *task; /* NULL: none */
    uint32_t worker;  /* its id */
    int tid;
    int64_t since; /* ns when the declared call began that the task is in, else when it lost its
                    * processor; 0: neither */
};

/* Returns all workers, and their number in n: by task, or in descending order of ids. For free();
 * NULL without memory. */
struct weft__runner *weft__runners_read(size_t *n, bool by_task);
/* Finds a task in a list by task; NULL if it is not there. */
const struct weft__runner *weft__runner_find(const struct weft__runner *all, size_t n,
                                             const weft__task *t);

/* Looks whether the thread sits in a system call, and walks the stack of the task if so
 * (syscalls.h).
 */
enum weft__call weft__runner_in_call(struct weft__walk *walk, const struct weft__runner *r,
                                     int64_t *cpu);
/* Finds the stack of the task of r for its record, from its call or by a question to its thread,
 * which stays open in ask. Returns false if the stack may still come: then the caller asks
 * again. */
bool weft__look_at_runner(struct weft__record *to, struct weft__walk *walk,
                          const struct weft__runner *r, weft__ask **ask);

#endif
