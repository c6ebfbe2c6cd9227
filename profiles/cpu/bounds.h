/* SPDX-License-Identifier: MIT */
/* bounds.h - the bounds of the threads' own stacks, for a signal handler on any thread.
 *
 * The controller reads the map of the process before it arms the timer of a new thread. So the
 * stack of each thread that has a timer is in the map. */
#ifndef WEFT_CPU_BOUNDS_H
#define WEFT_CPU_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

/* Reads the map. Returns false if that failed; then the last one stays. quiet returns once no
 * handler can be reading the last map any more. Controller. */
bool weft__cpu_bounds_read(void (*quiet)(void));
void weft__cpu_bounds_free(void); /* no handler reads it any more */

/* Finds the bounds of the stack of the calling thread that sp is in. Returns false if sp is not on
 * the thread's own stack. async-signal-safe */
bool weft__cpu_bounds_of(uintptr_t sp, uintptr_t *lo, uintptr_t *hi);

#endif
