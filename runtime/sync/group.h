/* SPDX-License-Identifier: MIT */
/* group.h - groups, for task.c. */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include "runtime/sched/task.h"

int weft__task_cause(const weft__task *t); /* why t, the caller, is canceled; 0: it is not */
void weft__group_leave(weft__task *t, int result); /* t's function returned; t is in a group */

/* Starts a task as weft_group_go does, in a group without a limit. */
void weft__group_go_with(weft_group *g, const weft_go_options *options, weft_main_fn *fn,
                         void *arg);

#endif
