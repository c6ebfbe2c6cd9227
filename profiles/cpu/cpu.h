/* SPDX-License-Identifier: MIT */
/* cpu.h - samples of CPU time: the stacks on which the threads of the process spend it.
 *
 * Each thread of the process gets a timer on its own CPU clock, whose signal has the thread walk
 * its stack. Another thread, the controller, which lives from start to stop, makes the timers and
 * hands the samples on. There is one sampling at a time.
 *
 * Any thread or task in a run calls weft__cpu_start and _stop, with no lock held; stop keeps its
 * thread until the controller has ended. The controller calls the functions of a sink. Any thread
 * calls weft__cpu_listen and weft__cpu_hand_on. */
#ifndef WEFT_CPU_H
#define WEFT_CPU_H

#include "profiles/walk/unwind.h"
#include "runtime/sched/tags.h"

enum weft__cpu_where {
    WEFT__CPU_RUNNING,   /* a task, in code of the program */
    WEFT__CPU_RUNTIME,   /* a task, inside a call of the library */
    WEFT__CPU_LOST,      /* a task whose processor was taken, since it hogs or is in a long call */
    WEFT__CPU_THREAD,    /* a thread that runs no task */
    WEFT__CPU_SCHEDULER, /* a worker, between tasks */
    WEFT__CPU_IDLE,      /* a worker that looks for work, or goes to sleep */
    WEFT__CPU_SWITCH,    /* a worker, between two stacks: there is none to walk */
};

#define WEFT__CPU_NO_PROC UINT32_MAX

struct weft__cpu_sample {
    int64_t at;      /* ticks */
    uint32_t weight; /* periods of CPU time that it stands for: 1, and those that came late */
    enum weft__cpu_where where;
    uint64_t task; /* id of the task, or of the thread's record; 0: there is none */
    int tid;
    uint32_t proc;                 /* index of the processor; or WEFT__CPU_NO_PROC */
    weft__tags *tags;              /* of the task; or NULL. A sink takes a reference to keep it */
    const struct weft__walk *walk; /* closed (marks.h) */
};

struct weft__cpu_sink {
    void (*sample)(struct weft__cpu_sink *s, const struct weft__cpu_sample *one);
};

/* The results of a sampling. */
struct weft__cpu_counts {
    int signo, hz;
    int64_t cpu;     /* ns of CPU time of the whole process meanwhile */
    uint64_t weight; /* of all samples that reached the sink */
    uint64_t lost;   /* of those that found no room */
    uint64_t late;   /* periods that came late, as part of the next sample's weight */
    /* Samples: with a whole stack; with one that was finished from a copy; without the outer
     * frames. */
    uint64_t whole, deferred, cut;
    uint32_t threads; /* that had a timer */
    uint32_t refused; /* that have none, since the kernel refused; and its error */
    int error;
    uint32_t silent; /* that used CPU but gave no sample; most likely they block the signal */
    bool replaced;   /* the program took the signal's handler meanwhile */
};

/* Start sampling, hz times for each second of CPU time. Returns 0; -EBUSY if a sampling is under
 * way; -ENOMEM; or -EAGAIN if there is no thread. */
int weft__cpu_start(struct weft__cpu_sink *to, int hz);
/* Stops it, after the last sample was handed on. */
void weft__cpu_stop(struct weft__cpu_counts *counts);

/* Gives all samples of all samplings from now on to a second sink, beside that of start. NULL:
 * none. When this returns, the sink from before is not called any more. */
void weft__cpu_listen(struct weft__cpu_sink *to);
/* Returns when the samples that were taken before the call are handed on; at once if no sampling is
 * under way. Keeps the calling thread, which holds no lock, for as long as the controller takes to
 * finish their stacks. */
void weft__cpu_hand_on(void);

#endif
