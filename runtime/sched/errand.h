/* SPDX-License-Identifier: MIT */
/* errand.h - work that a thread which dies leaves to weft_run's thread. */
#ifndef WEFT_ERRAND_H
#define WEFT_ERRAND_H

#include "runtime/base/base.h"

/* Has weft_run's thread call fn(arg) and waits for its end. The thread that dies calls it, since it
 * may hold locks that the other thread does not need, such as malloc's for its own arena. Returns
 * false if weft_run's thread did not begin within half a second, or is the caller. One at a time.
 */
bool weft__errand(void (*fn)(void *arg), void *arg);

/* These three on weft_run's thread. */
void weft__errands_init(void);
void weft__errand_run(void); /* does the errand, if there is one */
/* Does not return if the process is about to end because of us. */
void weft__death_wait(void);

#endif
