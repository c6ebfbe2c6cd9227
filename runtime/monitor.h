/* SPDX-License-Identifier: MIT */
/* monitor.h - the thread that watches processors, and the hog lane. */
#ifndef WEFT_MONITOR_H
#define WEFT_MONITOR_H

#include "scheduler.h"

extern uint32_t weft__hog_sites; /* atomic: entry functions known to hog */

static inline bool weft__monitor_knows_hogs(void)
{
    return weft__load(&weft__hog_sites) > 0;
}

/* A task of a known hog's that has no slot of the lane. */
bool weft__lane_wanted(const weft__task *t);

#endif
