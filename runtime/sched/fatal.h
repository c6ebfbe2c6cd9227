/* SPDX-License-Identifier: MIT */
/* fatal.h - for signals.c, run.c and profiles/; the rest of fatal.c is declared in base.h and
 * scheduler.h. */
#ifndef WEFT_FATAL_H
#define WEFT_FATAL_H

#include "runtime/base/base.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

struct weft__death;

/* Reports SIGQUIT, on weft_run's thread, and ends the process with status 2. */
void weft__quit(uintptr_t pc, int code) WEFT__NORETURN;
/* Installs the handler of faults, where the disposition is SIG_DFL. It reports the fault, and ends
 * the process as if no handler stood there. weft__signals_stop removes it. */
void weft__faults_begin(void);
/* Writes all n bytes for a report, and tells the watchdog of the progress. Returns 0, or the
 * negative errno of write(2). async-signal-safe */
int weft__death_write(int fd, const char *text, size_t n);

/* Waits until a descriptor that does not block takes more. Returns false, with errno, if it takes
 * nothing for ten seconds. async-signal-safe */
static inline bool weft__fd_takes(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int rc = poll(&p, 1, 10000);

    if (rc == 0)
        errno = EAGAIN;
    return rc > 0 || (rc < 0 && errno == EINTR);
}

/* Has weft_run's thread call fn(arg) and waits for its end. The thread that dies calls it, since it
 * may hold locks that the other thread does not need, such as malloc's for its own arena. Returns
 * false if weft_run's thread did not begin within half a second, or is the caller. One at a time.
 */
bool weft__errand(void (*fn)(void *arg), void *arg);
void weft__errands_init(void); /* on weft_run's thread */
void weft__errand_run(void);   /* on weft_run's thread: does the errand, if there is one */

/* Reads WEFT_TRACEBACK, so that a run says at its start that it does not know the value. */
void weft__traceback_check(void);

#endif
