/* SPDX-License-Identifier: MIT */
/* thread.h - threads of the runtime: how they start, and what that of a worker has of its own. */
#ifndef WEFT_THREAD_H
#define WEFT_THREAD_H

#include "runtime/sched/scheduler.h"

#include <pthread.h>

/* Notes the signal mask of weft_run's caller, the calling thread. Before any thread starts. */
void weft__threads_begin(void);
/* Gives the calling thread that mask, in a child of fork. */
void weft__thread_unmask(void);

/* Starts a thread that signals to the process never land on, not even before its first instruction;
 * stack 0: the default. Like pthread_create. */
int weft__thread_start(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);
/* The same for a thread that runs the program's code: it blocks what weft_run's caller did, for a
 * child begins with its parent thread's mask. */
int weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);

void weft__worker_setup(weft__worker *w); /* on a new worker's thread */
void weft__worker_teardown(weft__worker *w);

#endif
