/* SPDX-License-Identifier: MIT */
/* threads.h - the threadcreate profile: the threads of the run, by the stack that made each. */
#ifndef WEFT_THREADS_H
#define WEFT_THREADS_H

#include "profiles/table/buckets.h"

#include <weft/task.h>

/* Counts each thread that the library made in this run and that lives, by the stack that made it;
 * without frames if there is no such stack. For weft__buckets_free; NULL without memory. Blocks the
 * calling thread, which holds no lock, as asking the symbolizer does. */
weft__buckets *weft__threads_take(void);
int weft__threads_count(void);

void weft__threads_attach(void); /* adds the sink that hears of threads */

#endif
