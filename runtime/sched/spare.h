/* SPDX-License-Identifier: MIT */
/* spare.h - the supply of threads; spare.c explains the rules.
 *
 * Workers and the monitor call, with no lock held. */
#ifndef WEFT_SPARE_H
#define WEFT_SPARE_H

#include "runtime/sched/scheduler.h"

/* Takes a spare thread, or makes one if there is none. Returns NULL at the cap, if the kernel
 * refuses, or at the end of the run. made_for: see observe.h. The caller calls weft__spare_ahead
 * next; before it hands the processor over, if the task may block. */
weft__worker *weft__spare_get(weft_task_fn *made_for);
/* Makes w a spare. */
void weft__spare_put(weft__worker *w);
/* Makes spares ahead of the need. One, so that the processor that is handed over now can be handed
 * over again at once, and so that a refusal of the kernel is known before the last thread sits in a
 * call. While calls block, as many as processors, since each of their tasks may be about to block.
 * After a refusal this asks the kernel ten times a second. */
void weft__spare_ahead(weft_task_fn *made_for);

/* Orphans: processors without a thread. */
bool weft__orphans_may_be(void);       /* a worker would be left that could serve one more */
void weft__orphans_add(weft__proc *p); /* p becomes one; the caller has taken it from its owner */
void weft__orphans_swap(weft__worker *w); /* w, in the runtime, takes one and leaves its own */

void weft__supply_clear(void);       /* before a run */
void weft__supply_check(void);       /* after the number of spares or of lost tasks has changed */
void weft__supply_missed(void);      /* says on stderr, once, that a task waits for a thread */
void weft__supply_tend(int64_t now); /* the monitor, each round: ends threads that are not needed */
bool weft__supply_surplus(void);     /* there are spares that tend would end */

#endif
