/* SPDX-License-Identifier: MIT */
/* delay.h - the kernel scheduling delay: the time for which a worker's thread could run, but waited
 * for a CPU.
 *
 * The kernel counts that time for each thread (/proc/thread-self/schedstat). A worker looks at its
 * count at a full turn (find.c), so between two tasks, and at most once in WEFT__DELAY_EVERY. The
 * time since the look before is added to the sum of the worker's processor and to the histogram of
 * the run, and is told to the sinks. A look takes about a microsecond.
 *
 * The waits of a thread that had lost its processor, such as a hog's, do not count.
 *
 * Only the owner of a processor looks; any thread may read. No lock. */
#ifndef WEFT_DELAY_H
#define WEFT_DELAY_H

#include "runtime/sched/scheduler.h"

enum { WEFT__DELAY_EVERY = 10 /* ms */, WEFT__DELAY_STEPS = 12 };
#define WEFT__DELAY_UNSEEN UINT64_MAX

/* The delays of all looks of a run. */
struct weft__delays {
    int error;                          /* why nothing is known: an errno; 0: all is known */
    uint64_t looks, total, most;        /* total and most in ns */
    uint64_t counts[WEFT__DELAY_STEPS]; /* looks by delay: from weft__delay_steps[i] ns on */
};

extern const uint64_t weft__delay_steps[WEFT__DELAY_STEPS];
extern const char *weft__delay_file; /* tests name another one */

/* The run begins: forgets the delays of the last one. */
void weft__delays_begin(void);
/* Closes the file of a processor, which has no owner any more. */
void weft__delay_end(weft__proc *p);
void weft__delay_look(weft__worker *w);
void weft__delays_read(struct weft__delays *out);
uint64_t weft__delay_of(uint32_t proc); /* ns */

/* Called by the owner, who has just read the clock into w->now. */
static inline void weft__delay_check(weft__worker *w)
{
    if (weft__unlikely(w->now - w->p->delay.looked >
                       WEFT__DELAY_EVERY * weft__load(&weft__clock_ms)))
        weft__delay_look(w);
}

/* The thread of w, the caller, is back from where it had no processor. */
static inline void weft__delay_forget(weft__worker *w)
{
    w->delay_seen = WEFT__DELAY_UNSEEN;
}

#endif
