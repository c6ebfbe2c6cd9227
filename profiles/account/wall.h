/* SPDX-License-Identifier: MIT */
/* wall.h - where tasks spend their time, whether they run or wait: what fgprof calls wall clock. */
#ifndef WEFT_WALL_H
#define WEFT_WALL_H

#include "profiles/capture/snapshot.h"
#include "profiles/table/buckets.h"

#include <weft/time.h>

/* Waits until then; false: what is sampled for is not wanted any more. */
typedef bool weft__wall_wait(void *arg, weft_time until);

/* Looks at tasks for so long; the caller is left out. Samples (sample.h) whose delay is time spent.
 * NULL: *rc is -ENOMEM, or -ECANCELED when wait said false. By a task, or a foreign thread. */
weft__buckets *weft__wall_sample(weft_duration duration, weft__wall_wait *wait, void *arg, int *rc);
int weft__wall_pprof(const weft__buckets *b, int64_t duration, const struct weft__sink *to);
int weft__wall_text(const weft__buckets *b, const struct weft__sink *to);

#endif
