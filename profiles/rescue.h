/* SPDX-License-Identifier: MIT */
/* rescue.h - calls of libdw that end when it faults for want of memory. */
#ifndef WEFT_RESCUE_H
#define WEFT_RESCUE_H

#include <signal.h>
#include <stdbool.h>

/* Calls fn(arg), which may call libdw. Returns false if libdw fell over and fn was left in the
 * middle. One thread at a time. */
bool weft__rescue_call(void (*fn)(void *arg), void *arg);
/* In the handler of a fault: leaves the call of the thread if libdw fell over in it; else returns.
 * async-signal-safe */
void weft__rescue(int signo, const siginfo_t *info, const void *ucontext);
/* What libdw is to call when it is out of memory, in place of exit(). */
void weft__rescue_from_oom(void) __attribute__((noreturn));

#endif
