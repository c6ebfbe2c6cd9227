/* SPDX-License-Identifier: MIT */
/* fatal.h - reports of a program's end that know tasks. */
#ifndef WEFT_FATAL_H
#define WEFT_FATAL_H

#include "runtime/sched/task.h"

/* At the start of a run. Reads WEFT_TRACEBACK, so that the run says at its start that it does not
 * know the value. */
void weft__fatal_begin(void);
/* Installs the handler of faults, where the disposition is SIG_DFL. It reports the fault, and ends
 * the process as if no handler stood there. weft__signals_stop removes it. */
void weft__faults_begin(void);

void weft__deadlock(void);                                /* every task is asleep */
void weft__report_overflow(weft__task *t) WEFT__NORETURN; /* found by the canary */
/* Reports SIGQUIT, on weft_run's thread, and ends the process with status 2. */
void weft__quit(uintptr_t pc, int code) WEFT__NORETURN;

#endif
