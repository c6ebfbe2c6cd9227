/* SPDX-License-Identifier: MIT */
/* stacks.h - the stacks that allocated samples, each with its labels and its sums.
 *
 * Any thread may call these functions at any time, also in a signal handler: they take no lock, and
 * get memory from mmap alone. A stack stays for the life of the process. */
#ifndef WEFT_HEAP_STACKS_H
#define WEFT_HEAP_STACKS_H

#include "profiles/heap/component.h"
#include "runtime/sched/tags.h"

/* WEFT__HEAP_STACKS are told apart; further ones count for the stack without frames and labels.
 * WEFT__HEAP_SETS sets of labels are told apart; further ones count as {labels: too many}. */
enum { WEFT__HEAP_STACKS = 1 << 16, WEFT__HEAP_SETS = 1024 };

/* The sums of a stack: of the samples as they are, and of the blocks that they stand for. */
enum weft__heap_sum {
    WEFT__HEAP_ALLOCS,
    WEFT__HEAP_ALLOC_BYTES,
    WEFT__HEAP_LIVE,
    WEFT__HEAP_LIVE_BYTES,
    WEFT__HEAP_SAMPLED, /* the sums above; below, counts are in WEFT__PARTS */
    WEFT__HEAP_SUMS = 2 * WEFT__HEAP_SAMPLED
};

struct weft__heap_stack {
    struct weft__heap_stack *next;  /* with the same hash; constant */
    struct weft__heap_stack *older; /* of all; constant */
    uint64_t hash;
    weft__tags *labels;            /* a set, or NULL; constant */
    uint32_t n;                    /* of pcs: return addresses and marks, innermost first */
    int64_t sums[WEFT__HEAP_SUMS]; /* atomic */
    uintptr_t pcs[];
};

/* Returns the stack with these frames and a set of labels that is equal. Copies what it is given.
 * Returns NULL if memory ran out. */
struct weft__heap_stack *weft__heap_stack_of(const uintptr_t *pcs, uint32_t n, weft__tags *set);
/* Adds a sample to its stack's sums: so often as allocated, and so often as live. */
void weft__heap_stack_add(const struct weft__heap_sample *s, int allocated, int live);
/* Adds the sums of one sample of that size and weight to sums, as live. */
void weft__heap_sums_add(int64_t *sums, const struct weft__heap_sample *s);

/* Returns the stack that was made before this one; the newest for NULL. */
const struct weft__heap_stack *weft__heap_stack_next(const struct weft__heap_stack *s);
uint32_t weft__heap_stack_count(void);
size_t weft__heap_stack_bytes(void); /* mapped for all */

#endif
