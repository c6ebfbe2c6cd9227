/* SPDX-License-Identifier: MIT */
/* tables.h - the four tables in which recorded waits are counted, for the life of the process.
 *
 * weft__tables_use and _unuse are for a worker, around one event; they take no lock and cannot
 * fail. The readers' functions are for any thread that holds no lock: they take a pthread mutex. */
#ifndef WEFT_TABLES_H
#define WEFT_TABLES_H

#include "profiles/account/recorder.h"
#include "profiles/table/buckets.h"
#include "runtime/sched/scheduler.h"

/* Each table tells apart about WEFT__RECORDED_STACKS stacks; all further ones share a bucket
 * without a stack. */
struct weft__tables {
    uint64_t number; /* no other tables ever have the same */
    weft__buckets *of[WEFT__RECORDED_TABLES];
};

/* Called as a run begins and ends. start ends the process if there is no memory for the tables. */
void weft__tables_start(void);
void weft__tables_stop(void);

/* Returns the tables to count in, which are not freed until unuse. Called by worker w itself. */
const struct weft__tables *weft__tables_use(weft__worker *w);
void weft__tables_unuse(weft__worker *w);
/* Called when one of the tables is nearly full. Has a thread replace the tables if that gives room:
 * buckets whose label sets are gone (labelset.h) are then counted together. At most once in ten
 * seconds. */
void weft__tables_crowded(void);

/* Returns the tables for reading; they are not replaced until unlock. Meanwhile the caller must not
 * switch tasks, since a pthread mutex is held. */
const struct weft__tables *weft__tables_lock(void);
void weft__tables_unlock(void);
uint32_t weft__tables_count(enum weft__wait_table which); /* stacks */

#endif
