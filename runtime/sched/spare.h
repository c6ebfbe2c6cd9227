/* SPDX-License-Identifier: MIT */
/* spare.h - the supply of threads. See spare.c. */
#ifndef WEFT_SPARE_H
#define WEFT_SPARE_H

#include "runtime/sched/scheduler.h"

/* Takes a spare thread, and makes one if there is none. Returns NULL at the cap, where the kernel
 * refuses, or at the end of the run. made_for: see observe.h. The caller then makes others ahead,
 * before the hand-over if the task may block. */
weft__worker *weft__spare_get(weft_task_fn *made_for);
void weft__spare_put(weft__worker *w);
/* Makes spares ahead of the need: one, so that the processor which is handed over now can be handed
 * over once more at once, and a refusal is known before the last thread sits in a call. While calls
 * block, there are as many as processors, since each of their tasks may be about to. After a
 * refusal this asks ten times a second. */
void weft__spare_ahead(weft_task_fn *made_for);

/* Processors without a thread. */
bool weft__orphans_may_be(void);          /* another thread is left to serve one more */
void weft__orphans_add(weft__proc *p);    /* the caller took p from its owner */
void weft__orphans_swap(weft__worker *w); /* w, in the runtime, takes one and leaves its own */

void weft__supply_clear(void);       /* before a run */
void weft__supply_check(void);       /* after the number of spares or of lost tasks has changed */
void weft__supply_missed(void);      /* a task wants a thread and waits: says so once */
void weft__supply_tend(int64_t now); /* monitor, each round */
bool weft__supply_surplus(void);     /* spares are left that tend would end */

#endif
