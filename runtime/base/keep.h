/* SPDX-License-Identifier: MIT */
/* keep.h - keeps memory that dumpers may be reading, until the last dumper has left.
 *
 * A dumper is a thread that walks the stacks and records of other tasks for a dump or a profile.
 * Running tasks must not pay for it, so it takes no lock on the memory that it reads. This file
 * makes sure that nobody frees that memory under it. Its steps pair with those of a freeing thread:
 *   dumper:  adds itself to holders;              fences heavily;  looks for the memory
 *   freeing: makes the memory unreachable (a task DEAD, a pointer replaced);  fences lightly;
 *            reads holders
 * At least one of the two sees the other's store (atomic.h): either the dumper does not find the
 * memory, or weft__keeps returns true and the freeing thread hands the memory to weft__keep.
 *
 * Any thread may call, under any lock below rank LEAF. */
#ifndef WEFT_KEEP_H
#define WEFT_KEEP_H

#include "runtime/base/atomic.h"

/* The link of kept memory. It lies in that memory itself, so keeping allocates nothing. */
typedef struct weft__kept {
    struct weft__kept *next;           /* guarded by the lock of keep.c */
    void (*end)(struct weft__kept *k); /* frees the memory; set by the caller of weft__keep */
} weft__kept;

extern uint32_t weft__keep_holders; /* the dumpers between hold and release; atomic */

/* Returns whether a dumper may be reading. If so, the caller passes the memory to weft__keep; if
 * not, it frees the memory itself. The caller has made the memory unreachable before. */
static inline bool weft__keeps(void)
{
    weft__fence_light();
    return weft__unlikely(weft__load_acq(&weft__keep_holders) > 0);
}

/* Calls k->end(k) once no dumper is left: at once, or later in the last dumper's release. end runs
 * on the caller of either function, outside the lock of keep.c. */
void weft__keep(weft__kept *k);
/* A dumper calls hold, then fences heavily, then reads; release ends its reading. Holds may overlap
 * and nest. */
void weft__keep_hold(void);
void weft__keep_release(void);

#endif
