/* SPDX-License-Identifier: MIT */
/* local.h - ends the task-local values of a task. The task itself calls weft__locals_end, outside
 * the runtime, since it calls functions of the program; the end of a run calls the other. */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include "runtime/sched/task.h"

void weft__locals_end(weft__task *t);  /* calls the destroy functions, and frees the array */
void weft__locals_drop(weft__task *t); /* frees the array of a task that was discarded */

#endif
