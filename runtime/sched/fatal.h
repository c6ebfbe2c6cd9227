/* SPDX-License-Identifier: MIT */
/* fatal.h - reports of a program's end that know tasks; fatal.c says on which thread each is
 * made. */
#ifndef WEFT_FATAL_H
#define WEFT_FATAL_H

#include "runtime/sched/task.h"

/* At the start of a run. Reads WEFT_TRACEBACK, so that the run says at its start that it does not
 * know the value. */
void weft__fatal_begin(void);
/* Installs the handler of faults where the disposition is SIG_DFL. The handler reports the fault
 * and ends the process as if there were no handler. weft__signals_stop removes it. */
void weft__faults_begin(void);

/* Reports that all tasks are asleep, on the worker that found it, and ends the process. */
void weft__deadlock(void);
/* Reports that t's stack was too small, on the thread that found t's canary overwritten. */
void weft__report_overflow(weft__task *t) WEFT__NORETURN;
/* Reports SIGQUIT, on weft_run's thread, and ends the process with status 2. */
void weft__quit(uintptr_t pc, int code) WEFT__NORETURN;

#endif
