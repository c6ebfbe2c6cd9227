/* SPDX-License-Identifier: MIT */
/* signals.h - signals, for run.c. signals.c and uv files know nothing of each other. */
#ifndef WEFT_SIGNALS_H
#define WEFT_SIGNALS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

void weft__signals_start(void);  /* handlers of the runtime, where the disposition is SIG_DFL */
void weft__signals_stop(void);   /* as they were before */
void weft__signals_handle(void); /* on weft_run's thread: what handlers left to do */
void weft__fault_signals(sigset_t *set); /* those that an instruction causes, and SIGABRT */
void weft__signal_default(int signo);    /* as before the run, for a process that ends by it */
/* Returns the signal whose handler calls weft__hooks.interrupted; 0: it is the program's. */
int weft__signals_ask(void);

/* Starts a thread that signals to the process never land on, not even before its first instruction;
 * stack 0: the default. Like pthread_create. */
int weft__thread_start(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);
/* The same for a thread that runs the program's code: it blocks what weft_run's caller did, for a
 * child begins with its parent thread's mask. */
int weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);
/* Restores the dispositions in a child of fork. Gives that of a worker that mask exactly. */
void weft__signals_in_child(bool is_worker);

#endif
