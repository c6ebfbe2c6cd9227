/* SPDX-License-Identifier: MIT */
/* recorder.h - the recording of waits as they end, for the block, mutex and contention profiles:
 * the four tables in which they are counted, and the rates. Any thread may call these functions. */
#ifndef WEFT_RECORDER_H
#define WEFT_RECORDER_H

#include "profiles/table/buckets.h"
#include <stdint.h>

enum weft__contention {
    WEFT__CONTENTION_BLOCK, /* waits for other tasks, by the waiter's stack */
    WEFT__CONTENTION_IO,    /* waits for the world outside, by the waiter's stack */
    WEFT__CONTENTION_MUTEX, /* what others waited for a lock, by the unlocker's stack */
    WEFT__CONTENTION_PAIRS, /* waits for locks, by both stacks */
    WEFT__CONTENTIONS
};

enum {
    WEFT__CONTENTION_STACKS =
        16384 /* with labels, of each kind; all further ones share one entry */
};

void weft__contention_attach(void); /* adds the sink that records waits */

int64_t weft__contention_rate(enum weft__contention which); /* ns, 0: off */

#endif
