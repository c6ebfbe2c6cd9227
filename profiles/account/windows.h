/* SPDX-License-Identifier: MIT */
/* windows.h - windows: profiles of waits over a span of time, in which each wait counts with the
 * part of it that lies in the window.
 *
 * weft__windows_want and _add are called by the recorder of waits, on a worker. The other functions
 * are for the task or thread that opened the window. open, end, close and add take a lock of rank
 * TASKS. */
#ifndef WEFT_WINDOWS_H
#define WEFT_WINDOWS_H

#include "profiles/account/recorder.h"

#include <stdint.h>

typedef struct weft__window weft__window;

/* The times of a wait, or of a charge, that is recorded. */
struct weft__measure {
    int64_t from, until;   /* ticks; a charge has no from */
    int64_t waited;        /* ticks in all; for a charge the sum of all waiters */
    uint32_t n;            /* for a charge: how many waiters */
    const int64_t *inside; /* for a charge: see runtime/sched/observe.h */
    uint64_t key;          /* of the wait among those that go on: the task's id, or the lock */
};

/* Opens a window that begins now. with_io is for BLOCK alone. Returns NULL if memory ran out. */
weft__window *weft__window_open(enum weft__wait_table which, bool with_io);
/* Ends the window now. A wait that ends later, before close, is still added, and counts up to now.
 * */
void weft__window_end(weft__window *w);
/* Closes the window: nothing more is added. */
void weft__window_close(weft__window *w);
void weft__window_free(weft__window *w); /* closed or not; NULL does nothing */

/* Returns the samples of the window (sample.h), those of with_io in the same table. Called after
 * close. */
const weft__buckets *weft__window_buckets(const weft__window *w);
void weft__window_bounds(const weft__window *w, int64_t *from, int64_t *until); /* ticks */
/* Returns whether a wait of this key went on at the end and ended before close: the table has it.
 */
bool weft__window_has(const weft__window *w, uint64_t key);

/* Called by the recorder. want returns whether an open window wants such waits. add adds a joined
 * sample (sample.h); count and delay (in ticks) are those of the whole wait or charge. */
bool weft__windows_want(enum weft__wait_table which);
void weft__windows_add(enum weft__wait_table which, const struct weft__measure *m,
                       const struct weft__walk *joined, double count, int64_t delay);

#endif
