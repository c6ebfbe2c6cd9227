/* SPDX-License-Identifier: MIT */
/* thread.h - starts the threads of the runtime, and prepares those of workers.
 *
 * weft__threads_begin comes first, on weft_run's thread. After it any thread may start threads. */
#ifndef WEFT_THREAD_H
#define WEFT_THREAD_H

#include "runtime/sched/scheduler.h"

#include <pthread.h>

/* Notes the signal mask of weft_run's caller, the calling thread. Before any thread starts. */
void weft__threads_begin(void);
/* Gives the calling thread that mask, in a child of fork. */
void weft__thread_unmask(void);

/* Starts a thread that never gets a signal of the process, not even before its first instruction.
 * stack is its size; 0: the system's default. Returns as pthread_create does. */
int weft__thread_start(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);
/* Does the same for a thread that runs the program's code. It blocks the signals that weft_run's
 * caller blocked, since a child process begins with the mask of the thread that starts it. */
int weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);

/* Prepare a new worker's thread, and undo that; both on that thread. */
void weft__worker_setup(weft__worker *w);
void weft__worker_teardown(weft__worker *w);

#endif
