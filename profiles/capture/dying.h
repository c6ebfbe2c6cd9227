/* SPDX-License-Identifier: MIT */
/* dying.h - which task dies on a thread, and where its stack is.
 *
 * All functions are async-signal-safe and take no lock. The thread that dies calls them, perhaps in
 * the handler of a fault. */
#ifndef WEFT_DYING_H
#define WEFT_DYING_H

#include "runtime/sched/observe.h"

/* Returns whether sp is in t's stack or its guard. t may be NULL. */
bool weft__is_on_stack(const weft__task *t, uintptr_t sp);

/* Returns the lower bound for a walk of a faulting task's stack, whose stack pointer is sp. If the
 * stack grew into its guard, the innermost frame is there. So the bound is the guard's if the guard
 * can be read (it is a canary), else the stack's. async-signal-safe */
uintptr_t weft__fault_lo(const weft__task *t, uintptr_t sp);

/* Returns the task that dies on the calling thread; NULL if it runs none. async-signal-safe */
weft__task *weft__dying_task(const struct weft__death *d);

#endif
