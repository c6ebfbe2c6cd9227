/* SPDX-License-Identifier: MIT */
/* self.h - the data that each thread has for itself: its worker, errno, its count of held locks;
 * and whether the process is a child of fork, which has one thread.
 *
 * Any thread may call these functions at any time. A caller that may run on a task must not keep a
 * returned address over a call that can switch tasks: the task may continue on another thread, and
 * the address is the old thread's. */
#ifndef WEFT_SELF_H
#define WEFT_SELF_H

#include "runtime/base/base.h"

struct weft__worker;

/* Returns the calling thread's worker; NULL if the thread is none. Hot paths call weft__self of
 * machine/ctx.h, which costs no call. */
void *weft__self_called(void);
/* Makes w the calling thread's worker; NULL when the thread stops being one. */
void weft__self_set(struct weft__worker *w);
/* Returns the address of the calling thread's errno. */
int *weft__errno_at(void);

/* Returns WEFT__SELF_ROOM bytes of the calling thread, zero at first, for the heap profile where it
 * has no component of its own (profiles/heap/feeds.c). */
enum { WEFT__SELF_ROOM = 64 };
void *weft__self_room(void);

/* Set in a child of fork, where only the forking thread lives. */
extern WEFT__HIDDEN bool weft__forked;

#if WEFT_CHECK >= 2
/* Returns the counts of the locks of each rank that the calling thread holds. */
uint32_t *weft__ranks_held(void);
/* Zeroes them, for a thread that ends the program. It takes locks in any order for its report: the
 * fault may have come at any place. */
void weft__ranks_forget(void);
#else
static inline void weft__ranks_forget(void)
{
}
#endif

#endif
