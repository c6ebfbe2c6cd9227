/* SPDX-License-Identifier: MIT */
/* wall.h - where tasks spend their time, whether they run or wait: fgprof calls this wall clock. */
#ifndef WEFT_WALL_H
#define WEFT_WALL_H

#include "profiles/capture/snapshot.h"
#include "profiles/table/buckets.h"

#include <weft/time.h>

/* Waits until then. Returns false if the profile is not wanted any more. */
typedef bool weft__wall_wait(void *arg, weft_time until);

/* Looks at all tasks but the caller for so long. Returns samples (sample.h) whose delay is the time
 * spent; NULL with -ENOMEM in *rc, or -ECANCELED if wait returned false. Called by a task or a
 * foreign thread. */
weft__buckets *weft__wall_sample(weft_duration duration, weft__wall_wait *wait, void *arg, int *rc);
int weft__wall_pprof(const weft__buckets *b, int64_t duration, const struct weft__sink *to);
int weft__wall_text(const weft__buckets *b, const struct weft__sink *to);

#endif
