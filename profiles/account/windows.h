/* SPDX-License-Identifier: MIT */
/* windows.h - windows: profiles of waits over a span of time, in which each wait counts with the
 * part of it that lies in the window.
 *
 * weft__windows_want and _add are called by the recorder of waits, on a worker. The other functions
 * are for the task or thread that opened the window. A spin lock is taken for a moment. */
#ifndef WEFT_WINDOWS_H
#define WEFT_WINDOWS_H

#include "profiles/account/recorder.h"

#include <stdint.h>

typedef struct weft__window weft__window;

/* The times of a wait, or of a charge, that is recorded. */
struct weft__measure {
    int64_t from, until;   /* ticks; from is not used of a charge */
    int64_t waited;        /* ticks in all; of a charge by all waiters */
    uint32_t n;            /* waiters of a charge */
    const int64_t *inside; /* of a charge: see runtime/sched/observe.h */
    uint64_t key;          /* tells the wait from others that go on: the task's id; the lock */
};

/* Opens a window that begins now. with_io is for BLOCK alone. NULL without memory. */
weft__window *weft__window_open(enum weft__wait_table which, bool with_io);
/* Ends the window now. Waits that end later are still added, until close, but count up to now. */
void weft__window_end(weft__window *w);
/* Closes the window: nothing more is added. */
void weft__window_close(weft__window *w);
void weft__window_free(weft__window *w); /* closed or not; NULL does nothing */

/* Returns the samples (sample.h), with_io's in the same table. After close. */
const weft__buckets *weft__window_buckets(const weft__window *w);
void weft__window_bounds(const weft__window *w, int64_t *from, int64_t *until); /* ticks */
/* Returns whether a wait of this key went on at the end and ended before close: the table has it.
 */
bool weft__window_has(const weft__window *w, uint64_t key);

/* Called by the code that records waits. want returns whether an open window wants these; add takes
 * a sample joined by sample.h, whose count and delay (ticks) are those of the whole measure. */
bool weft__windows_want(enum weft__wait_table which);
void weft__windows_add(enum weft__wait_table which, const struct weft__measure *m,
                       const struct weft__walk *joined, double count, int64_t delay);

#endif
