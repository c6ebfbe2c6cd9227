/* SPDX-License-Identifier: MIT */
/* local.h - task-local values, for task.c. */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include "runtime/sched/task.h"

void weft__locals_end(weft__task *t);  /* calls the destroy functions */
void weft__locals_drop(weft__task *t); /* the task was discarded: frees the array only */

#endif
