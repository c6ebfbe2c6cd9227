/* SPDX-License-Identifier: MIT */
/* uv/poll.c - the part of netpoll.h that watches sockets. Unlike a foreign descriptor (uv/fd.c) one
 * of ours is closed by us alone, so it may stay watched. */
#include "runtime/uv/loop.h"

_Static_assert((int)WEFT__READABLE == UV_READABLE && (int)WEFT__WRITABLE == UV_WRITABLE, "one set");

/* libuv asks for as many events at once and, while it gets them all, for more, 48 times. Readiness
 * is a level, so those may be the same again: with 2,000 sockets ready a poll took 8 ms. */
enum { FLOOD = 1024 };

struct weft__pollfd {
    uv_poll_t uv;
    weft__pollfd_fn *fn;
    void *arg;
    weft__loop *loop;
    int events; /* watched */
};

static void set_events(weft__pollfd *h, int events)
{
    h->loop->users += events != 0;
    h->loop->users -= h->events != 0;
    h->events = events;
}

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

void weft__pollfd_close(weft__pollfd *h)
{
    set_events(h, 0);
    uv_close((uv_handle_t *)&h->uv, on_closed);
}
