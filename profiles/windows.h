/* SPDX-License-Identifier: MIT */
/* windows.h - what waits add to a profile in a time: of each wait its part of that time, and no
 * more. */
#ifndef WEFT_WINDOWS_H
#define WEFT_WINDOWS_H

#include "contention.h"

#include <stdint.h>

typedef struct weft__window weft__window;

/* A wait or a charge that is recorded. */
struct weft__measure {
    int64_t from, until;   /* ticks; from is not used of a charge */
    int64_t waited;        /* ticks in all; of a charge by all waiters */
    uint32_t n;            /* waiters of a charge */
    const int64_t *inside; /* of a charge: see runtime/observe.h */
    uint64_t key;          /* tells the wait from others that go on: the task's id; the lock */
};

/* Begins now. which: with_io counts with BLOCK alone. NULL without memory. */
weft__window *weft__window_open(enum weft__contention which, bool with_io);
/* The window ends now. What is over later is still told to it, until close, but counts up to now
 * only. */
void weft__window_end(weft__window *w);
/* Takes nothing more. */
void weft__window_close(weft__window *w);
void weft__window_free(weft__window *w); /* closed or not; NULL does nothing */

/* After close: samples (sample.h). with_io's are in the same table. */
const weft__buckets *weft__window_buckets(const weft__window *w);
void weft__window_bounds(const weft__window *w, int64_t *from, int64_t *until); /* ticks */
/* Was a wait of this key, which went on at the end, over before close? Then the table has it. */
bool weft__window_has(const weft__window *w, uint64_t key);

/* For those who record: is one open that wants these? add takes a sample joined by sample.h, of
 * which count and delay (ticks) are recorded for the whole measure. */
bool weft__windows_want(enum weft__contention which);
void weft__windows_add(enum weft__contention which, const struct weft__measure *m,
                       const struct weft__walk *joined, double count, int64_t delay);

#endif
