/* SPDX-License-Identifier: MIT */
/* keys.h - the keys of task-local values, and the end of a task's values. */
#ifndef WEFT_KEYS_H
#define WEFT_KEYS_H

#include "runtime/sched/task.h"

enum { WEFT__KEYS = 64 };

/* Makes a key. Returns it, or WEFT_EAGAIN if there are WEFT__KEYS. */
int weft__key_new(void (*destroy)(void *value));
bool weft__key_exists(uint32_t key);

void weft__locals_end(weft__task *t);  /* calls the destroy functions; t has values */
void weft__locals_drop(weft__task *t); /* the task was discarded: frees the array only */

#endif
