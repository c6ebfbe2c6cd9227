/* SPDX-License-Identifier: MIT */
/* mutex.h - the holder of a mutex, for cond.c and profiles/. */
#ifndef WEFT_MUTEX_INTERNAL_H
#define WEFT_MUTEX_INTERNAL_H

#include "runtime/sched/park.h"

#include <weft/sync.h>

enum { WEFT__MUTEX_HOLDER = 3 }; /* _state >> this: the holder's id, 0 if it is free */

/* Locks m for the calling task, which is in the runtime. */
void weft__mutex_lock_in(weft_mutex *m, const void *site);
/* self: the caller's task, or NULL if its stack was left; then site is where it is. */
void weft__mutex_unlock_in(weft_mutex *m, weft__task *self, const void *site);

#endif
