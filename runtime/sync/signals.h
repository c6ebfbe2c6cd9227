/* SPDX-License-Identifier: MIT */
/* signals.h - signals, for run.c. signals.c and uv files know nothing of each other. */
#ifndef WEFT_SIGNALS_H
#define WEFT_SIGNALS_H

void weft__signals_start(void); /* handlers of the runtime, where the disposition is SIG_DFL */
void weft__signals_stop(void);  /* restores the dispositions, of faults, too */
/* Does what handlers left to do, on weft_run's thread. */
void weft__signals_handle(void);
/* Returns the signal whose handler calls the reporter's interrupted; 0: it is the program's. */
int weft__signals_ask(void);

#endif
