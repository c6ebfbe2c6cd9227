/* SPDX-License-Identifier: MIT */
/* errand.h - work that a dying thread leaves to weft_run's thread.
 *
 * Only the thread that makes the report of a death (base/death.h) asks for an errand, perhaps in a
 * signal handler and with any lock held. */
#ifndef WEFT_ERRAND_H
#define WEFT_ERRAND_H

#include "runtime/base/base.h"

/* Makes weft_run's thread call fn(arg), and waits until it has. The dying thread may hold locks
 * that fn needs, such as malloc's for its own arena; weft_run's thread uses another arena. Returns
 * false if weft_run's thread is the caller, or did not begin within half a second. */
bool weft__errand(void (*fn)(void *arg), void *arg);

/* The next three are for weft_run's thread. */

void weft__errands_init(void); /* at the start of a run */
void weft__errand_run(void);   /* does the errand, if there is one */
/* Waits for the end of the process if it is about to end because of weft; else returns at once. */
void weft__death_wait(void);

#endif
