/* SPDX-License-Identifier: MIT */
/* io.c - reads and writes of a connection, with budgets instead of deadlines.
 *
 * Owns no state; the socket (runtime/io/sock.h) has the lock and puts concurrent calls in order.
 * The connection's task calls; any task may call weft__http_nudge.
 *
 * A budget is how long the peer may still keep us waiting, in ns. Only waiting spends it, so a
 * clock is read only where a call waits. Callers refill it for bytes that pass. A deadline would
 * also count the handler's own pauses, and would end a slow but steady transfer. */
#include "http/server/exchange.h"

#include "runtime/io/sock.h"

#include <errno.h>

static const weft_time forever = WEFT_FOREVER; /* the deadline for a turn: budgets do the rest */

/* Returns the instant at which a budget that is spent from `from` on runs out. */
static weft_time end_of(int64_t budget, weft_time from)
{
    return budget < WEFT_FOREVER - from ? from + budget : WEFT_FOREVER;
}

/* Waits, with the turn. Returns 0 (possibly spurious: retry); else as weft__sock_begin. */
static int wait_for(weft__sock *s, enum weft__direction d, weft__task *t, int64_t *budget)
{
    weft_time from = weft__nanos(), until = end_of(*budget, from);
    int rc = weft__sock_wait(s, d, t, &until);

    if (until != WEFT_FOREVER)
        *budget -= weft__nanos() - from;
    return rc;
}

int weft__http_wait(weft_conn *net, int64_t *budget)
{
    weft__task *t = weft__sock_enter("weft_http_server_serve");
    weft__sock *s = weft__sock_at(net);
    int rc = weft__sock_begin(net, WEFT__READ, t, &forever);

    if (rc == 0) {
        rc = wait_for(s, WEFT__READ, t, budget);
        s->side[WEFT__READ].drained = false;
        weft__sock_end(s, WEFT__READ);
    }
    weft__exit_as(t);
    return rc;
}

ssize_t weft__http_recv(weft_conn *net, void *buf, size_t n, int64_t *budget)
{
    weft__task *t = weft__sock_enter("weft_http_read");
    weft__sock *s = weft__sock_at(net);
    weft__side *side = &s->side[WEFT__READ];
    int rc = weft__sock_begin(net, WEFT__READ, t, &forever);
    ssize_t got = rc;

    if (rc == 0) {
        do {
            /* A short read drained the socket: skip recv unless the budget is 0. */
            got = side->drained && *budget > 0 ? -EAGAIN : weft__sys_recv(s->fd, buf, n);
            side->drained = got > 0 && (size_t)got < n;
            if (got != -EAGAIN)
                break;
            got = rc = wait_for(s, WEFT__READ, t, budget);
        } while (rc == 0);
        weft__sock_end(s, WEFT__READ);
    }
    weft__exit_as(t);
    return got;
}

void weft__http_nudge(weft_conn *net)
{
    weft__task *t = weft__sock_enter("weft_http_server_stop");

    weft__sock_nudge(net, WEFT__READ);
    weft__exit_as(t);
}

/* Takes n bytes off the front of the message. */
static void advance(struct msghdr *msg, size_t n)
{
    while (msg->msg_iovlen > 0 && n >= msg->msg_iov->iov_len) {
        n -= msg->msg_iov->iov_len;
        msg->msg_iov++;
        msg->msg_iovlen--;
    }
    if (n > 0) {
        msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
        msg->msg_iov->iov_len -= n;
    }
}

/* Sends the whole message, with the turn. */
static int send_all(weft__sock *s, weft__task *t, struct msghdr *msg, int64_t *budget, int64_t most)
{
    ssize_t put;
    int rc = 0;

    for (;;) {
        put = msg->msg_iovlen == 1
                  ? weft__sys_send(s->fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len, 0)
                  : weft__sys_sendmsg(s->fd, msg);
        if (put < 0 && put != -EAGAIN)
            return (int)put;
        if (put > 0) {
            advance(msg, (size_t)put);
            weft__budget_refill(budget, most, (size_t)put);
        }
        if (msg->msg_iovlen == 0)
            return 0;
        if ((rc = wait_for(s, WEFT__WRITE, t, budget)) != 0)
            return rc;
    }
}

int weft__http_send(weft_conn *net, struct iovec *iov, int n, int64_t *budget, int64_t most)
{
    weft__task *t = weft__sock_enter("weft_http_write");
    weft__sock *s = weft__sock_at(net);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    int rc = weft__sock_begin(net, WEFT__WRITE, t, &forever);

    if (rc == 0) {
        rc = send_all(s, t, &msg, budget, most);
        weft__sock_end(s, WEFT__WRITE);
    }
    weft__exit_as(t);
    return rc == WEFT__SHUT ? WEFT_ECLOSED : rc;
}
