/* SPDX-License-Identifier: MIT */
/* beside.h - the CPUs that hogs run on beside the processors; beside.c explains the rules. */
#ifndef WEFT_BESIDE_H
#define WEFT_BESIDE_H

#include "runtime/sched/scheduler.h"

void weft__beside_start(void);                   /* before the first worker */
void weft__beside_stop(void);                    /* at the end of the run, after the monitor's */
void weft__beside_tend(int64_t now);             /* monitor, each round */
void weft__beside_left(weft__worker *w);         /* w is no longer one of too many hogs */
void weft__beside_forked(const weft__worker *w); /* in a child that w's thread forked */

#endif
