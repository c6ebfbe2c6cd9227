/* SPDX-License-Identifier: MIT */
/* running.h - what tasks.c needs of tasks that run, and of stacks. */
#ifndef WEFT_RUNNING_H
#define WEFT_RUNNING_H

#include "profiles/capture/snapshot.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"

/* Leaves out weft__task_main and weft__ctx_entry, in which every task's stack ends. */
void weft__drop_entry(struct weft__walk *walk);
/* Makes a finished walk fit for tables and formats: drops the entry, and puts marks where frames
 * are missing and before frames that are guesses (walk->guessed). Each walk of a task that is kept
 * or shown is closed once; a walk that missed is resumed first. */
void weft__walk_close(struct weft__walk *walk);
/* The bounds of t's stack; false if they change just now, since t ended and its record goes on. */
bool weft__stack_bounds(const weft__task *t, uintptr_t *lo, uintptr_t *hi);

/* The registers of a context saved at sp; false if that is not in the stack [lo, hi). */
bool weft__regs_saved(struct weft__regs *r, const void *sp, uintptr_t lo, uintptr_t hi);
/* Of a context that is saved. It may be resumed meanwhile: then the result is thrown away. */
void weft__walk_saved(struct weft__walk *walk, const weft__task *t);

/* The hook: in a signal handler on the thread that runs t, in user code. async-signal-safe. */
void weft__interrupted(weft__task *t, void *context);
int weft__thread_of(const weft__task *t); /* that runs t now; 0: none of the workers' does */
/* The state of t, which thread tid runs, and its stack if it can be had. */
void weft__look_at_thread(struct weft__record *r, struct weft__walk *walk, weft__task *t, int tid);

#endif
