/* SPDX-License-Identifier: MIT */
/* watched.c - runs a handler that is canceled when its peer closes the connection.
 *
 * Owns no state beyond a call: it is on the frame of the connection's task, which calls
 * weft__run_watched and waits until the handler has returned.
 *
 * Only groups cancel, so the handler runs as the one task of a group. A second task watches the
 * connection. It reads no bytes, since they belong to the handler. It waits for the event that the
 * peer has closed its side, which the kernel reports even while bytes are unread. */
#include "http/server/exchange.h"

#include "runtime/io/fd.h"
#include "runtime/io/sock.h"
#include "runtime/sync/group.h"

struct watched {
    weft__exchange *x;
    weft_group handler; /* has the handler's task */
};

/* The handler's task. */
static int handle(void *arg)
{
    weft__exchange *x = ((struct watched *)arg)->x;
    const weft__pattern *p = x->r.match.pattern;

    p->fn(&x->w, &x->r, p->arg);
    return 0;
}

/* The watcher's task: waits until the peer has closed, then cancels the handler. Holds the socket
 * meanwhile: a handler that took the connection over may close it, and the number of the descriptor
 * would be another file's. */
static int watch(void *arg)
{
    struct watched *w = arg;
    weft_conn *net = w->x->conn->net;
    weft__sock *s = weft__sock_at(net);
    weft__task *t = weft__sock_enter("weft_http_server_serve");
    int rc = weft__sock_hold(net);

    weft__exit_as(t);
    if (rc < 0)
        return 0;
    if (weft__fd_wait_gone(s->fd) > 0)
        weft_group_cancel(&w->handler);
    t = weft__sock_enter("weft_http_server_serve");
    weft__sock_release(s);
    weft__exit_as(t);
    return 0;
}

void weft__run_watched(weft__exchange *x)
{
    weft_go_options task = {.stack_size = x->conn->server->options.stack_size};
    struct watched w = {.x = x};
    weft_group watcher = WEFT_GROUP_INIT;

    weft__group_go_with(&w.handler, &task, handle, &w);
    weft_group_go(&watcher, watch, &w);
    weft_group_wait(&w.handler);
    weft_group_cancel(&watcher);
    weft_group_wait(&watcher);
}
