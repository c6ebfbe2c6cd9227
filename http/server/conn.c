/* SPDX-License-Identifier: MIT */
/* conn.c - the life of a connection: the task that has it.
 *
 * | in        | what happens                                | next                              |
 * |-----------|---------------------------------------------|-----------------------------------|
 * | WAIT      | no byte of a request is there; no exchange  | HEAD when there is; GONE after    |
 * |           |                                             | idle_time, at the end, if stopped |
 * | HEAD      | bytes are read until the head is complete;  | HANDLER; REFUSED; GONE at the     |
 * |           | after a stop for five seconds at most       | end; WAIT if not one byte is      |
 * |           |                                             | there: the wait ended early       |
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
 * `stopping` after it has set the state. Lock: the server's mutex guards its list of connections
 * (server.c). */
#include "http/server/conn.h"

#include "runtime/sync/group.h"

#include <sys/socket.h>

enum { LINGER_BYTES = 256 * 1024 };
#define LINGER_TIME  (1 * WEFT_SECOND)
#define HEAD_AT_STOP (5 * WEFT_SECOND)

enum next { NEXT, EARLY, LINGER, GONE };

/* WAIT. Returns true if a request may be there. */
static bool await_request(weft__http_conn *c, int64_t *budget)
{
    uint32_t idle = WEFT__CONN_IDLE;
    int rc;

    weft__store_seq(&c->state, WEFT__CONN_IDLE);
    if (weft__http_stops(c->server))
        return false;
    rc = weft__http_wait(c->net, budget);
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

/* HEAD. Returns NEXT if the head is complete or refused; EARLY if there is no byte of it; GONE. The
 * time for a head begins with its first byte. */
static enum next read_head(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    int64_t budget = x->conn->server->options.head_time, none = 0;
    ssize_t rc;
    size_t room;

    for (;;) {
        bool is_first = r->filled == r->start;

        if (!is_first) {
            rc = weft__parse_head(&r->parse, r->in + r->start, r->filled - r->start);
            if (rc != 0)
                break;
        }
        room = weft__request_room(x);
        if (room == 0)
            return GONE;
        rc = is_first ? weft__http_recv(x->conn->net, r->in + r->filled, room, &none)
                      : read_more(x->conn, r->in + r->filled, room, &budget);
        if (rc == WEFT_ETIMEDOUT && is_first)
            return EARLY;
        if (rc == WEFT_ETIMEDOUT) {
            rc = weft__parse_refuse(&r->parse, 408, "the request does not come");
            break;
        }
        if (rc <= 0)
            return GONE;
        r->filled += (uint32_t)rc;
    }
    if (rc < 0)
        r->refused = (int)-rc;
    r->rest = r->body = r->start + (uint32_t)(rc > 0 ? rc : 0);
    return NEXT;
}

/* HEAD to DRAIN. */
static enum next serve_one(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    weft_http_response *w = &x->w;
    enum next head = read_head(x);

    if (head != NEXT)
        return head;
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

/* Goes from WAIT to WAIT: serves all requests that came together. Returns NEXT if there may be
 * more; EARLY if none came; GONE. */
static enum next serve_some(weft__http_conn *c)
{
    weft__exchange *x = weft__exchange_get(c);
    enum next next;

    if (!x)
        return GONE;
    do {
        weft__request_begin(x);
        next = serve_one(x);
        weft__request_end(x);
    } while (next == NEXT && x->r.filled > x->r.start);
    if (next == LINGER)
        linger(x);
    weft__exchange_put(x);
    return next == LINGER ? GONE : next;
}

/* Takes c out of the list, closes and frees it. */
static void end(weft__http_conn *c)
{
    weft_http_server *s = c->server;

    weft_mutex_lock(&s->mutex);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->list = c->next;
    if (c->next)
        c->next->prev = c->prev;
    weft_mutex_unlock(&s->mutex);
    if (!c->taken)
        weft_conn_close(c->net);
    weft__free(c);
    if (s->options.max_conns > 0)
        weft_sema_add(&s->slots, 1);
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
    int64_t budget = c->server->options.idle_time;
    enum next next = NEXT;

    while (next != GONE && await_request(c, &budget)) {
        next = serve_some(c);
        if (next == NEXT)
            budget = c->server->options.idle_time;
    }
    end(c);
    return 0;
}

void weft__http_conn_begin(weft_http_server *s, weft_conn *net)
{
    weft_go_options task = {.stack_size = s->options.stack_size};
    weft__http_conn *c;

    weft_mutex_lock(&s->mutex);
    if (weft__http_stops(s)) {
        weft_mutex_unlock(&s->mutex);
        weft_conn_close(net);
        return;
    }
    c = weft__alloc(1, sizeof(*c));
    c->net = net;
    c->server = s;
    c->next = s->list;
    if (c->next)
        c->next->prev = c;
    s->list = c;
    weft__group_go_with(&s->conns, &task, s->conn_main, c);
    weft_mutex_unlock(&s->mutex);
}
