/* SPDX-License-Identifier: MIT */
/* fault.h - the first part of a fault's report, and what it shares with the full report.
 *
 * All functions are async-signal-safe. weft__explain_first is called at most once in a process, by
 * the thread that faulted, in its signal handler. */
#ifndef WEFT_FAULT_H
#define WEFT_FAULT_H

#include "runtime/sched/observe.h"

/* A report shows at most so many innermost, and so many outermost, frames of a stack. */
enum { WEFT__REPORT_HALF = 50 };

/* Returns the lower bound for a walk of a faulting task's stack, whose stack pointer is sp. If the
 * stack grew into its guard, the innermost frame is there. So the bound is the guard's if the guard
 * can be read (it is a canary), else the stack's. async-signal-safe */
uintptr_t weft__fault_lo(const weft__task *t, uintptr_t sp);

/* Returns the task that dies on the calling thread; NULL if it runs none. async-signal-safe */
weft__task *weft__dying_task(const struct weft__death *d);

/* The reporter's put_place: writes function, file and offset of an address. async-signal-safe */
void weft__put_place(int fd, uintptr_t pc);
/* The reporter's explain_first: writes which task died, and its stack. async-signal-safe */
void weft__explain_first(int fd, const struct weft__death *d);

#endif
