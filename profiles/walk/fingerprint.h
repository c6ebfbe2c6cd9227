/* SPDX-License-Identifier: MIT */
/* fingerprint.h - the words that a walk depends on, in the walk's order. A stack that has the same
 * words is the same stack, and needs no walk. */
#ifndef WEFT_FINGERPRINT_H
#define WEFT_FINGERPRINT_H

#include "profiles/walk/unwind.h"

#include "runtime/base/base.h"

enum { WEFT__TRAIL_STEPS = 96 };

struct weft__trail {
    uint32_t n;
    struct weft__trail_step {
        uint32_t at;  /* bytes above sp */
        bool from_sp; /* value is counted from sp: it is a frame's address, not code's */
        uintptr_t value;
    } steps[WEFT__TRAIL_STEPS];
};

/* Finds the trail of a walk that was whole. The walk began at the context saved at sp
 * (runtime/machine/ctx.h), on a stack that ends at hi. Returns false if the trail is too long, or
 * some rule is not followed here. */
bool weft__trail_learn(struct weft__trail *trail, const void *sp, uintptr_t hi,
                       const struct weft__walk *walk);

#endif
