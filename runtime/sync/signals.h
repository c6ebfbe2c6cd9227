/* SPDX-License-Identifier: MIT */
/* signals.h - signals of the process, for the start and the end of a run.
 *
 * weft_run's thread calls start and stop while no task runs, and handle while it waits for the main
 * task. Any thread may call ask. */
#ifndef WEFT_SIGNALS_H
#define WEFT_SIGNALS_H

#include <stdbool.h>

/* Makes the next run call fn on weft_run's thread at each signo, on whose channels it is sent, too;
 * 0: none. signo must be one that may be asked for, and not SIGQUIT. */
void weft__signals_watch(int signo, void (*fn)(void));
/* Returns whether a program may ask for the signal: not faults, signals that cannot be handled, or
 * SIGURG, which the runtime uses. */
bool weft__signal_may_be_asked_for(int signo);
void weft__signals_start(void); /* installs our handlers where the disposition is SIG_DFL */
void weft__signals_stop(void);  /* restores all dispositions, also those of faults */
/* Sends the signals that the handler has noted on their channels, or gives them their default
 * action. */
void weft__signals_handle(void);
/* Returns the signal whose handler calls the reporter's interrupted; 0 if the program uses that
 * signal itself. */
int weft__signals_ask(void);

#endif
