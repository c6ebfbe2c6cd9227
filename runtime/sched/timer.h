/* SPDX-License-Identifier: MIT */
/* timer.h - a heap of timers for each processor.
 *
 * A timer is armed in the heap of the processor that arms it. The worker of that processor fires
 * it, or another worker if that one is late.
 * Lock: heap->lock (rank TIMERS) guards the heap and every timer in it. Callbacks run without it.
 *
 * A timer that was popped is firing until its callback has returned. A callback may arm its timer
 * again, and a second worker may fire that before the first callback has returned; so `firing`
 * counts callbacks. The owner of a timer may free it when it is neither in a heap nor firing. */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include "runtime/base/lock.h"

#include <weft/time.h>

struct weft__proc;
typedef struct weft__timer weft__timer;

/* A callback, on a worker and inside the runtime. It must be short: it holds up all timers of the
 * heap. arg is the value that the timer was armed with. */
typedef void weft__timer_fire(weft__timer *t, uint64_t arg, int64_t now);

struct weft__timer {
    weft__timer_fire *fire; /* NULL: the deadline of a task's wait, whose ticket is arg */
    uint64_t arg;           /* guarded by the heap's lock */
    uint32_t pos;           /* the place in the heap, from 1; 0: in no heap; atomic */
    uint16_t home;          /* the processor whose heap it is or was last in; atomic */
    uint8_t firing;         /* callbacks under way; atomic */
};

typedef struct weft__timers {
    uint32_t lock;
    uint32_t n, cap; /* timers in the heap, and its room */
    struct weft__timer_slot {
        int64_t when;
        weft__timer *timer;
    } * heap;     /* 4-ary, earliest first; a part of memory */
    void *memory; /* aligned to a cache line */
    int64_t next; /* the instant of the earliest; WEFT_FOREVER if there is none; atomic */
} weft__timers;

/* Arms t, which is in no heap, for an instant. The caller is inside the runtime, or a foreign
 * thread; the latter uses the heap of the first processor, and wakes that if need be. May be called
 * under locks of a rank below TIMERS. */
void weft__timer_arm(weft__timer *t, int64_t when, uint64_t arg);
/* Takes t out of its heap. Returns true if it was in one, and so will not fire. */
bool weft__timer_disarm(weft__timer *t);
/* Does the same, and waits until a callback that is under way has returned. The caller holds no
 * lock that the callback takes. */
bool weft__timer_disarm_wait(weft__timer *t);
/* Fires the due timers of p's heap. Any worker that has a processor may call, without locks.
 * Returns the number of timers fired. */
unsigned weft__timers_run(struct weft__proc *p);
/* Frees the heap at the end of a run. Its timers are in no heap then. */
void weft__timers_free(weft__timers *ts);

#endif
