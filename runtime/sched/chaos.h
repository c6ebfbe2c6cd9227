/* SPDX-License-Identifier: MIT */
/* chaos.h - delays between steps that race, for tests: WEFT_CHAOS. Any thread may call, with locks
 * held or not: a delay only spins. */
#ifndef WEFT_CHAOS_H
#define WEFT_CHAOS_H

#include "runtime/sched/scheduler.h"

/* A random yield or delay, when schedule chaos is on. */
void weft__chaos_slow(void);
static inline void weft__chaos(void)
{
    if (weft__unlikely(weft__sched.chaos != 0))
        weft__chaos_slow();
}

#endif
