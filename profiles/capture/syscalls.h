/* SPDX-License-Identifier: MIT */
/* syscalls.h - reads the stacks of threads that sit in system calls, without disturbing them.
 *
 * Any thread or task may call these functions, with no lock held: they read /proc and may wait for
 * the symbolizer. */
#ifndef WEFT_SYSCALLS_H
#define WEFT_SYSCALLS_H

#include "profiles/walk/unwind.h"

enum weft__syscall {
    WEFT__SYSCALL_NONE,      /* the thread runs, waits for a CPU, or left its call meanwhile */
    WEFT__SYSCALL_SITS,      /* the thread sits in a system call */
    WEFT__SYSCALL_FORBIDDEN, /* the kernel does not say */
};

/* Looks whether a thread of this process sits in a system call. If it does, walks its stack
 * [lo, hi). The walk is empty if the thread's stack pointer is not in these bounds. cpu receives
 * the thread's CPU time in ns: while that stays the same, the thread is still in this call. */
enum weft__syscall weft__syscall_walk(struct weft__walk *walk, int tid, uintptr_t lo, uintptr_t hi,
                                      int64_t *cpu);

/* frame_pointer.c. Walks from PC and SP alone (regs->known is false). Where a frame's rule needs a
 * frame pointer that no frame before it saved, searches the stack for it. The stack must stand
 * still. Waits for the symbolizer. */
void weft__walk_seek(struct weft__walk *walk, const struct weft__regs *regs, uintptr_t lo,
                     uintptr_t hi);

#endif
