/* SPDX-License-Identifier: MIT */
/* deferred.c - see deferred.h. Owns nothing: all state is the caller's. */
#include "profiles/walk/deferred.h"

#include "runtime/base/base.h"

/* Copies the stack from where the walk stopped. The words are volatile, since a compiler would make
 * any other loop a memcpy, which the sanitizers check. async-signal-safe */
WEFT__NO_SANITIZE static void copy_stack(struct weft__deferred *h, uintptr_t lo, uintptr_t hi)
{
    uintptr_t sp = h->walk.at.sp & ~(uintptr_t)7;
    uintptr_t from = sp - lo > WEFT__RED_ZONE ? sp - WEFT__RED_ZONE : lo;

    if (sp < lo || sp >= hi)
        return;
    h->lo = from;
    h->hi = hi - from > WEFT__DEFERRED_COPY ? from + WEFT__DEFERRED_COPY : hi;
    for (uintptr_t i = 0; i < (h->hi - h->lo) / sizeof(uintptr_t); i++)
        h->copy[i] = ((const volatile uintptr_t *)h->lo)[i];
}

/* async-signal-safe */
void weft__deferred_begin(struct weft__deferred *h, const struct weft__regs *regs, uintptr_t lo,
                          uintptr_t hi)
{
    h->lo = h->hi = 0;
    weft__walk(&h->walk, regs, lo, hi, (const void *)lo, false);
    if (h->walk.missed)
        copy_stack(h, lo, hi);
}

void weft__deferred_finish(struct weft__deferred *h)
{
    if (h->walk.missed)
        weft__walk_resume(&h->walk, h->lo, h->hi, h->copy);
}
