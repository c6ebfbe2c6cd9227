/* SPDX-License-Identifier: MIT */
/* procs.h - makes the processors of a run, and lets their number follow the CPUs.
 *
 * weft_run's thread calls these functions, which hold no lock; the public ones are in
 * weft/task.h. */
#ifndef WEFT_PROCS_H
#define WEFT_PROCS_H

#include <weft/task.h>

/* Makes the processors of a run that begins; no task runs yet. */
void weft__procs_make(const weft_run_options *o);
/* Looks whether the number of processors should change, if it was asked to since the last call. */
void weft__procs_tend(void);
/* Frees them, when no worker is left. */
void weft__procs_free(void);

#endif
