/* SPDX-License-Identifier: MIT */
/* handler.h - the signal handlers of the runtime, and the dispositions from before them.
 *
 * One thread at a time changes the handler of a signal; handler.c says which. The functions marked
 * so may be called in a handler. */
#ifndef WEFT_HANDLER_H
#define WEFT_HANDLER_H

#include <signal.h>
#include <stdbool.h>

enum { WEFT__SIGNALS = 65 }; /* one more than the highest signal */

typedef void weft__handler(int signo, siginfo_t *info, void *ucontext);

/* Begin and end a run, on the thread of weft_run. In between the program's handlers run on a
 * worker's alternate stack, since a task's stack may be too small. A thread without an alternate
 * stack runs them where it did before. */
void weft__handlers_begin(void);
void weft__handlers_end(void); /* leaves the runtime's own handlers in place */

/* Installs fn as the handler of a signal, the second only over SIG_DFL. If the system refuses, the
 * signal has no handler of the runtime afterwards. */
void weft__handler_install(int signo, weft__handler *fn);
void weft__handler_install_over_default(int signo, weft__handler *fn);
/* Restores the disposition from before. The handler may still be running on some thread. Returns
 * false if the signal had no handler of the runtime. */
bool weft__handler_remove(int signo);
/* Restores all, in a child of fork: it has no thread that would do the rest of a handler's work.
 * Takes no lock, since another thread of the parent may have held it. */
void weft__handlers_drop(void);

/* Returns whether the signal has a handler of the runtime, as far as the runtime knows. */
bool weft__handler_stands(int signo); /* async-signal-safe */
/* Returns whether fn is the signal's handler now: the program may have installed another since. */
bool weft__handler_is(int signo, weft__handler *fn);
/* Returns the disposition from before the latest handler of the runtime. async-signal-safe */
const struct sigaction *weft__handler_before(int signo);
/* Returns whether the caller runs in a child that shares its parent's dispositions: before the
 * handlers of pthread_atfork, or made by a bare system call or vfork. async-signal-safe */
bool weft__handler_is_childs(void);

/* Restores the disposition from before, for a process that will end by this signal.
 * async-signal-safe */
void weft__handler_default(int signo);

/* Faults are the signals that an instruction causes, and SIGABRT. */
void weft__faults(sigset_t *set);
const char *weft__fault_name(int signo); /* Go's text, or NULL if it is no fault */

#endif
