/* SPDX-License-Identifier: MIT */
/* log.h - lines that the library writes by itself. death.h has the reports of a program's end. */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include "runtime/base/base.h"

/* Writes a line, whose end it adds, where weft_log_set says; cut at some 1,000 bytes. Any thread,
 * also under a lock; not in a signal handler, save while the program dies. */
void weft__log(const char *format, ...) WEFT__PRINTF(1, 2);
/* Atomic. The program dies: lines go to stderr. death.c sets it. */
extern WEFT__HIDDEN bool weft__log_dies;

#endif
