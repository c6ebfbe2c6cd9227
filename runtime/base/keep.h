/* SPDX-License-Identifier: MIT */
/* keep.h - memory that dumpers may look at without any claim, kept until none of them does.
 *
 * A thread that frees such memory first makes it unreachable to dumpers by a store (a task left
 * DEAD, a pointer replaced); weft__keeps then fences lightly and reads holders. A dumper adds
 * itself to holders and fences heavily before it looks. So either it finds nothing, or the memory
 * is kept. */
#ifndef WEFT_KEEP_H
#define WEFT_KEEP_H

#include "runtime/base/atomic.h"

/* In the memory that is kept. */
typedef struct weft__kept {
    struct weft__kept *next;
    void (*end)(struct weft__kept *k); /* frees it */
} weft__kept;

extern uint32_t weft__keep_holders; /* atomic */

/* Returns whether a dumper may be looking: then memory to be freed goes to weft__keep. */
static inline bool weft__keeps(void)
{
    weft__fence_light();
    return weft__unlikely(weft__load_acq(&weft__keep_holders) > 0);
}

/* k->end(k) when no dumper is left: now, or in weft__keep_release. */
void weft__keep(weft__kept *k);
/* A dumper looks between the two, from its next heavy fence on. */
void weft__keep_hold(void);
void weft__keep_release(void);

#endif
