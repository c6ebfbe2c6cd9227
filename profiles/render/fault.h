/* SPDX-License-Identifier: MIT */
/* fault.h - the first part of a fault's report, and what it shares with the full one. */
#ifndef WEFT_FAULT_H
#define WEFT_FAULT_H

#include "runtime/sched/observe.h"

/* How many innermost, and how many outermost, frames of a stack a report shows. */
enum { WEFT__REPORT_HALF = 50 };

/* Returns the lower end of the readable part of a faulting task's stack, whose stack pointer is sp.
 * If the stack grew into the guard, that is the guard's lower end where the guard is but a canary,
 * and the stack's own where nobody can read the guard. async-signal-safe */
uintptr_t weft__fault_lo(const weft__task *t, uintptr_t sp);

/* Returns the task that dies on the calling thread, or NULL. async-signal-safe */
weft__task *weft__dying_task(const struct weft__death *d);

/* The hooks: see observe.h. async-signal-safe */
void weft__put_place(int fd, uintptr_t pc);
void weft__explain_first(int fd, const struct weft__death *d);

#endif
