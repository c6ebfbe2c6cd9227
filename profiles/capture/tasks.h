/* SPDX-License-Identifier: MIT */
/* tasks.h - takes snapshots of all tasks.
 *
 * A task, or a foreign thread in a run, may call these functions, with no lock held. A snapshot
 * takes as long as the slowest stack, and keeps the caller's thread; a long one is declared as a
 * blocking call, so that other tasks run meanwhile. weft__snapshot_put may be called by any thread.
 * */
#ifndef WEFT_TASKS_H
#define WEFT_TASKS_H

#include "profiles/capture/snapshot.h"
#include "runtime/sched/task.h"

#include <weft/dump.h>

/* Takes a snapshot, or shares the one that is just being taken. Returns 0; WEFT_ENOMEM; WEFT_EINVAL
 * if no run is under way. weft__snapshot_put gives it back; it does nothing for NULL. */
int weft__snapshot_get(const struct weft__snapshot **out);
void weft__snapshot_put(const struct weft__snapshot *s);
/* Does the same, and leaves the caller in the blocking call that it declared for the snapshot, if
 * *aside: then weft__stand_back ends it. */
int weft__snapshot_get_aside(const struct weft__snapshot **out, bool *aside);

/* Declares a blocking call if the caller is about to look at so many tasks that it takes long, so
 * that its processor runs other tasks. Returns true if it did: then weft__stand_back, or any other
 * call of the library, ends the blocking call. Returns false as well while threads are short, since
 * the wait for a thread could then last for ever. */
bool weft__stand_aside(size_t tasks);
void weft__stand_back(void);

/* A request for a snapshot by a thread that dies. */
struct weft__asking {
    weft__task *self;     /* the task that asks; or NULL */
    const void *ucontext; /* the context that a signal interrupted; NULL: self's is saved */
    const void *from;     /* the return address from which self's stack is shown; NULL: all of it */
    bool alone;           /* record self and no other task */
    struct capture *c;    /* the answer, for tasks.c */
};

/* Takes a snapshot for the report of the process's end. Returns NULL if no run is under way, or if
 * memory ran out; weft__snapshot_put gives it back. */
const struct weft__snapshot *weft__snapshot_of_death(struct weft__asking *a);
/* Returns whether the caller, which is about to die, holds up a capture: it is the dumper, or is
 * writing a record. w: its worker, or NULL. */
bool weft__holds_capture(const weft__worker *w);
/* The reporter's `record` (runtime/sched/observe.h): called by the worker of t while t's context is
 * saved and no other worker can run t. */
void weft__snapshot_record(weft__task *t, bool running);

/* Lets snapshots begin and end with a run. Called once, before the first run. */
void weft__capture_attach(void);

/* The mutant that WEFT_BREAK asks for in tests. The head of tasks.c says which test notices it. */
enum weft__mutant {
    WEFT__SOUND = -1,
    WEFT__SKIP_COPY_ON_RESUME,
    WEFT__LATE_RUNNING,
    WEFT__LATE_OWNERS,
    WEFT__CRASH_IN_CAPTURE,
    WEFT__CRASH_IN_RECORD,
    WEFT__CRASH_IN_FIRST,
    WEFT__CRASH_IN_NAMES,
    WEFT__HANG_IN_REPORT,
};
extern enum weft__mutant weft__mutant;
void weft__mutant_crash(void); /* faults, for the mutants CRASH_IN_* */

/* For tests: takes a snapshot that is not shared. One caller at a time. Returns NULL if memory ran
 * out. */
const struct weft__snapshot *weft__snapshot_take(void);
void weft__snapshot_free(const struct weft__snapshot *s);

#endif
