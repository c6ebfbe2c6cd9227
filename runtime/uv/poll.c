/* SPDX-License-Identifier: MIT */
/* uv/poll.c - watches sockets of ours: the part of netpoll.h for io/sock.c.
 *
 * Owns: weft__pollfd, the handle of a socket in its loop. There is no lock: the owner of the loop
 * calls every function here, and gets the events. io/sock.c opens and watches under the socket's
 * lock, and closes when no call can reach the socket any more.
 *
 * A socket of ours is closed by us alone, so it may stay watched when no task waits. Descriptors of
 * the program may not (watch.c). */
#include "runtime/uv/loop.h"

_Static_assert((int)WEFT__READABLE == UV_READABLE && (int)WEFT__WRITABLE == UV_WRITABLE, "one set");

/* The events that libuv asks the kernel for at once. While it gets that many, it asks again, up to
 * 48 times in one poll. Readiness is a level, so the next answers may repeat the same sockets: with
 * 2,000 sockets ready a poll took 8 ms. Events beyond FLOOD are marked, so that sock.c ends the
 * watch of sockets that no task waits for. */
enum { FLOOD = 1024 };

struct weft__pollfd {
    uv_poll_t uv;
    weft__pollfd_fn *fn;
    void *arg;
    weft__loop *loop;
    int events; /* the watched ones; 0: none */
};

/* Notes which events are watched, and counts the loop's users: a loop that watches no socket has no
 * task to wake. */
static void set_events(weft__pollfd *h, int events)
{
    h->loop->users += events != 0;
    h->loop->users -= h->events != 0;
    h->events = events;
}

/* Passes an event on, and marks it with the state of the poll. */
static void on_event(uv_poll_t *uv, int status, int events)
{
    weft__pollfd *h = weft__container_of(uv, weft__pollfd, uv);

    if (status < 0)
        set_events(h, 0); /* libuv has stopped it */
    if (h->loop->at_leisure)
        events |= WEFT__AT_LEISURE;
    if (++h->loop->events > FLOOD)
        events |= WEFT__FLOOD;
    h->fn(h->arg, status < 0 ? status : events);
}

int weft__pollfd_open(weft__loop *l, int fd, weft__pollfd_fn *fn, void *arg, weft__pollfd **out)
{
    weft__pollfd *h = weft__alloc(1, sizeof(*h));
    int rc = WEFT__UV(l, uv_poll_init, &l->uv, &h->uv, fd);

    if (rc < 0) {
        weft__free(h);
        return rc;
    }
    h->fn = fn;
    h->arg = arg;
    h->loop = l;
    *out = h;
    return 0;
}

int weft__pollfd_watch(weft__pollfd *h, int events)
{
    int rc = WEFT__UV(h->loop, uv_poll_start, &h->uv, events, on_event);

    if (rc == 0)
        set_events(h, events);
    h->loop->changes++;
    return rc;
}

static void on_closed(uv_handle_t *uv)
{
    weft__free(weft__container_of(uv, weft__pollfd, uv));
}

/* libuv has taken the descriptor out of epoll when uv_close returns, so the caller may close it at
 * once. The handle's memory is libuv's until its callback in the next poll. */
void weft__pollfd_close(weft__pollfd *h)
{
    set_events(h, 0);
    uv_close((uv_handle_t *)&h->uv, on_closed);
}
