/* SPDX-License-Identifier: MIT */
/* signals.h - signals, for run.c. signals.c and uv files know nothing of each other. */
#ifndef WEFT_SIGNALS_H
#define WEFT_SIGNALS_H

void weft__signals_start(void);  /* handlers of the runtime, where the disposition is SIG_DFL */
void weft__signals_stop(void);   /* as they were before */
void weft__signals_block(void);  /* all that can wait, for the calling worker */
void weft__signals_handle(void); /* on weft_run's thread: what handlers left to do */
/* Directed capture: runs weft__hooks.interrupted for the task on that thread, in a handler. */
int weft__signals_interrupt(int tid);

#endif
