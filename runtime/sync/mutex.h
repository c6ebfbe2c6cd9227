/* SPDX-License-Identifier: MIT */
/* mutex.h - the holder in a mutex's word, and locking from inside the runtime: for cond.c and
 * profiles/.
 *
 * Callers of the functions are inside the runtime and hold no lock. */
#ifndef WEFT_MUTEX_INTERNAL_H
#define WEFT_MUTEX_INTERNAL_H

#include "runtime/sched/park.h"

#include <weft/sync.h>

enum { WEFT__MUTEX_HOLDER = 3 }; /* _state >> this: the holder's id, 0 if it is free */

/* Locks m for the calling task, which is in the runtime. */
void weft__mutex_lock_in(weft_mutex *m, const void *site);
/* Unlocks m for the calling task, self. self is NULL if the task has left its stack, as in a wait
 * for a condition; site is then the place of its call, for the profiles. */
void weft__mutex_unlock_in(weft_mutex *m, weft__task *self, const void *site);

#endif
