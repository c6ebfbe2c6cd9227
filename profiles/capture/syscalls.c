/* SPDX-License-Identifier: MIT */
/* syscalls.c - see syscalls.h. Owns nothing.
 *
 * For a thread that sleeps in a system call, /proc/self/task/TID/syscall has the call's number and
 * arguments, the stack pointer and the PC. For a thread that sleeps elsewhere in the kernel, such
 * as in a page fault, it has -1 in place of the number, and no arguments. For all others it says
 * "running". A signal to the thread would tell more, but would end many calls early (interrupt.c).
 *
 * The thread may leave the call at any time. Its stack stood still during the walk if the thread
 * used no CPU time from before the file was read until after the walk. */
#include "profiles/capture/syscalls.h"

#include "runtime/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { TRIES = 3 }; /* walks, before a thread that keeps waking up is taken to run */

/* Reads PC and SP of a thread that sits in a system call. */
static enum weft__syscall read_call(struct weft__regs *r, int tid)
{
    unsigned long long sp, pc;
    char path[64], text[256];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == EPERM || errno == EACCES ? WEFT__SYSCALL_FORBIDDEN : WEFT__SYSCALL_NONE;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%*d %*x %*x %*x %*x %*x %*x %llx %llx", &sp, &pc) != 2)
        return WEFT__SYSCALL_NONE;
    *r = (struct weft__regs){.sp = (uintptr_t)sp, .pc = (uintptr_t)pc};
    return WEFT__SYSCALL_SITS;
}

enum weft__syscall weft__syscall_walk(struct weft__walk *walk, int tid, uintptr_t lo, uintptr_t hi,
                                      int64_t *cpu)
{
    int clock = weft__cpu_clock_of(tid);
    struct weft__regs regs;
    enum weft__syscall found;

    for (int i = 0; i < TRIES; i++) {
        *cpu = weft__cpu_nanos(clock);
        walk->kept = walk->depth = 0;
        found = read_call(&regs, tid);
        if (found != WEFT__SYSCALL_SITS)
            return found;
        if (regs.sp >= lo && regs.sp < hi)
            weft__walk_seek(walk, &regs, lo, hi);
        if (weft__cpu_nanos(clock) == *cpu)
            return WEFT__SYSCALL_SITS;
    }
    walk->kept = walk->depth = 0;
    return WEFT__SYSCALL_NONE;
}
