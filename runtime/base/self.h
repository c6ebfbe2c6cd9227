/* SPDX-License-Identifier: MIT */
/* self.h - the data that each thread has for itself: its worker, errno, its count of held locks.
 *
 * Any thread may call these functions at any time. A caller that may run on a task must not keep a
 * returned address over a call that can switch tasks: the task may continue on another thread, and
 * the address is the old thread's. */
#ifndef WEFT_SELF_H
#define WEFT_SELF_H

#include "runtime/base/base.h"

struct weft__worker;

/* Returns the calling thread's worker; NULL if the thread is none. Hot paths call weft__self of
 * sched/scheduler.h, which costs no call. */
void *weft__self_called(void);
/* Makes w the calling thread's worker; NULL when the thread stops being one. */
void weft__self_set(struct weft__worker *w);
/* Returns the address of the calling thread's errno. */
int *weft__errno_at(void);
/* Returns the counts of the locks of each rank that the calling thread holds; WEFT_CHECK=2 only. */
uint32_t *weft__ranks_held(void);

#endif
