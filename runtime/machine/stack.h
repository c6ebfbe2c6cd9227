/* SPDX-License-Identifier: MIT */
/* stack.h - memory for the stacks of tasks, with guards below them.
 *
 * A stack is named by its lowest usable address; its guard lies below. sched/task.c decides when to
 * map and unmap stacks, and keeps the free ones. weft__stacks_init comes before the first stack;
 * after it any thread may call, under any lock below rank LEAF. */
#ifndef WEFT_STACK_H
#define WEFT_STACK_H

#include "runtime/machine/ctx.h"

extern size_t weft__stack_size;   /* usable bytes of a stack of this run; constant while it runs */
extern size_t weft__stack_guard;  /* bytes of a guard; constant while tasks run */
extern bool weft__stack_canaries; /* atomic: some stack has a canary instead of a guard */

/* Chooses the kind of guards. */
void weft__stacks_init(void);
/* Returns the usable bytes for a stack_size that the program gave to `call`: rounded up to pages,
 * or the default if it is 0. Panics if it is out of range, and names the call. */
size_t weft__stack_size_of(size_t wanted, const char *call);
/* Maps n stacks of `size` usable bytes each, every one with a guard below. Returns the lowest
 * usable address of the first; the next begins size + weft__stack_guard bytes higher. Sets *canary
 * if these stacks have canaries instead of guards. Ends the program if there is no memory. */
uintptr_t weft__stacks_map(size_t n, size_t size, bool *canary);
/* Gives memory to the top pages of n such stacks, at most 64, in one system call. */
void weft__stacks_populate(uintptr_t lo, size_t n, size_t size);
/* Unmaps the stack of a task that is DEAD: at once, or when the last dumper has left. */
void weft__stack_unmap(uintptr_t lo, size_t size, bool canary);
/* A dumper calls hold before it walks stacks of other tasks, and release after. In between no stack
 * is unmapped, and no tags are freed, that a task not DEAD had at the caller's next heavy fence
 * (keep.h). */
void weft__stacks_hold(void);
void weft__stacks_release(void);
/* Returns whether the canary of a stack that has one is untouched. */
bool weft__stack_intact(const weft__ctx *ctx);
/* Returns the kind of guards: "madvise", "mprotect" or "canary". */
const char *weft__stack_mode(void);

#endif
