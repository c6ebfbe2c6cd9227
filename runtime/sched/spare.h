/* SPDX-License-Identifier: MIT */
/* spare.h - the supply of threads. See spare.c. */
#ifndef WEFT_SPARE_H
#define WEFT_SPARE_H

#include "runtime/sched/scheduler.h"

/* Takes a spare thread, and makes one if there is none. Returns NULL at the cap, where the kernel
 * refuses, or at the end of the run. made_for: see observe.h. */
weft__worker *weft__spare_get(weft_task_fn *made_for);
void weft__spare_put(weft__worker *w);

void weft__supply_clear(void);       /* before a run */
void weft__supply_check(void);       /* after the number of spares or of lost tasks has changed */
void weft__supply_missed(void);      /* a task wants a thread and waits: says so once */
void weft__supply_tend(int64_t now); /* monitor, each round */
bool weft__supply_surplus(void);     /* spares are left that tend would end */

#endif
