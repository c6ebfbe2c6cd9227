/* SPDX-License-Identifier: MIT */
/* uv_loop.c - netpoll.h on libuv 1.44.
 *
 * A loop changes threads under these rules, which libuv 1.44.2 keeps: never while uv_run is on the
 * stack (uv__io_poll leaves a pointer to its own frame in the loop); the transfer is a release and
 * an acquire; a full fence stands before uv_async_send, whose first load is relaxed; callbacks
 * only make tasks ready. Timers wait on a timerfd: uv_timer_t would round each to a millisecond. */
#include "uv_loop.h"

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
        return; /* set anew meanwhile */
}

weft__loop *weft__loop_new(void)
{
    weft__loop *l = weft__alloc(1, sizeof(*l));

    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (uv_loop_init(&l->uv) != 0 || uv_async_init(&l->uv, &l->async, on_wake) != 0 ||
        l->timer_fd < 0 || uv_poll_init(&l->uv, &l->timer_poll, l->timer_fd) != 0 ||
        uv_poll_start(&l->timer_poll, UV_READABLE, on_timer) != 0)
        weft__fatal("cannot make an event loop (out of file descriptors?)");
    l->timer_poll.data = l;
    l->fd_epoll = -1;
    l->uv.data = l;
    return l;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL); /* whoever waits for it has gone with the run */
}

void weft__loop_free(weft__loop *l)
{
    uv_walk(&l->uv, close_handle, NULL);
    while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0)
        ; /* nothing but handles that close is left */
    uv_loop_close(&l->uv);
    close(l->timer_fd);
    weft__loop_free_fds(l);
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
    uv_run(&l->uv, timeout_ns == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

void weft__loop_wake(weft__loop *l)
{
    weft__fence_full();
    uv_async_send(&l->async);
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
