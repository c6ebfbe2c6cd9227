/* SPDX-License-Identifier: MIT */
/* capture.h - a snapshot that is being made, for the files that make it: tasks.c, record.c and
 * capture_running.c. The head of tasks.c explains the protocol.
 *
 * One dumper at a time owns the struct; workers write records into it meanwhile. The functions that
 * walk stacks may wait for the symbolizer, so their caller holds no lock; the others only read a
 * task and move its snap. */
#ifndef WEFT_CAPTURE_H
#define WEFT_CAPTURE_H

#include "profiles/capture/locks.h"
#include "profiles/capture/snapshot.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"

struct capture {
    struct weft__snapshot s;
    size_t cap;               /* slots in s.records; constant */
    uint32_t epoch;           /* the number of this snapshot; constant */
    uint32_t refs;            /* callers that share it; guarded by captures.lock (tasks.c) */
    bool tagged;              /* atomic: some record has tags, which are to be dropped at the end */
    struct weft__locks locks; /* the dumper's alone until the snapshot is complete */
};

/* record.c: fills in the parts of a record that do not depend on the state of t. */
void weft__capture_describe(struct weft__record *r, weft__task *t);
/* Describes a task that rests: it is runnable, or waits. A task that was made ready after the cut
 * still counts as waiting. */
void weft__capture_describe_resting(struct weft__record *r, weft__task *t, uint32_t state,
                                    uint32_t epoch);
/* Walks the stack of a task that rests, which r describes. */
void weft__capture_walk_resting(struct weft__walk *walk, const struct weft__record *r,
                                const weft__task *t);
/* Moves t's snap from old to this epoch by a CAS. Returns true in the one thread that did so: this
 * thread must publish t's record. */
bool weft__capture_move(weft__task *t, uint32_t old, uint32_t epoch);
/* Publishes the record of a slot, with its stack. The capture takes over the record's tags. Called
 * only after weft__capture_move returned true. */
void weft__capture_publish(struct capture *c, uint32_t slot, struct weft__record *r,
                           const struct weft__walk *walk);
/* Records the task of a slot if it rests. Returns true if nothing is left to do for the slot: it
 * has its record, or no task. Dumper only. */
bool weft__capture_slot(struct capture *c, uint32_t slot);

/* capture_running.c. Records the tasks of these slots, which did not rest at the first look, or
 * which workers were just recording. Takes at most some 0.2 s, or 3 s if a thread gets no CPU.
 * Changes the list. Dumper only. */
void weft__capture_pending(struct capture *c, uint32_t *slots, size_t n);

#endif
