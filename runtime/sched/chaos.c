/* SPDX-License-Identifier: MIT */
/* chaos.c - see chaos.h. Owns nothing: a delay is drawn from the random state of the caller's
 * worker. */
#include "runtime/sched/chaos.h"

/* Lets other threads in between two steps that race. Inside the runtime nothing may yield, so this
 * only burns a random time, now and then one long enough for another thread to run. */
WEFT__NOINLINE void weft__chaos_slow(void)
{
    weft__worker *w = weft__self();
    uint64_t r = w ? weft__random(&w->random) : 0;

    if (r % 16 == 0) {
        for (uint64_t i = 0; i < (r >> 8) % 2000; i++)
            weft__pause();
    }
}
