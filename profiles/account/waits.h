/* SPDX-License-Identifier: MIT */
/* waits.h - the block, mutex and contention profiles as they stand, and their renderings. */
#ifndef WEFT_WAITS_H
#define WEFT_WAITS_H

#include "profiles/account/contention.h"
#include "profiles/capture/snapshot.h"
#include "profiles/table/buckets.h"

struct weft__waits {
    enum weft__contention which; /* BLOCK, MUTEX or PAIRS */
    bool with_io;                /* BLOCK only */
    bool live;                   /* with the waits that are not over */
    bool stays;                  /* the caller keeps its thread, and is not live */
};

/* Takes all waits so far, for weft__buckets_free; NULL without memory. While weft_run runs. */
weft__buckets *weft__waits_take(const struct weft__waits *w);
/* Take the waits of a time alone, from begin to end; each wait counts with its part of the time.
 * end takes the result of begin, NULL too, and returns NULL without memory. weft__window_free ends
 * a time without a result. */
struct weft__window *weft__waits_begin(const struct weft__waits *w);
weft__buckets *weft__waits_end(const struct weft__waits *w, struct weft__window *window);
/* 0, the sink's negative code, or -ENOMEM. duration: ns, 0 if it is no difference. */
int weft__waits_pprof(const weft__buckets *b, int64_t duration, const struct weft__sink *to);
int weft__waits_text(enum weft__contention which, const weft__buckets *b,
                     const struct weft__sink *to);

#endif
