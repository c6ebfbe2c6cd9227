/* SPDX-License-Identifier: MIT */
/* libdw_fault.h - calls libdw so that a fault in libdw, for lack of memory, ends only that call and
 * not the process.
 *
 * The symbolizer thread alone uses weft__libdw_call. weft__libdw_faulted is for the handler of a
 * fault, on any thread: it returns on all threads but that one. */
#ifndef WEFT_LIBDW_FAULT_H
#define WEFT_LIBDW_FAULT_H

#include <signal.h>
#include <stdbool.h>

/* Calls fn(arg), which may call libdw. Returns false if libdw faulted; then fn was left in the
 * middle, and the memory that libdw held is lost. Symbolizer thread. */
bool weft__libdw_call(void (*fn)(void *arg), void *arg);
/* Jumps out of the calling thread's weft__libdw_call if the fault came in libdw; else returns.
 * Called by the handler of a fault. async-signal-safe */
void weft__libdw_faulted(int signo, const siginfo_t *info, const void *ucontext);
/* Jumps out of weft__libdw_call. libdw calls this, and not exit(), when it is out of memory. */
void weft__libdw_no_memory(void) __attribute__((noreturn));

#endif
