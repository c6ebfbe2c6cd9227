/* SPDX-License-Identifier: MIT */
/* mutex.h - for cond.c and profiles/: who holds a mutex. */
#ifndef WEFT_MUTEX_INTERNAL_H
#define WEFT_MUTEX_INTERNAL_H

#include "park.h"

#include <weft/sync.h>

enum { WEFT__MUTEX_HOLDER = 3 }; /* _state >> this: the holder's id, 0 if it is free */

/* The caller is in the runtime; site is where the lock was asked for. */
void weft__mutex_lock_at(weft_mutex *m, void *site);
/* self: the caller's task, or NULL if its stack was left; then site is where it is. */
void weft__mutex_unlock_in(weft_mutex *m, weft__task *self, const void *site);

#endif
