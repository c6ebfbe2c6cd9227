/* SPDX-License-Identifier: MIT */
/* syscalls.h - the stacks of threads that sit in system calls, read without their help. */
#ifndef WEFT_SYSCALLS_H
#define WEFT_SYSCALLS_H

#include "profiles/walk/unwind.h"

enum weft__call {
    WEFT__CALL_NONE,      /* the thread runs, or waits for a CPU, or left the call meanwhile */
    WEFT__CALL_SITS,      /* the thread sits in a system call */
    WEFT__CALL_FORBIDDEN, /* the kernel does not say */
};

/* Looks whether a thread of this process sits in a system call. If it does, walks its stack
 * [lo, hi); the walk is empty if the thread's stack pointer is not in the bounds. cpu receives the
 * CPU time of the thread in ns: as long as that stays the same, the thread is in this call. */
enum weft__call weft__call_walk(struct weft__walk *walk, int tid, uintptr_t lo, uintptr_t hi,
                                int64_t *cpu);

/* frame_pointer.c: walks from a PC and an SP alone (regs->known is false). Where a frame's rule
 * needs a frame pointer that no frame before it saved, this searches the stack for one. Asks the
 * symbolizer. The stack must stand still. */
void weft__walk_seek(struct weft__walk *walk, const struct weft__regs *regs, uintptr_t lo,
                     uintptr_t hi);

#endif
