/* SPDX-License-Identifier: MIT */
/* snapshot.h - a consistent cut through every task, immutable once captured, and its renderers. The
 * README of this folder says what the cut promises. */
#ifndef WEFT_SNAPSHOT_H
#define WEFT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/table/stacktab.h"
#include "runtime/sched/tags.h"

enum weft__record_state {
    WEFT__REC_NONE, /* this slot held no task at the cut */
    WEFT__REC_RUNNABLE,
    WEFT__REC_RUNNING, /* on a processor, or off it with its CPU clock advancing */
    WEFT__REC_SYSCALL, /* its thread sits in a call, without a processor */
    WEFT__REC_WAITING, /* reason says on what */
};

enum weft__record_flags {
    WEFT__REC_LOCKED = 1,          /* to its thread: pinned, or a foreign thread */
    WEFT__REC_FOREIGN_CREATOR = 2, /* created by a thread that is no task: print no id */
    WEFT__REC_UNSTARTED = 4,       /* stack is one PC, the entry function's address itself */
    WEFT__REC_SYSTEM = 8,          /* the runtime's own; left out unless asked for */
    WEFT__REC_NO_STACK = 16,       /* running on another thread, its stack could not be had */
};

/* One task at the cut; 64 bytes. */
struct weft__record {
    uint64_t id;
    uint64_t creator; /* task id of the creator, 0 if none */
    /* Return address of the call that created it; 0: main, which has no "created by". */
    uintptr_t creator_pc;
    int64_t since; /* monotonic ns the wait or declared call began, or the task lost its processor;
                    * 0: none of these */
    const void *object; /* waited for, or NULL */
    uintptr_t owner;    /* id of the task that held the lock waited for, 0 if none or not known */
    weft__tags *tags;   /* its name and labels: a reference, or NULL */
    uint32_t stack;     /* in the snapshot's table, 0: none */
    uint8_t state, reason, flags, _pad;
};

/* The scheduler at the cut, as far as dumps tell of it. */
struct weft__counts {
    uint32_t procs; /* 0: not known, nothing is told */
    uint32_t threads, spares;
    uint32_t lost; /* threads that run a task without a processor */
    uint32_t max_threads;
    bool capped; /* threads are short: see spare.c */
};

struct weft__snapshot {
    struct weft__record *records; /* by task slot: holes have state WEFT__REC_NONE */
    size_t n;                     /* slots */
    size_t alive;                 /* records that are not holes */
    uint64_t first;               /* id printed first (the requester), 0: none */
    int64_t now;                  /* monotonic ns of the cut */
    int64_t wall;                 /* CLOCK_REALTIME ns of the cut */
    weft__stacktab *stacks;
    struct weft__locks *locks; /* that tasks wait for (locks.h); NULL: not known */
    uint32_t half; /* text shows so many innermost and outermost frames of a stack; 0: all */
    struct weft__counts counts;
};

/* Text of a wait reason by number: runtime/sched/wait.h. */
const char *weft__wait_text(unsigned reason);

/* Where a renderer writes. write returns 0, or a negative code that ends the rendering. */
struct weft__sink {
    int (*write)(void *arg, const void *data, size_t n);
    void *arg;
};

/* debug = 1 (merged, text), 2 (each task, Go's grammar), 3 (each task, with what Go cannot say).
 * 0, the sink's negative code, or -ENOMEM. tasks_text.c */
int weft__tasks_text(const struct weft__snapshot *s, int debug, const struct weft__sink *to);
/* gzip'ed profile.proto of type goroutine/count. tasks_merged.c */
int weft__tasks_pprof(const struct weft__snapshot *s, const struct weft__sink *to);
/* The same with one sample a task, which tells its id, state and wait. tasks_each.c */
int weft__tasks_pprof_each(const struct weft__snapshot *s, const struct weft__sink *to);
/* The same of what changed between two: until minus from, what has the same count left out. */
int weft__tasks_pprof_delta(const struct weft__snapshot *from, const struct weft__snapshot *until,
                            const struct weft__sink *to);

#endif
