/* SPDX-License-Identifier: MIT */
/* uv/loop.c - netpoll.h on libuv 1.44.
 *
 * A loop changes threads under these rules, which libuv 1.44.2 keeps: never while uv_run is on the
 * stack (uv__io_poll leaves a pointer to its own frame in the loop); the transfer is a release and
 * an acquire; a full fence stands before uv_async_send, whose first load is relaxed; callbacks
 * only make tasks ready. Timers wait on a timerfd: uv_timer_t would round each to a millisecond. */
#include "runtime/uv/loop.h"

#include "runtime/sched/fatal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void on_wake(uv_async_t *a)
{
    (void)a;
}

static void on_timer(uv_poll_t *h, int status, int events)
{
    weft__loop *l = h->data;
    uint64_t expirations;

    (void)status;
    (void)events;
    l->armed = 0;
    if (read(l->timer_fd, &expirations, sizeof(expirations)) < 0)
        return; /* set again meanwhile */
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

void weft__loop_aborted(const weft__loop *l, int error)
{
    const char *call = l ? l->call : NULL;
    char text[256];

    if (!call)
        return;
    snprintf(text, sizeof(text), "weft: %s of libuv gives up: %s%s\n", call, weft_strerror(-error),
             limit_of(error));
    weft__death_write(STDERR_FILENO, text, strlen(text));
}

/* The call of libuv that makes a loop now, on weft_run's thread, before the run's handlers are
 * installed; or NULL. libuv aborts where it has no code to return. */
static const char *making;

static void on_abort(int signo)
{
    int error = errno;

    (void)signo;
    weft__fatal("cannot make an event loop: %s: %s%s", making, weft_strerror(-error),
                limit_of(error));
}

static int made(int rc)
{
    if (rc < 0)
        weft__fatal("cannot make an event loop: %s: %s%s", making, weft_strerror(rc),
                    limit_of(-rc));
    return rc;
}

#define MUST(fn, ...) (making = #fn, made(fn(__VA_ARGS__)))

static int timerfd(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

weft__loop *weft__loop_new(void)
{
    weft__loop *l = weft__alloc(1, sizeof(*l));
    struct sigaction before;

    sigaction(SIGABRT, &(struct sigaction){.sa_handler = on_abort}, &before);
    MUST(uv_loop_init, &l->uv);
    MUST(uv_async_init, &l->uv, &l->async, on_wake);
    l->timer_fd = MUST(timerfd, );
    MUST(uv_poll_init, &l->uv, &l->timer_poll, l->timer_fd);
    MUST(uv_poll_start, &l->timer_poll, UV_READABLE, on_timer);
    MUST(uv_run, &l->uv, UV_RUN_NOWAIT); /* which tells epoll of all this */
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
        uv_close(h, NULL); /* its waiter has gone with the run */
}

void weft__loop_free(weft__loop *l)
{
    uv_walk(&l->uv, close_handle, NULL);
    while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0)
        ; /* nothing but handles that close is left */
    uv_loop_close(&l->uv);
    close(l->timer_fd);
    if (l->fd_epoll >= 0)
        close(l->fd_epoll);
    weft__free(l->fds);
    weft__free(l);
}

static void set_timer(weft__loop *l, int64_t timeout_ns)
{
    int64_t when = weft__mono() + timeout_ns;
    struct itimerspec its = {.it_value = {when / 1000000000, when % 1000000000}};

    if (l->armed && l->armed <= when + 1000 && l->armed >= when - 1000)
        return;
    l->armed = when;
    timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

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

const char *weft__loop_error(int code)
{
    switch (code) {
#define XX(name, text)                                                                             \
    case UV_##name:                                                                                \
        return text;
        UV_ERRNO_MAP(XX)
#undef XX
    default:
        return "unknown error";
    }
}
