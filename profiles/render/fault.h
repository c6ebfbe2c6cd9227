/* SPDX-License-Identifier: MIT */
/* fault.h - the first part of a fault's report, and what it shares with the full report (report.c).
 *
 * All functions are async-signal-safe. weft__explain_first is called at most once in a process, by
 * the thread that faulted, in its signal handler. */
#ifndef WEFT_FAULT_H
#define WEFT_FAULT_H

#include "runtime/sched/observe.h"

/* A report shows at most so many innermost, and so many outermost, frames of a stack. */
enum { WEFT__REPORT_HALF = 50 };

/* The reporter's put_place: writes function, file and offset of an address. async-signal-safe */
void weft__put_place(int fd, uintptr_t pc);
/* The reporter's explain_first: writes which task died, and its stack. async-signal-safe */
void weft__explain_first(int fd, const struct weft__death *d);

#endif
