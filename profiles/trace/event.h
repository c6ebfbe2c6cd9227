/* SPDX-License-Identifier: MIT */
/* event.h - one event of a trace, as the threads that make it write it to the tape (tape.h).
 *
 * An event has a fixed size of 32 bytes and names its task by id. seq counts the events of a task's
 * record: 1 more with each event that the tape got. So the events of one task have an order that
 * depends on no clock, though several threads wrote them. The events of one thread stand on one
 * strand, in the thread's order. Both orders together are exact; the times of two threads may
 * differ by what their counters differ. order.h makes one list of all. */
#ifndef WEFT_TRACE_EVENT_H
#define WEFT_TRACE_EVENT_H

#include <stdint.h>

enum weft__event_kind {
    WEFT__EV_NONE,
    /* Says on which thread the next events of the strand happened. arg: the kernel's thread id,
     * with weft__event_place; task: the task that the thread ran before the next event, or 0. It
     * stands where a piece of a strand begins, and behind each cut; seq is the cut's number;
     * detail: 1 if the thread is not the library's. */
    WEFT__EV_MARK,
    WEFT__EV_SPAWN,  /* task was made. arg: its function, NULL for a thread that is not ours; stack:
                      * of the creator */
    WEFT__EV_RUN,    /* task begins to run. arg: weft__event_place of thread and processor */
    WEFT__EV_PARK,   /* task, which ran, waits. detail: enum weft__reason; arg: the object; stack */
    WEFT__EV_YIELD,  /* task, which ran, lets others run. stack */
    WEFT__EV_READY,  /* task, which waited, will run. detail: enum weft__source; arg: the id of the
                      * task that woke it, or 0; stack: of that task, or 0 */
    WEFT__EV_LOST,   /* task runs on without processor. detail: enum weft__why; arg: its thread */
    WEFT__EV_BACK,   /* task, which was lost, waits for a processor */
    WEFT__EV_END,    /* task, which ran, has ended */
    WEFT__EV_CALL,   /* task, which runs, declares a blocking call; stack */
    WEFT__EV_CALLED, /* its end. It is missing after LOST, and may be after a call of the library */
    WEFT__EV_IDLE, /* the thread sleeps, and has no processor until the next RUN. No task or seq */
    /* By the program (weft/trace.h). arg: a traced task in the upper half, a text (texts.h) in the
     * lower; stack. MORE stands before, and has a parent task or a log's value in arg. */
    WEFT__EV_TASK_BEGIN,
    WEFT__EV_TASK_END,
    WEFT__EV_REGION_BEGIN,
    WEFT__EV_REGION_END,
    WEFT__EV_LOG,
    WEFT__EV_MORE,
    WEFT__EV_DELAY, /* the thread waited for a CPU. arg: for so many ns since its last such event.
                     * No task; stack: the processor */
    /* A task has other labels: the one that runs on the thread, or one that the thread is about to
     * make. arg: the task; stack: the id of the set (table/labelset.h), 0: none. So it has no task
     * of its own, since the program relabels outside the scheduler. For traces only. */
    WEFT__EV_LABELS,
    /* From now on arg processors run tasks. No task. It is on no tape: the reader makes it. */
    WEFT__EV_PROCS,
};

struct weft__event {
    int64_t ticks; /* clock.h. Of a RUN often those of the event by which the task before left */
    uint64_t task : 48;
    uint64_t kind : 8;   /* enum weft__event_kind */
    uint64_t detail : 8; /* by kind */
    uint64_t arg;        /* by kind */
    uint32_t seq;
    uint32_t stack; /* an id of weft__tape_stack; 0: none */
};
_Static_assert(sizeof(struct weft__event) == 32, "two in a cache line");

/* A thread and the processor that it has, in one word. */
#define WEFT__NO_PROC UINT32_MAX
static inline uint64_t weft__event_place(uint32_t thread, uint32_t proc)
{
    return (uint64_t)thread << 32 | proc;
}
static inline uint32_t weft__event_thread(uint64_t place)
{
    return (uint32_t)(place >> 32);
}
static inline uint32_t weft__event_proc(uint64_t place)
{
    return (uint32_t)place;
}

#endif
