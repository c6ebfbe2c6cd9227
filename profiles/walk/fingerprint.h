/* SPDX-License-Identifier: MIT */
/* fingerprint.h - the words of a stack that its walk depends on, in the walk's order. A stack with
 * the same words at the same distances has the same frames, and needs no walk.
 *
 * Any thread may call this, with any lock held: it reads the stack and the table of learned rules,
 * and takes no lock. The stack must stand still. */
#ifndef WEFT_FINGERPRINT_H
#define WEFT_FINGERPRINT_H

#include "profiles/walk/unwind.h"

#include "runtime/base/base.h"

enum { WEFT__FINGERPRINT_STEPS = 96 };

struct weft__fingerprint {
    uint32_t n; /* steps */
    struct weft__fingerprint_step {
        uint32_t at;  /* where the word is, in bytes above sp */
        bool from_sp; /* value is a distance from sp: the word is an address in the stack */
        uintptr_t value;
    } steps[WEFT__FINGERPRINT_STEPS];
};

/* Finds the fingerprint of a walk that began at the context saved at sp (runtime/machine/ctx.h), on
 * a stack that ends at hi. Returns false if the walk was not whole, if the fingerprint is too long,
 * or if the walk used a rule of a form that this file does not follow. */
bool weft__fingerprint_learn(struct weft__fingerprint *fingerprint, const void *sp, uintptr_t hi,
                             const struct weft__walk *walk);

#endif
