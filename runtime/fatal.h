/* SPDX-License-Identifier: MIT */
/* fatal.h - for signals.c; the rest of fatal.c is declared in base.h and scheduler.h. */
#ifndef WEFT_FATAL_H
#define WEFT_FATAL_H

#include "base.h"

/* Go's report of a signal that ends the program: name, tasks, status 2. */
/* ucontext: of a fault, where the stack is to be walked from; or NULL. */
void weft__signal_death(const char *name, uintptr_t pc, int code, void *ucontext) WEFT__NORETURN;

/* Reads WEFT_TRACEBACK, so that a run says at its start that it does not know the value. */
void weft__traceback_check(void);

#endif
