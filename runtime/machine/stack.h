/* SPDX-License-Identifier: MIT */
/* stack.h - memory for the stacks of tasks. */
#ifndef WEFT_STACK_H
#define WEFT_STACK_H

#include "runtime/machine/ctx.h"

extern size_t weft__stack_size; /* of this run */
extern size_t weft__stack_guard;
extern bool weft__stack_canaries; /* atomic: some stack has a canary for a guard */
void weft__stacks_init(void);
/* Usable bytes for a stack_size that was given to this call; 0: the default. Panics if it is out of
 * range. */
size_t weft__stack_size_of(size_t wanted, const char *call);
/* n stacks of size usable bytes, guards below each; the first's lowest usable address. The
 * distance between two is size + weft__stack_guard. canary: all of them have a canary only. */
uintptr_t weft__stacks_map(size_t n, size_t size, bool *canary);
/* The top pages of n such stacks (64 at most) get memory, in one go. */
void weft__stacks_populate(uintptr_t lo, size_t n, size_t size);
void weft__stack_unmap(uintptr_t lo, size_t size, bool canary);
/* Between the two no stack is unmapped, and no tags are freed, that a task not DEAD had at the
 * caller's next heavy fence (keep.h). */
void weft__stacks_hold(void);
void weft__stacks_release(void);
bool weft__stack_intact(const weft__ctx *ctx); /* of one with a canary: it is untouched */
const char *weft__stack_mode(void);            /* "madvise", "mprotect" or "canary" */

#endif
