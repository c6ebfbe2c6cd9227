/* SPDX-License-Identifier: MIT */
/* trail.h - the words that a walk went by: where another stack has the same ones, it is the same
 * stack, and needs no walk. Reading them costs a nanosecond or two a frame. */
#ifndef WEFT_TRAIL_H
#define WEFT_TRAIL_H

#include "unwind.h"

#include "../runtime/base.h"

enum { WEFT__TRAIL_STEPS = 96 };

struct weft__trail {
    uint32_t n;
    uint32_t reach; /* bytes above sp that all of them are in */
    struct weft__trail_step {
        uint32_t at;  /* bytes above sp */
        bool from_sp; /* value is counted from sp: it is a frame's address, not code's */
        uintptr_t value;
    } steps[WEFT__TRAIL_STEPS];
};

/* Of a saved context (runtime/ctx.h) at sp, on a stack that ends at hi and that walk was a whole
 * walk of. False if there is none: too long, or beyond what is followed here. */
bool weft__trail_learn(struct weft__trail *trail, const void *sp, uintptr_t hi,
                       const struct weft__walk *walk);

/* Has the context at sp the same walk? By whoever may read that stack; it may change meanwhile. */
WEFT__NO_SANITIZE static inline bool weft__trail_fits(const struct weft__trail *trail,
                                                      const void *sp, uintptr_t hi)
{
    if (hi - (uintptr_t)sp < trail->reach)
        return false;
    for (uint32_t i = 0; i < trail->n; i++) {
        const struct weft__trail_step *s = &trail->steps[i];
        uintptr_t value = *(const volatile uintptr_t *)((uintptr_t)sp + s->at);

        if (value - (s->from_sp ? (uintptr_t)sp : 0) != s->value)
            return false;
    }
    return true;
}

#endif
