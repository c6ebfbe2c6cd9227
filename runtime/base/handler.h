/* SPDX-License-Identifier: MIT */
/* handler.h - the signal handlers of the runtime, and the dispositions from before them. */
#ifndef WEFT_HANDLER_H
#define WEFT_HANDLER_H

#include <signal.h>
#include <stdbool.h>

enum { WEFT__SIGNALS = 65 }; /* one more than the highest signal */

typedef void weft__handler(int signo, siginfo_t *info, void *ucontext);

/* The beginning and the end of a run, on its thread. In between the program's handlers run on a
 * worker's alternate stack, since a task's may be too small; a thread without an alternate stack
 * runs them where it did before. */
void weft__handlers_begin(void);
void weft__handlers_end(void); /* leaves the runtime's own handlers in place */

/* Installs fn. If the system refuses, no handler of the runtime stands there afterwards. */
void weft__handler_install(int signo, weft__handler *fn);
void weft__handler_install_over_default(int signo, weft__handler *fn); /* only over SIG_DFL */
/* Restores the disposition; the handler may still be running somewhere. Returns false if no handler
 * of the runtime stood there. */
bool weft__handler_remove(int signo);
/* Restores all, in a child of fork: it has no thread that would do the rest of a handler's work.
 * Takes no lock, since another thread of the parent may have held it. */
void weft__handlers_drop(void);

/* Returns whether a handler of the runtime stands there, as far as the runtime knows. */
bool weft__handler_stands(int signo); /* async-signal-safe */
/* Returns whether fn does: the program may have installed another since. */
bool weft__handler_is(int signo, weft__handler *fn);
/* Returns the disposition from before the latest handler of the runtime. async-signal-safe */
const struct sigaction *weft__handler_before(int signo);
/* Returns whether the caller runs in a child that shares its parent's dispositions: before the
 * handlers of pthread_atfork, or made by a bare system call or vfork. async-signal-safe */
bool weft__handler_is_childs(void);

/* Restores the disposition for a process that is to end by this signal. async-signal-safe */
void weft__handler_default(int signo);

/* Faults are the signals that an instruction causes, and SIGABRT. */
void weft__faults(sigset_t *set);
const char *weft__fault_name(int signo); /* Go's text, or NULL if it is no fault */

#endif
