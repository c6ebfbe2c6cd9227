/* SPDX-License-Identifier: MIT */
/* conn.c - the life of a connection: the task that has it.
 *
 * | in        | what happens                                | next                              |
 * |-----------|---------------------------------------------|-----------------------------------|
 * | WAIT      | no byte of a request is there; no exchange  | HEAD when there is; GONE after    |
 * |           |                                             | idle_time, at the end, if stopped |
 * | HEAD      | bytes are read until the head is complete;  | HANDLER; REFUSED; GONE at the end |
 * |           | after a stop for five seconds at most       |                                   |
 * | HANDLER   | it reads the body and writes the answer     | ANSWER; REFUSED if the body was,  |
 * |           |                                             | and nothing is written            |
 * | REFUSED   | the answer is a status, with Connection:    | ANSWER                            |
 * |           | close                                       |                                   |
 * | ANSWER    | the rest of the answer is written           | DRAIN; LINGER or GONE if it says  |
 * |           |                                             | close; GONE if it cannot be       |
 * | DRAIN     | the unread body is read and dropped         | HEAD if bytes are left, else      |
 * |           |                                             | WAIT; LINGER if it does not come  |
 * | LINGER    | our side is shut down, bytes that come are  | GONE                              |
 * |           | dropped, so that no reset overtakes the     |                                   |
 * |           | answer                                      |                                   |
 * | GONE      | closed, unless a handler took it over       |                                   |
 *
 * One request is in work at a time, so answers, errors among them, keep the order of requests.
 * The connection's state word is BUSY except while it waits in WAIT or HEAD. A stop turns IDLE into
 * LEFT and ends both kinds of wait. It reads the state after it has set `stopping`; the task reads
 * `stopping` after it has set the state. */
#include "http/server/conn.h"

#include <sys/socket.h>

enum { LINGER_BYTES = 256 * 1024 };
#define LINGER_TIME  (1 * WEFT_SECOND)
#define HEAD_AT_STOP (5 * WEFT_SECOND)

enum next { NEXT, LINGER, GONE };

/* WAIT. True: a request is coming. */
static bool await_request(weft__http_conn *c)
{
    int64_t budget = c->server->options.idle_time;
    uint32_t idle = WEFT__CONN_IDLE;
    int rc;

    weft__store_seq(&c->state, WEFT__CONN_IDLE);
    if (weft__http_stops(c->server))
        return false;
    rc = weft__http_wait(c->net, &budget);
    return weft__cas(&c->state, &idle, WEFT__CONN_BUSY) && rc == 0;
}

/* Reads as weft__http_recv does. Once the server stops, an incomplete head gets HEAD_AT_STOP. */
static ssize_t read_more(weft__http_conn *c, char *at, size_t room, int64_t *budget)
{
    int64_t none = 0;
    ssize_t rc;

    while ((rc = weft__http_recv(c->net, at, room, &none)) == WEFT_ETIMEDOUT) {
        weft__store_seq(&c->state, WEFT__CONN_HEAD);
        if (weft__http_stops(c->server) && *budget > HEAD_AT_STOP)
            *budget = HEAD_AT_STOP;
        rc = weft__http_wait(c->net, budget);
        weft__store(&c->state, WEFT__CONN_BUSY);
        if (rc < 0)
            break;
    }
    return rc;
}

/* HEAD. True: it is complete, or refused. */
static bool read_head(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    int64_t budget = x->conn->server->options.head_time;
    ssize_t rc;
    size_t room;

    for (;;) {
        if (r->filled > r->start) {
            rc = weft__parse_head(&r->parse, r->in + r->start, r->filled - r->start);
            if (rc != 0)
                break;
        }
        room = weft__request_room(x);
        if (room == 0)
            return false;
        rc = read_more(x->conn, r->in + r->filled, room, &budget);
        if (rc == WEFT_ETIMEDOUT && r->filled > r->start) {
            rc = weft__parse_refuse(&r->parse, 408, "the request does not come");
            break;
        }
        if (rc <= 0)
            return false;
        r->filled += (uint32_t)rc;
    }
    if (rc < 0)
        r->refused = (int)-rc;
    r->rest = r->body = r->start + (uint32_t)(rc > 0 ? rc : 0);
    return true;
}

/* HEAD to DRAIN. */
static enum next serve_one(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    weft_http_response *w = &x->w;

    if (!read_head(x))
        return GONE;
    weft__response_begin(x);
    if (!r->refused)
        weft__dispatch(x);
    if (x->conn->taken)
        return GONE;
    if ((r->refused || r->error) && w->stage == WEFT__OPEN && w->status == 0) {
        if (!r->refused)
            return GONE;
        weft__response_refuse(x, r->refused, r->parse.why);
    }
    if (weft__response_end(x))
        return weft__request_drain(x) ? NEXT : LINGER;
    if (w->error)
        return GONE;
    /* A peer that said it would send no more, and has not, needs no lingering. */
    return !r->parse.keep_alive && r->parse.done && r->rest == r->filled ? GONE : LINGER;
}

static void linger(weft__exchange *x)
{
    weft_conn *net = x->conn->net;
    int64_t budget = LINGER_TIME;
    size_t dropped = 0;
    ssize_t n;

    weft_conn_shutdown(net, SHUT_WR);
    while (dropped < LINGER_BYTES && (n = weft__http_recv(net, x->in, sizeof(x->in), &budget)) > 0)
        dropped += (size_t)n;
}

/* Goes from WAIT to WAIT: serves all requests that came together. True: there may be more. */
static bool serve_some(weft__http_conn *c)
{
    weft__exchange *x = weft__exchange_get(c);
    enum next next;

    if (!x)
        return false;
    do {
        weft__request_begin(x);
        next = serve_one(x);
        weft__request_end(x);
    } while (next == NEXT && x->r.filled > x->r.start);
    if (next == LINGER)
        linger(x);
    weft__exchange_put(x);
    return next == NEXT;
}

int weft__http_conn_apart(void *conn)
{
    int rc = weft__http_conn_main(conn);

    __asm__ volatile(""); /* no tail call, nor the same code: it is to have its own address */
    return rc;
}

int weft__http_conn_main(void *conn)
{
    weft__http_conn *c = conn;

    while (await_request(c) && serve_some(c))
        ;
    weft__http_conn_end(c);
    return 0;
}
