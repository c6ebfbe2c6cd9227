/* SPDX-License-Identifier: MIT */
/* conn.c - the life of a connection: the task that serves its requests.
 *
 * Owns: the connection's state and its place in the server's list. The task that accepts calls
 * weft__http_conn_begin. All other functions here run on the connection's own task, and only that
 * task closes the connection.
 * Lock: the server's mutex guards the list of connections (server.c).
 *
 * | in        | the task                                    | next                              |
 * |-----------|---------------------------------------------|-----------------------------------|
 * | WAIT      | waits for the first byte of a request, and  | HEAD; GONE after idle_time, at    |
 * |           | has no exchange                             | the peer's end, or at a stop      |
 * | HEAD      | reads until the head is complete; after a   | HANDLER; REFUSED; GONE at the     |
 * |           | stop for five seconds at most               | peer's end; WAIT if there was no  |
 * |           |                                             | byte: the wait ended early        |
 * | HANDLER   | runs the handler, which reads the body and  | ANSWER; REFUSED if the body was   |
 * |           | writes the answer                           | refused before a status was set   |
 * | REFUSED   | answers with a status and Connection: close | ANSWER                            |
 * | ANSWER    | writes the rest of the answer               | DRAIN; LINGER or GONE if the      |
 * |           |                                             | answer says close; GONE if the    |
 * |           |                                             | write fails                       |
 * | DRAIN     | reads and drops the unread body             | HEAD if bytes are left, else      |
 * |           |                                             | WAIT; LINGER if the body does not |
 * |           |                                             | come                              |
 * | LINGER    | shuts our side down and drops the bytes     | GONE                              |
 * |           | that come, so that no reset overtakes the   |                                   |
 * |           | answer                                      |                                   |
 * | GONE      | closes, unless a handler took it over       |                                   |
 *
 * One request is in work at a time, so all answers, also those to errors, keep the order of the
 * requests. The connection's state word is BUSY except while its task waits in WAIT or HEAD. A stop
 * turns IDLE into LEFT, and ends both kinds of wait. It cannot miss a connection: the stop sets
 * `stopping` and then reads the state; the task sets the state and then reads `stopping`. */
#include "http/server/conn.h"

#include "runtime/sync/group.h"

#include <sys/socket.h>

/* A lingering connection drops this many bytes, for this long: enough for a peer to read the answer
 * while it still sends, and no gift to one that never stops. */
enum { LINGER_BYTES = 256 * 1024 };
#define LINGER_TIME  (1 * WEFT_SECOND)
#define HEAD_AT_STOP (5 * WEFT_SECOND) /* for the rest of a head, once the server stops */

/* The results of a step: the connection goes on; no byte came; linger; close. */
enum next { NEXT, EARLY, LINGER, GONE };

/* The state WAIT. Returns true if a request may be there. */
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

/* Reads as weft__http_recv does. Once the server stops, an incomplete head gets HEAD_AT_STOP. Tries
 * to read first, and sets the state only if it must wait: most heads come in one piece. */
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

/* The state HEAD. Returns NEXT if the head is complete or refused; EARLY if no byte of it came;
 * GONE. The time for a head begins with its first byte. */
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

/* Serves one request: the states HEAD to DRAIN. */
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

/* The state LINGER. Closing a socket with unread bytes makes the kernel send a reset, which can
 * reach the peer before it has read the answer. */
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

/* Serves all requests that came together, with one exchange. Returns NEXT if more requests may
 * come; EARLY if none came; GONE. */
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

/* Takes c out of the list, then closes and frees it. In this order: a stop that finds c in the list
 * may touch c->net. */
static void end(weft__http_conn *c)
{
    weft_http_server *s = c->server;

    weft_mutex_lock(&s->mutex);
    weft__list_remove(&c->link);
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

    __asm__ volatile(""); /* forbids a tail call and a merge of equal functions */
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

/* Decides under the mutex: a stop that comes later finds the connection in the list, and one that
 * came before is seen here. */
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
    weft__list_push(&s->list, &c->link);
    weft__group_go_with(&s->conns, &task, s->conn_main, c);
    weft_mutex_unlock(&s->mutex);
}
