/* SPDX-License-Identifier: MIT */
/* files.c - the descriptors of the process during a run: the standard streams, and room for many.
 *
 * Owns: the soft limit on descriptors from before the run. weft_run's thread calls begin and end,
 * while no task runs.
 * The soft limit is 1,024 on most machines, for the sake of programs that use select(2), whose sets
 * hold no higher number. A server meets it at its thousandth connection. So a run raises it, as
 * Go's does, and a child of fork has the old one back. */
#include "runtime/run/files.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ROOM = 16384 };

/* Written by weft_run's thread while it is the only one that could fork. */
static struct rlimit before, raised; /* equal: nothing was raised */

/* Opens the standard streams that the process was started without. Otherwise a descriptor of the
 * runtime would get the number: children would inherit it, and reports to stderr would go to it. */
static void streams_open(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            open("/", O_PATH); /* which can be neither read nor written */
    }
}

/* Lets the kernel's table of descriptors grow while there is one thread, which takes microseconds.
 * The table doubles when it is full, and in a process with threads the kernel waits for all
 * processors (an RCU grace period, 4 to 25 ms) before the call that met the full table returns. A
 * server's accept of its 257th, 513th ... connection would stall its processor for so long. Takes 8
 * bytes of the kernel a descriptor. */
static void reserve(void)
{
    struct rlimit most;
    int fd = -1;

    if (getrlimit(RLIMIT_NOFILE, &most) == 0)
        fd = fcntl(0, F_DUPFD_CLOEXEC, (int)(most.rlim_cur < ROOM ? most.rlim_cur : ROOM) - 1);
    if (fd >= 0)
        close(fd);
}

static void limit_raise(void)
{
    if (getrlimit(RLIMIT_NOFILE, &before) != 0)
        return;
    raised = before;
    raised.rlim_cur = raised.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0)
        raised = before;
}

/* async-signal-safe: a child of fork calls it. */
static void limit_restore(void)
{
    struct rlimit now;

    if (raised.rlim_cur != before.rlim_cur && getrlimit(RLIMIT_NOFILE, &now) == 0 &&
        now.rlim_cur == raised.rlim_cur) {
        now.rlim_cur = before.rlim_cur;
        setrlimit(RLIMIT_NOFILE, &now);
    }
}

static void at_fork(void)
{
    pthread_atfork(NULL, NULL, limit_restore);
}

void weft__files_begin(bool raise)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, at_fork);
    streams_open();
    if (raise)
        limit_raise();
    reserve();
}

void weft__files_end(void)
{
    limit_restore();
    raised = before;
}
