/* SPDX-License-Identifier: MIT */
/* threads.h - the threads of the process, each with a timer on its CPU clock. For the controller
 * alone, as record.h. */
#ifndef WEFT_CPU_THREADS_H
#define WEFT_CPU_THREADS_H

#include "profiles/cpu/record.h"

/* Looks which threads there are. Makes a timer for each new one, except that of tid `not`, and ends
 * those of the threads that have gone, after gone() has read the rest of their samples. */
void weft__cpu_threads_look(struct weft__cpu_counts *counts, int not,
                            void (*gone)(struct weft__cpu_record *r));
/* Ends all timers. Counts the threads that used CPU and gave no sample. */
void weft__cpu_threads_stop(struct weft__cpu_counts *counts);
void weft__cpu_threads_each(void (*fn)(struct weft__cpu_record *r));
void weft__cpu_threads_free(void); /* after stop; before their records go */
uint32_t weft__cpu_threads_count(void);

#endif
