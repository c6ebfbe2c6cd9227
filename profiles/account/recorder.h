/* SPDX-License-Identifier: MIT */
/* recorder.h - the recording of waits as they end, for the block, mutex and contention profiles:
 * the four tables in which they are counted, and the rates.
 *
 * Any thread may read a rate; it takes no lock. */
#ifndef WEFT_RECORDER_H
#define WEFT_RECORDER_H

#include "profiles/table/buckets.h"
#include <stdint.h>

enum weft__wait_table {
    WEFT__RECORDED_BLOCK, /* waits for other tasks, by the waiter's stack */
    WEFT__RECORDED_IO,    /* waits for the world outside, by the waiter's stack */
    WEFT__RECORDED_MUTEX, /* the time that others waited for a lock, by the unlocker's stack */
    WEFT__RECORDED_PAIRS, /* waits for locks, by both stacks */
    WEFT__RECORDED_TABLES
};

/* About so many stacks with labels are told apart in each table; all further ones share a
 * bucket. */
enum { WEFT__RECORDED_STACKS = 16384 };

/* Adds the event sink that records waits. Called once, before the first run. */
void weft__recorder_attach(void);

/* Returns the period of a table's samples in ns; 0 if they are off. */
int64_t weft__waits_rate(enum weft__wait_table which);

#endif
