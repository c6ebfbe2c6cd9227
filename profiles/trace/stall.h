/* SPDX-License-Identifier: MIT */
/* stall.h - finds processors that stall: that run one task, or none, for long while others wait.
 *
 * With hand-off a task loses its processor after some 10 ms, so a stall has another reason:
 * hand-off is off, threads are short, or the machine did not run the thread that should go on. The
 * flight recorder's keeper is the one thread that looks. */
#ifndef WEFT_TRACE_STALL_H
#define WEFT_TRACE_STALL_H

#include <stdbool.h>
#include <stdint.h>

struct weft__stall {
    uint32_t proc;
    int64_t lasted; /* ns so far */
    uint64_t task;  /* that keeps the processor; 0: none, since its thread does not go on */
    uintptr_t fn;   /* the task's */
};

/* Begin and end to look, in a run. Stalls of at least limit nanoseconds count. */
void weft__stalls_begin(int64_t limit);
void weft__stalls_end(void);
/* Looks at all processors. Returns true if one has stalled for the limit since the latest looks,
 * and was not reported for that yet. Call it every 50 ms. A time in which nothing called it does
 * not count: then the whole process may have stood still. */
bool weft__stalls_look(struct weft__stall *out);

#endif
