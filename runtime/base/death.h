/* SPDX-License-Identifier: MIT */
/* death.h - the end of a program because of weft. base.h has the usual ways, weft__panic and
 * weft__fatal. A report of another kind consists of these steps:
 *
 *     weft__death_begin(0);
 *     weft__death_say("fatal error: ...");
 *     weft__death_end();
 *
 * Any thread may call, under any lock, also in a signal handler: only weft__traceback, which reads
 * the environment, is not async-signal-safe. */
#ifndef WEFT_DEATH_H
#define WEFT_DEATH_H

#include "runtime/base/base.h"

#include <errno.h>
#include <poll.h>

struct weft__death;

/* Functions that know tasks, which sched/fatal.c sets; NULL before the first run. */

/* Shows the tasks, if a run is under way: the dying one, from the call that returns to caller on,
 * and the others unless alone. */
extern void (*weft__death_explain)(const void *caller, bool alone);
/* Tells others that the calling thread dies while another makes the report: no thread may wait for
 * it. */
extern void (*weft__death_silenced)(void);
/* When the first thread began to die, in ticks; 0: none did. For readers of a core, who have no
 * clock (run/layout.c). */
extern int64_t weft__death_ticks;
/* The flight recorder's part (profiles/trace/flight_taken.c); NULL: nothing is recorded.
 * async-signal-safe */
struct weft__death_record {
    void (*stop)(const char *why); /* the process ends: the record takes no more events */
    void (*tell)(void);            /* writes the report's last line: where the record is */
};
extern const struct weft__death_record *weft__death_record; /* atomic */

/* The extent of a report: the value of WEFT_TRACEBACK, or of GOTRACEBACK. */
enum weft__traceback { WEFT__SHOW_NONE, WEFT__SHOW_SINGLE, WEFT__SHOW_ALL, WEFT__SHOW_CRASH };
enum weft__traceback weft__traceback(void);

/* Makes the calling thread the one that reports. signo is the signal that ends the process, or 0.
 * Another thread that dies meanwhile waits here for the end of the process. A thread that comes
 * here again has failed in its report. Does nothing in a child of fork, where a
 * thread of the parent may seem to be dying. */
void weft__death_begin(int signo);
/* Tells the recorder why the process ends, before the rest of the report: that takes its time, and
 * tasks run on. */
void weft__death_because(const char *why);
/* Lets the recorder write its line at the end of a report that weft__death_end does not end. */
void weft__death_tell_record(void);
/* Writes a text to stderr, formatted as weft__format does. */
void weft__death_say(const char *format, ...) WEFT__PRINTF(1, 2);
/* Writes all n bytes for a report, and tells the watchdog of the progress. Returns 0, or the
 * negative errno of write(2). */
int weft__death_write(int fd, const char *text, size_t n);
/* Calls part, a piece of the report that may fault. Returns false if it faulted; the rest of the
 * piece is then left out. */
bool weft__death_guard(void (*part)(struct weft__death *d), struct weft__death *d);
/* Ends the process. */
void weft__death_end(void) WEFT__NORETURN;

/* Returns whether a thread is making a report, so that the process is about to end. */
bool weft__is_dying(void);

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
