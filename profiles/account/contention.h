/* SPDX-License-Identifier: MIT */
/* contention.h - waits of tasks for each other: recording, and the three profiles of them. */
#ifndef WEFT_CONTENTION_H
#define WEFT_CONTENTION_H

#include "profiles/table/buckets.h"
#include <stdint.h>

enum weft__contention {
    WEFT__CONTENTION_BLOCK, /* stacks that waited for tasks */
    WEFT__CONTENTION_IO,    /* and for the world */
    WEFT__CONTENTION_MUTEX, /* stacks that unlocked */
    WEFT__CONTENTION_PAIRS, /* both */
    WEFT__CONTENTIONS
};

enum {
    WEFT__CONTENTION_STACKS =
        16384 /* with labels, of each kind; all further ones share one entry */
};

void weft__contention_attach(void); /* adds the sink that records waits */

int64_t weft__contention_rate(enum weft__contention which); /* ns, 0: off */

#endif
