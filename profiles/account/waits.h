/* SPDX-License-Identifier: MIT */
/* waits.h - takes the views of the block, mutex and contention profiles, for waits.c, which defines
 * these profiles, and for deltas.c. A task or a foreign thread in a run, with no lock held. */
#ifndef WEFT_WAITS_H
#define WEFT_WAITS_H

#include "profiles/account/recorder.h"
#include "profiles/render/pprof.h"
#include "profiles/table/buckets.h"

struct weft__waits {
    enum weft__wait_table which; /* BLOCK, MUTEX or PAIRS */
    bool with_io;                /* BLOCK only */
    bool live;                   /* with the waits that go on */
    bool stays;                  /* the caller must keep its thread: it holds a mutex; not live */
};

/* Takes all waits so far, as samples; NULL without memory. While weft_run runs. */
weft__buckets *weft__waits_take(const struct weft__waits *w);

/* The values of these profiles and of deltas.c's, and the first lines of their text. */
extern const struct weft__pprof_type weft__waits_values[2];
#define WEFT__WAITS_TEXT "--- contention:\ncycles/second=1000000000\n"
#define WEFT__MUTEX_TEXT "--- mutex:\ncycles/second=1000000000\nsampling period=1\n"

#endif
