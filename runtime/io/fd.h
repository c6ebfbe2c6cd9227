/* SPDX-License-Identifier: MIT */
/* fd.h - waits for descriptors that are no sockets of ours; and the end of a run for process.c.
 *
 * Tasks and foreign threads call the waits, and hold no lock. */
#ifndef WEFT_IO_FD_H
#define WEFT_IO_FD_H

#include "runtime/sched/scheduler.h"
#include "runtime/sched/wait.h"

/* Waits for these events of fd (WEFT_FD_*, WEFT__FD_GONE), inside the runtime. Returns those that
 * are ready, > 0; or a code of weft_fd_wait. */
int weft__fd_wait(weft__worker *w, int fd, int events, enum weft__reason why, const void *object,
                  weft_time deadline);
/* Waits until the peer of this socket has closed its side or the connection is broken, and returns
 * > 0; else a code of weft_fd_wait. The caller is outside the runtime. */
int weft__fd_wait_gone(int fd);

/* process.c. The run is over: closes the descriptors of children that tasks waited for. */
void weft__children_discard(void);

#endif
