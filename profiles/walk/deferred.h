/* SPDX-License-Identifier: MIT */
/* deferred.h - a walk by a thread that may not learn rules, with all that is needed to finish it.
 */
#ifndef WEFT_DEFERRED_H
#define WEFT_DEFERRED_H

#include "profiles/walk/unwind.h"

enum { WEFT__HELD_COPY = 4096 + WEFT__RED_ZONE };

struct weft__held {
    struct weft__walk walk;
    uintptr_t lo, hi; /* which part of the stack copy holds; the same: none */
    uintptr_t copy[WEFT__HELD_COPY / sizeof(uintptr_t)];
};

/* Walks from regs through [lo, hi), which stands still just now. Where a rule is not known the walk
 * stops (walk.missed), and what lies above is copied. async-signal-safe. */
void weft__held_begin(struct weft__held *h, const struct weft__regs *regs, uintptr_t lo,
                      uintptr_t hi);
/* Goes on with a walk that missed, as far as the copy reaches. Asks the symbolizer. */
void weft__held_finish(struct weft__held *h);

#endif
