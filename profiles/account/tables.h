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
    uint64_t number; /* no other tables ever have it */
    weft__buckets *of[WEFT__RECORDED_TABLES];
};

void weft__tables_start(void); /* a run begins; ends the process if there is no memory */
void weft__tables_stop(void);

/* Returns the tables to count in, which stay until unuse. Called by w itself. */
const struct weft__tables *weft__tables_use(weft__worker *w);
void weft__tables_unuse(weft__worker *w);
/* One of the tables is nearly full. Has them replaced if that gives room: what was recorded with
 * sets of labels that went (labelset.h) then counts together. At most once in ten seconds, by a
 * thread of its own. */
void weft__tables_crowded(void);

/* Returns the tables to be read, which stay until unlock. The caller may do nothing meanwhile that
 * switches tasks. */
const struct weft__tables *weft__tables_lock(void);
void weft__tables_unlock(void);
uint32_t weft__tables_count(enum weft__wait_table which); /* stacks */

#endif
