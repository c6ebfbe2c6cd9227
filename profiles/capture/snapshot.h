/* SPDX-License-Identifier: MIT */
/* snapshot.h - a snapshot of all tasks as of one instant, the cut, and the functions that write it.
 * The README of this folder says what the cut promises.
 *
 * A snapshot never changes once it is captured, so any number of threads may read it at once,
 * without a lock, while they have a reference (tasks.h). The functions that write it may wait for
 * the symbolizer, and for the sink. */
#ifndef WEFT_SNAPSHOT_H
#define WEFT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/profile.h>

#include "profiles/table/stacktab.h"
#include "runtime/sched/tags.h"

enum weft__record_state {
    WEFT__REC_NONE, /* this slot had no task at the cut */
    WEFT__REC_RUNNABLE,
    WEFT__REC_RUNNING, /* on a processor, or off it with its CPU clock advancing */
    WEFT__REC_SYSCALL, /* its thread sits in a call, without a processor */
    WEFT__REC_WAITING, /* reason says on what */
};

enum weft__record_flags {
    WEFT__REC_LOCKED = 1,          /* the task stays on its thread: it is pinned, or foreign */
    WEFT__REC_FOREIGN_CREATOR = 2, /* created by a thread that is no task: no id is printed */
    WEFT__REC_UNSTARTED = 4, /* never ran: its stack is one PC, the entry function's address */
    WEFT__REC_SYSTEM = 8,    /* the runtime's own task, which is not shown */
    WEFT__REC_NO_STACK = 16, /* runs on a thread whose stack could not be read */
};

/* One task at the cut; 64 bytes. */
struct weft__record {
    uint64_t id;
    uint64_t creator; /* task id of the creator; 0 if it was no task */
    /* The return address of the call that created it; 0: main, which has no "created by". */
    uintptr_t creator_pc;
    /* Monotonic ns when its wait or its declared call began, or it lost its processor; else 0. */
    int64_t since;
    const void *object; /* that the task waits for, or NULL */
    uintptr_t owner;    /* id of the holder of the lock that it waits for; 0 if none or not known */
    weft__tags *tags;   /* its name and labels, a reference; or NULL */
    uint32_t stack;     /* its id in the snapshot's table of stacks; 0 if it has none */
    uint8_t state, reason, flags, _pad;
};

/* The numbers of the scheduler at the cut, for the head of a dump. */
struct weft__sched_counts {
    uint32_t procs;       /* 0: the numbers are not known, and not shown */
    const char *procs_by; /* their source, constant; NULL: not known, and not shown */
    uint32_t threads, spares;
    uint32_t lost; /* threads that run a task without a processor */
    uint32_t max_threads;
    bool capped; /* there are max_threads threads, and tasks wait for one */
    /* For each processor the kernel's delay of its thread (runtime/sched/delay.h). n_delays is 0
     * where nothing is known; delay_error: an errno that says why, or 0. */
    struct weft__delay_row {
        uint32_t thread;
        uint64_t total, latest; /* ns */
    } * delays;
    uint32_t n_delays;
    int delay_error;
};

/* The rest of a request for a page, if a server sends the page. */
struct weft__page {
    const char *nonce;       /* by which the page's script may run */
    struct weft__base *base; /* compare with it (render/bases.h); NULL: with none */
    bool keep;               /* keep this profile as a base */
};

struct weft__snapshot {
    struct weft__record *records; /* by task slot: holes have state WEFT__REC_NONE */
    size_t n;                     /* slots in records */
    size_t alive;                 /* records that are not holes */
    uint64_t first;               /* id of the task to print first, the requester; or 0 */
    int64_t now;                  /* monotonic ns of the cut */
    int64_t wall;                 /* CLOCK_REALTIME ns of the cut */
    weft__stacktab *stacks;
    struct weft__locks *locks; /* the locks that tasks wait for (locks.h); NULL: not known */
    uint32_t half; /* text shows at most so many innermost and outermost frames; 0: all */
    enum weft_profile_form form;   /* of weft__tasks_pprof and its like */
    const struct weft__page *page; /* for WEFT_PROFILE_HTML; NULL: it becomes a file */
    struct weft__sched_counts sched;
};

/* Returns the text of a wait reason, by its number in runtime/sched/wait.h. */
const char *weft__wait_text(unsigned reason);

/* The place that output goes to. write may wait, and may switch to another thread. It returns 0, or
 * a negative code, which ends the output and is returned by the function that wrote. */
struct weft__sink {
    int (*write)(void *arg, const void *data, size_t n);
    void *arg;
};

/* These write a snapshot. All return 0, the sink's negative code, or -ENOMEM. */

/* Writes text: debug = 1 (tasks with one stack together), 2 (each task, in Go's grammar), 3 (each
 * task, with what Go cannot say). tasks_text.c */
int weft__tasks_text(const struct weft__snapshot *s, int debug, const struct weft__sink *to);
/* Writes a profile of type goroutine/count in the snapshot's form. tasks_merged.c */
int weft__tasks_pprof(const struct weft__snapshot *s, const struct weft__sink *to);
/* Writes the same with one sample for each task, which has its id, state and wait. tasks_each.c */
int weft__tasks_pprof_each(const struct weft__snapshot *s, const struct weft__sink *to);
/* Writes the same of the difference until - from, in the form of until, without stacks whose count
 * did not change. */
int weft__tasks_pprof_delta(const struct weft__snapshot *from, const struct weft__snapshot *until,
                            const struct weft__sink *to);

#endif
