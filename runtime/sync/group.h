/* SPDX-License-Identifier: MIT */
/* group.h - groups of tasks: the functions for the scheduler and the HTTP server.
 *
 * A task calls each of them for itself. weft__task_cause takes no lock; the callers of the others
 * hold none of the runtime's. */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include "runtime/sched/task.h"

/* Returns the code why t, the caller, is canceled; 0 if it is not. */
int weft__task_cause(const weft__task *t);
/* Takes t, whose function has returned result, out of its group. */
void weft__group_leave(weft__task *t, int result);

/* Starts a task with options, in a group without a limit: so it never waits, and cannot fail. */
void weft__group_go_with(weft_group *g, const weft_go_options *options, weft_main_fn *fn,
                         void *arg);

#endif
