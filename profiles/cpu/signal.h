/* SPDX-License-Identifier: MIT */
/* signal.h - the signal of the timers: which one it is, and its handler.
 *
 * One thread at a time takes it and looks (the one that begins or ends a sampling). The handler
 * calls weft__cpu_take_sample on any thread. */
#ifndef WEFT_CPU_SIGNAL_H
#define WEFT_CPU_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Installs the handler for a signal that the program does not use, and returns the signal. */
int weft__cpu_signal_take(void);
/* Returns whether the handler still stands. */
bool weft__cpu_signal_stands(int signo);

/* Returns the value that a timer's signal carries for the thread with this index. */
union sigval weft__cpu_signal_value(uint32_t index);

/* sampler.c: takes a sample of the calling thread, which has this index. async-signal-safe */
void weft__cpu_take_sample(uint32_t index, int overrun, void *ucontext);

#endif
