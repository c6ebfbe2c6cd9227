/* SPDX-License-Identifier: MIT */
/* libdw_fault.h - calls libdw so that a fault in it, for lack of memory, ends only the call. */
#ifndef WEFT_LIBDW_FAULT_H
#define WEFT_LIBDW_FAULT_H

#include <signal.h>
#include <stdbool.h>

/* Calls fn(arg), which may call libdw. Returns false if libdw faulted and fn was left in the
 * middle. One thread at a time. */
bool weft__rescue_call(void (*fn)(void *arg), void *arg);
/* Leaves the thread's call if libdw faulted in it; else returns. For the handler of a fault.
 * async-signal-safe */
void weft__rescue(int signo, const siginfo_t *info, const void *ucontext);
/* Leaves the call. libdw calls it when it is out of memory, in place of exit(). */
void weft__rescue_from_oom(void) __attribute__((noreturn));

#endif
