/* SPDX-License-Identifier: MIT */
/* bounds.h - the bounds of the stack that a thread is on, whichever thread and stack that is. */
#ifndef WEFT_HEAP_BOUNDS_H
#define WEFT_HEAP_BOUNDS_H

#include "profiles/heap/component.h"

/* Finds the bounds of the stack that has sp: the running task's, or else the mapping around sp.
 * Remembers the mapping in t, the calling thread's. Returns false if the kernel does not tell.
 * async-signal-safe; not a cancellation point */
bool weft__heap_bounds(struct weft__heap_thread *t, uintptr_t sp, uintptr_t *lo, uintptr_t *hi);

#endif
