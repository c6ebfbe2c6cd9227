/* SPDX-License-Identifier: MIT */
/* beside.h - the CPUs that hogs run on beside the processors; beside.c explains the rules. The
 * comment of each function names the thread that calls it. */
#ifndef WEFT_BESIDE_H
#define WEFT_BESIDE_H

#include "runtime/sched/scheduler.h"

void weft__beside_start(void);           /* weft_run's thread, before the first worker */
void weft__beside_stop(void);            /* weft_run's thread, after the end of the monitor */
void weft__beside_tend(int64_t now);     /* the monitor, in each round */
void weft__beside_left(weft__worker *w); /* w's thread, when its hog has come back */
/* The only thread of a child that w's thread has forked: restores its CPUs. */
void weft__beside_forked(const weft__worker *w);

#endif
