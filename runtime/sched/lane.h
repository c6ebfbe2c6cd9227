/* SPDX-License-Identifier: MIT */
/* lane.h - the record of functions that hog or block, and the tasks that must wait because of it.
 *
 * Workers and the monitor call, inside the runtime. The functions on sites, weft__lane_lost and
 * weft__lane_back touch atomic fields only, so they may be called under any lock; the others under
 * locks of rank GROUP at most. lane.c explains the rules. */
#ifndef WEFT_LANE_H
#define WEFT_LANE_H

#include "runtime/sched/scheduler.h"

#define WEFT__GATE_SHORT UINT32_C(0x80000000)

/* Atomic. 0 lets every task run. The highest bit: threads are short (spare.c). The others: how many
 * entry functions are known to hog. */
extern WEFT__HIDDEN uint32_t weft__gates;

static inline bool weft__gates_any(void)
{
    return weft__load(&weft__gates) != 0;
}

static inline bool weft__threads_short(void)
{
    return (weft__load(&weft__gates) & WEFT__GATE_SHORT) != 0;
}

static inline bool weft__hogs_known(void)
{
    return (weft__load(&weft__gates) & ~WEFT__GATE_SHORT) != 0;
}

/* Returns whether t, which is to run, must ask for admission first. */
bool weft__gate_asks(const weft__task *t);
/* Admits t, or makes it wait in one of the queues and returns false. */
bool weft__gate_admit(weft__task *t);
/* Notes whether threads are short. */
void weft__gate_set(bool threads_are_short);

/* Entry functions: a task of fn lost its processor (burned, blocked), and came back (returned). */
void weft__site_burned(weft_task_fn *fn);
void weft__site_blocked(weft_task_fn *fn);
void weft__site_returned(weft_task_fn *fn);
bool weft__site_hogs(weft_task_fn *fn);
bool weft__site_blocks(weft_task_fn *fn);

/* The hog lane. */
bool weft__lane_admit(weft__task *t); /* false: t waits in the lane */
void weft__lane_leave(weft__task *t); /* t, which had its turn, waits, yields or ends */
void weft__lane_lost(const weft__task *t, bool burnt); /* t, in user code, lost its processor */
/* t came back; it burnt this much CPU without a processor. */
void weft__lane_back(weft__task *t, bool burnt, int64_t cpu);
/* A hog that ran without a processor came back to w. */
void weft__lane_returned(const weft__worker *w);
void weft__lane_clear(void);       /* before a run, and at its end */
void weft__lane_tend(int64_t now); /* monitor, each round */

/* Tasks that wait for a thread. */
void weft__held_wait(weft__task *t); /* the caller waits while threads are short; in the runtime */
void weft__held_release(int64_t n);  /* releases n of them */
void weft__held_retry(void);         /* a spare is there: lets the tame ones ask again */
uint32_t weft__held_count(void);

#endif
