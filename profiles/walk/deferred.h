/* SPDX-License-Identifier: MIT */
/* deferred.h - walks a stack in a thread that may not wait for unwind rules, and leaves what is
 * needed for another thread to finish the walk later.
 *
 * weft__deferred_begin is async-signal-safe: a thread may call it on its own stack in a signal
 * handler. weft__deferred_finish may wait for the symbolizer thread: call it with no lock held, by
 * one thread after begin has returned. The caller owns the struct, and orders the two calls. */
#ifndef WEFT_DEFERRED_H
#define WEFT_DEFERRED_H

#include "profiles/walk/unwind.h"

enum { WEFT__DEFERRED_COPY = 4096 + WEFT__RED_ZONE };

struct weft__deferred {
    struct weft__walk walk;
    uintptr_t lo, hi; /* the part of the stack that copy has; empty if the walk is finished */
    uintptr_t copy[WEFT__DEFERRED_COPY / sizeof(uintptr_t)];
};

/* Walks from regs through [lo, hi), which stands still until this returns. At a PC whose rule is
 * not known the walk stops (walk.missed), and the stack from there on is copied. async-signal-safe
 */
void weft__deferred_begin(struct weft__deferred *h, const struct weft__regs *regs, uintptr_t lo,
                          uintptr_t hi);
/* Goes on with a walk that missed a rule, as far as the copy reaches. Does nothing if the walk
 * missed none. Asks the symbolizer and waits. */
void weft__deferred_finish(struct weft__deferred *h);

#endif
