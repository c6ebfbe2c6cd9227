/* SPDX-License-Identifier: MIT */
/* file.c - weft_trace_start and weft_trace_stop: a trace that a thread writes to a descriptor.
 *
 * Owns: that trace and its thread. Lock: `lock`, a pthread mutex, guards the struct; the thread
 * takes none. The thread ends when it is asked to, when a write fails, or with the run. The end of
 * the run waits until the file is complete. */
#include "profiles/trace/trace.h"

#include "runtime/sched/scheduler.h"
#include "runtime/sched/thread.h"

#include <weft/trace.h>

#include <errno.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    weft__trace *trace;
    int fd, rc;
    bool begun;      /* a trace is started and not yet stopped */
    uint32_t asked;  /* atomic, futex: 1: the thread is to end */
    uint32_t writes; /* atomic, futex: 1 until the file is complete */
    pthread_t thread;
} file;

static int write_all(void *arg, const void *data, size_t n)
{
    const char *at = data;

    (void)arg;
    while (n > 0) {
        ssize_t wrote = write(file.fd, at, n);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -errno;
        at += wrote;
        n -= (size_t)wrote;
    }
    return 0;
}

static void *write_file(void *arg)
{
    const struct weft__sink to = {write_all, NULL};
    bool end;

    (void)arg;
    do {
        weft__futex_wait(&file.asked, 0, WEFT__TRACE_PERIOD);
        end = weft__load_acq(&file.asked) || weft__trace_ended(file.trace);
        file.rc = weft__trace_write(file.trace, &to, end);
    } while (file.rc == 0 && !end);
    weft__store_rel(&file.writes, 0);
    weft__futex_wake(&file.writes, INT32_MAX);
    weft__trace_close(file.trace);
    return NULL;
}

static const enum weft__trace_format formats[] = {WEFT__TRACE_V1, WEFT__TRACE_V1, WEFT__TRACE_V2,
                                                  WEFT__TRACE_PERFETTO};

/* Begins the trace. Caller holds lock. */
static int start(int fd, int format)
{
    int rc;

    file.trace = weft__trace_open(formats[format], &rc);
    if (!file.trace)
        return WEFT_EAGAIN;
    file.fd = fd;
    file.rc = 0;
    weft__store(&file.asked, 0);
    weft__store(&file.writes, 1);
    if (weft__thread_start(&file.thread, 0, write_file, NULL) != 0) {
        weft__store(&file.writes, 0);
        weft__trace_close(file.trace);
        return WEFT_EAGAIN;
    }
    file.begun = true;
    return 0;
}

int weft_trace_start(int fd, const weft_trace_options *options)
{
    int format = options ? options->format : 0, rc = WEFT_EAGAIN;

    if (format < 0 || format > 3 || !weft__enter_try("weft_trace_start"))
        return WEFT_EINVAL;
    weft__exit();
    pthread_mutex_lock(&lock);
    if (!file.begun)
        rc = start(fd, format);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Waits until the file is complete. */
static void finish(void)
{
    weft__store_rel(&file.asked, 1);
    weft__futex_wake(&file.asked, 1);
    while (weft__load_acq(&file.writes))
        weft__futex_wait(&file.writes, 1, -1);
}

int weft_trace_stop(void)
{
    bool aside = weft__self() && !weft__self()->foreign && weft__blocking_try();
    int rc = WEFT_EINVAL;

    pthread_mutex_lock(&lock);
    if (file.begun) {
        finish();
        pthread_join(file.thread, NULL);
        file.begun = false;
        rc = file.rc;
    }
    pthread_mutex_unlock(&lock);
    if (aside)
        weft__blocking_back();
    return rc;
}

/* The thread may still have to close its reader, for which the end of the run must go on. */
void weft__trace_run_ends(void)
{
    if (weft__load(&file.writes))
        finish();
}
