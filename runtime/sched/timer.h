/* SPDX-License-Identifier: MIT */
/* timer.h - one heap of timers a processor.
 *
 * A timer is armed in the heap of the processor that arms it. The processor's worker fires it, or
 * another worker if that one is late. Lock: heap->lock (rank TIMERS) guards the heap and every
 * timer in it. A timer that was popped is firing until its callback has returned, which runs
 * without the lock. A callback may arm its timer again, and a second worker may fire that before
 * the first callback has returned; so firing counts them. */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include "runtime/base/lock.h"

#include <weft/time.h>

struct weft__proc;
typedef struct weft__timer weft__timer;

/* arg is what the timer was armed with. */
typedef void weft__timer_fire(weft__timer *t, uint64_t arg, int64_t now);

struct weft__timer {
    weft__timer_fire *fire; /* NULL: the deadline of a wait; arg is its ticket */
    uint64_t arg;
    uint32_t pos;   /* atomic: in the heap, from 1; 0: not in it */
    uint16_t home;  /* atomic: processor whose heap it is or was last in */
    uint8_t firing; /* atomic: callbacks under way */
};

typedef struct weft__timers {
    uint32_t lock;
    uint32_t n, cap;
    struct weft__timer_slot {
        int64_t when;
        weft__timer *timer;
    } * heap;     /* 4-ary, earliest first; within memory */
    void *memory; /* aligned */
    int64_t next; /* atomic: when of the earliest, WEFT_FOREVER if none */
} weft__timers;

/* Arms t, which is in no heap, for when. Runs in the runtime, or on a foreign thread (then in the
 * first processor's heap, which is woken if need be). */
void weft__timer_arm(weft__timer *t, int64_t when, uint64_t arg);
/* Returns true if t was still in the heap, and so never fires now. */
bool weft__timer_disarm(weft__timer *t);
/* Disarms t; if it is firing just now, waits until it has fired. */
bool weft__timer_disarm_wait(weft__timer *t);
/* Fires what is due in p's heap, by any worker that has a processor. Returns the number fired. */
unsigned weft__timers_run(struct weft__proc *p);
void weft__timers_free(weft__timers *ts);

#endif
