/* SPDX-License-Identifier: MIT */
/* capture.h - for tasks.c and capture_running.c: a snapshot that is being made. */
#ifndef WEFT_CAPTURE_H
#define WEFT_CAPTURE_H

#include "profiles/capture/locks.h"
#include "profiles/capture/snapshot.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"

struct capture {
    struct weft__snapshot s;
    size_t cap; /* slots in s.records */
    uint32_t epoch;
    uint32_t refs;
    bool tagged; /* atomic: some record has tags */
    struct weft__locks locks;
};

/* record.c: fills in the parts of a record that do not depend on the state of t. */
void weft__capture_describe(struct weft__record *r, weft__task *t);
/* Describes a task that does not run: it is runnable, or waits. A task that was made ready after
 * the cut still counts as waiting. */
void weft__capture_describe_resting(struct weft__record *r, weft__task *t, uint32_t state,
                                    uint32_t epoch);
/* Walks the stack of such a task, which r describes. */
void weft__capture_walk_resting(struct weft__walk *walk, const struct weft__record *r,
                                const weft__task *t);
/* Moves t's snap on from old. Returns true for the one thread that did so: it publishes t's record.
 */
bool weft__capture_move(weft__task *t, uint32_t old, uint32_t epoch);
/* Publishes a record with its stack. The capture owns the record's tags from then on. */
void weft__capture_publish(struct capture *c, uint32_t slot, struct weft__record *r,
                           const struct weft__walk *walk);
/* Records the task of a slot if it rests. Returns true if there is nothing left to do for it. */
bool weft__capture_slot(struct capture *c, uint32_t slot);

/* capture_running.c: records the tasks of these slots, which did not rest, or were being recorded
 * by workers. Changes the list. */
void weft__capture_pending(struct capture *c, uint32_t *slots, size_t n);

#endif
