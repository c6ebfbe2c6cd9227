/* SPDX-License-Identifier: MIT */
/* threads.h - the threadcreate profile: the threads of the run, by the stack that made each. */
#ifndef WEFT_THREADS_H
#define WEFT_THREADS_H

#include <weft/task.h>

void weft__threads_attach(void); /* adds its event sink; called once, before the first run */

#endif
