/* SPDX-License-Identifier: MIT */
/* death.h - the ways a program ends because of us. base.h has the usual ones, weft__panic and
 * weft__fatal; here is what a report of another kind is made of:
 *
 *     weft__death_begin(0);
 *     weft__death_say("fatal error: ...");
 *     weft__death_end();
 *
 * All of it is async-signal-safe but for weft__traceback, which reads the environment. */
#ifndef WEFT_DEATH_H
#define WEFT_DEATH_H

#include "runtime/base/base.h"

#include <errno.h>
#include <poll.h>

struct weft__death;

/* These two know tasks. NULL before the first run; sched/fatal.c.
 * Shows the tasks, if a run is under way: the one that dies from the call on that returns to
 * caller, and the others unless alone. */
extern void (*weft__death_explain)(const void *caller, bool alone);
/* The calling thread dies while another makes the report: no thread may wait for it. */
extern void (*weft__death_silenced)(void);

/* What a report shows: the value of WEFT_TRACEBACK, or of GOTRACEBACK. */
enum weft__traceback { WEFT__SHOW_NONE, WEFT__SHOW_SINGLE, WEFT__SHOW_ALL, WEFT__SHOW_CRASH };
enum weft__traceback weft__traceback(void);

/* Makes the calling thread the one that reports; signo ends the process, or 0. Another thread that
 * dies meanwhile waits here for the end of the process; a thread that comes again has failed in its
 * report. Does nothing in a child of fork, where a thread of the parent may seem to be dying. */
void weft__death_begin(int signo);
void weft__death_say(const char *format, ...) WEFT__PRINTF(1, 2); /* as weft__format */
/* Writes all n bytes for a report, and tells the watchdog of the progress. Returns 0, or the
 * negative errno of write(2). */
int weft__death_write(int fd, const char *text, size_t n);
/* Calls part, a piece of the report that may fault. Returns false if a fault was jumped out of. */
bool weft__death_guard(void (*part)(struct weft__death *d), struct weft__death *d);
void weft__death_end(void) WEFT__NORETURN;

bool weft__is_dying(void); /* a thread makes the report, and the process is about to end */

/* Waits until a descriptor that does not block takes more. Returns false, with errno, if it takes
 * nothing for ten seconds. */
static inline bool weft__fd_takes(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int rc = poll(&p, 1, 10000);

    if (rc == 0)
        errno = EAGAIN;
    return rc > 0 || (rc < 0 && errno == EINTR);
}

#endif
