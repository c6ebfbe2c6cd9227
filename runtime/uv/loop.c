/* SPDX-License-Identifier: MIT */
/* uv/loop.c - the event loop of a processor (netpoll.h), on libuv 1.44.
 *
 * Owns: weft__loop, that is, libuv's loop, its wake-up and its timer. There is no lock: a loop has
 * one owner at a time, the worker that has its processor, and only the owner calls in. Any thread
 * may call weft__loop_wake. weft_run's thread makes and frees loops. weft__loop_aborted
 * runs in the handler of SIGABRT.
 *
 * A loop changes threads under these rules, which suffice for libuv 1.44.2:
 *   never while uv_run is on the stack, since uv__io_poll leaves a pointer to its own frame in the
 *     loop. So no task runs inside a callback: callbacks only make tasks ready;
 *   the old owner releases and the new owner acquires;
 *   a full fence stands before uv_async_send, whose first load is relaxed: it could otherwise see
 *     an old wake-up as still pending, and send none.
 * Timers wait on a timerfd, since uv_timer_t would round each to a millisecond. */
#include "runtime/uv/loop.h"

#include "runtime/base/death.h"

#include <weft/error.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Does nothing: the wake-up is there to end the poll. */
static void on_wake(uv_async_t *a)
{
    (void)a;
}

/* Ends the poll, like on_wake; the worker then looks at its heap of timers. Reads the timerfd,
 * which would otherwise stay ready. */
static void on_timer(uv_poll_t *h, int status, int events)
{
    weft__loop *l = h->data;
    uint64_t expirations;

    (void)status;
    (void)events;
    l->armed = 0;
    if (read(l->timer_fd, &expirations, sizeof(expirations)) < 0)
        return; /* it was set again meanwhile */
}

/* Names the limit that the user can raise when the kernel refuses. */
static const char *limit_of(int error)
{
    switch (error) {
    case EMFILE:
        return " (descriptors of a process: ulimit -n)";
    case ENFILE:
        return " (open files of all processes: fs.file-max)";
    case ENOSPC:
        return " (descriptors that epoll watches: fs.epoll.max_user_watches)";
    case ENOMEM:
        return " (memory: ulimit -v, ulimit -d, or the cgroup's limit)";
    case EAGAIN:
        return " (threads: ulimit -u, or the cgroup's limit)";
    default:
        return "";
    }
}

/* Runs in the handler of SIGABRT. */
void weft__loop_aborted(const weft__loop *l, int error)
{
    const char *call = l ? weft__load(&l->call) : NULL;

    if (call)
        weft__death_say("weft: %s of libuv gives up: %s%s\n", call, weft_strerror(-error),
                        limit_of(error));
}

/* The call of libuv that is making a loop, or NULL. Only weft_run's thread makes loops. */
static const char *making;

/* Handles the abort of a libuv that could not make a loop: it aborts where it has no code to
 * return, for example without descriptors. */
static void on_abort(int signo)
{
    int error = errno;

    (void)signo;
    weft__fatal("cannot make an event loop: %s: %s%s", making, weft_strerror(-error),
                limit_of(error));
}

/* Returns rc, or ends the program with the name of the call if it is a failure. */
static int made(int rc)
{
    if (rc < 0)
        weft__fatal("cannot make an event loop: %s: %s%s", making, weft_strerror(rc),
                    limit_of(-rc));
    return rc;
}

#define MUST(fn, ...) (making = #fn, made(fn(__VA_ARGS__)))

/* timerfd_create with a result like libuv's. */
static int timerfd(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

weft__loop *weft__loop_new(bool is_live)
{
    weft__loop *l = weft__alloc(1, sizeof(*l));
    struct sigaction before;

    if (!is_live)
        sigaction(SIGABRT, &(struct sigaction){.sa_handler = on_abort}, &before);
    MUST(uv_loop_init, &l->uv);
    MUST(uv_async_init, &l->uv, &l->async, on_wake);
    l->timer_fd = MUST(timerfd, );
    MUST(uv_poll_init, &l->uv, &l->timer_poll, l->timer_fd);
    MUST(uv_poll_start, &l->timer_poll, UV_READABLE, on_timer);
    MUST(uv_run, &l->uv, UV_RUN_NOWAIT); /* tells epoll of these handles, which can fail, too */
    if (!is_live)
        sigaction(SIGABRT, &before, NULL);
    l->timer_poll.data = l;
    l->fd_epoll = -1;
    l->uv.data = l;
    return l;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL); /* no task waits for it any more: the run is over */
}

void weft__loop_free(weft__loop *l)
{
    uv_walk(&l->uv, close_handle, NULL);
    while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0)
        ; /* closes the handles */
    uv_loop_close(&l->uv);
    close(l->timer_fd);
    if (l->fd_epoll >= 0)
        close(l->fd_epoll);
    weft__free(l->fds);
    weft__free(l);
}

/* Sets the timerfd, unless it is set to within a microsecond of that: tasks that sleep in turn
 * often wait for the same instant, and the system call would cost more than the error. */
static void set_timer(weft__loop *l, int64_t timeout_ns)
{
    int64_t when = weft__mono() + timeout_ns;
    struct itimerspec its = {.it_value = {when / 1000000000, when % 1000000000}};

    if (l->armed && l->armed <= when + 1000 && l->armed >= when - 1000)
        return;
    l->armed = when;
    timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* A timer that is set for an earlier wait may end this one early, which the worker tolerates. */
void weft__loop_poll(weft__loop *l, int64_t timeout_ns)
{
    if (timeout_ns > 0)
        set_timer(l, timeout_ns);
    l->at_leisure = timeout_ns != 0;
    l->changes = l->events = 0;
    WEFT__UV(l, uv_run, &l->uv, timeout_ns == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

void weft__loop_wake(weft__loop *l)
{
    weft__fence_full();
    uv_async_send(&l->async);
}

uint32_t weft__loop_changes(const weft__loop *l)
{
    return l->changes;
}

bool weft__loop_busy(const weft__loop *l)
{
    return l->users > 0 || weft__load(&l->fd_waits) > 0;
}
