/* SPDX-License-Identifier: MIT */
/* request.c - the head and the body of a request, as handlers see them.
 *
 * Owns: the request's part of an exchange: its input buffer, its parser's results, its memory for
 * text. There is no lock: only the task that has the exchange calls, or the handler that runs for
 * it. The weft_http_ functions are valid until the handler returns; read, read_all and wait may
 * wait.
 *
 * The input buffer holds the head, up to `body`, and behind it the bytes that came with the head:
 * the body, or already the next request. The rest of a large body is read straight into the
 * handler's buffer; only the lines between chunks pass through ours. Bytes behind the body stay for
 * the next request. */
#include "http/server/exchange.h"
#include "http/wire/path.h"

#include <errno.h>
#include <string.h>

enum {
    ARENA_BLOCK = 2048, /* the least block of memory for text */
    DIRECT_MIN = 512,   /* smaller buffers of handlers are filled through ours: fewer reads */
    ALL_MIN = 1024,     /* the first guess at the length of a body in chunks */
};

struct weft__arena_block {
    struct weft__arena_block *next;
    char bytes[];
};

/* Moves the next request to the front of the buffer. */
static void to_front(weft_http_request *r)
{
    memmove(r->in, r->in + r->start, r->filled - r->start);
    r->filled -= r->start;
    r->start = r->rest = 0;
}

/* Returns whether the bytes in the buffer reach into its slack, so that a head could not grow. */
static bool in_slack(const weft_http_request *r)
{
    return r->filled + WEFT__IN_SLACK >= r->size;
}

void weft__request_begin(weft__exchange *x)
{
    weft_http_request *r = &x->r;

    weft__parse_init(&r->parse, &x->conn->server->limits, x->fields);
    r->match.pattern = NULL;
    r->arena = (weft__arena){x->arena, sizeof(x->arena), NULL};
    r->error = r->refused = 0;
    r->body = 0;
    r->rest = r->start;
    r->continued = false;
    r->budget = x->conn->server->options.read_time;
}

void weft__request_end(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    struct weft__arena_block *b;

    while ((b = r->arena.blocks) != NULL) {
        r->arena.blocks = b->next;
        weft__free(b);
    }
    r->start = r->rest;
    if (r->in != x->in && r->filled - r->start <= WEFT__IN_SIZE) {
        memcpy(x->in, r->in + r->start, r->filled - r->start);
        weft__free(r->in);
        r->in = x->in;
        r->size = sizeof(x->in);
        r->filled -= r->start;
        r->start = 0;
    } else if (r->start == r->filled || in_slack(r)) {
        to_front(r); /* makes room behind the next head for its body */
    }
    if (x->w.out != x->out) {
        weft__free(x->w.out);
        x->w.out = x->out;
    }
}

/* Memory --------------------------------------------------------------------------------------- */

char *weft__request_alloc(weft_http_request *r, size_t n)
{
    weft__arena *a = &r->arena;
    struct weft__arena_block *b;

    if (n > a->left) {
        size_t size = n > ARENA_BLOCK ? n : ARENA_BLOCK;

        b = weft__alloc_try(sizeof(*b) + size);
        if (!b)
            return NULL;
        b->next = a->blocks;
        a->blocks = b;
        a->free = b->bytes;
        a->left = size;
    }
    a->free += n;
    a->left -= n;
    return a->free - n;
}

/* Replaces the exchange's own buffer by one in which the largest head fits. Returns false if there
 * is no memory, or if the buffer is that one already. */
static bool grow(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    const weft__limits *l = &x->conn->server->limits;
    size_t size = (size_t)l->line + l->head + WEFT__IN_SIZE + WEFT__IN_SLACK;
    char *in = r->in == x->in ? weft__alloc_try(size) : NULL;

    if (!in)
        return false;
    memcpy(in, r->in, r->filled);
    r->in = in;
    r->size = (uint32_t)size;
    return true;
}

size_t weft__request_room(weft__exchange *x)
{
    weft_http_request *r = &x->r;

    if (r->body > 0) {
        r->rest = r->filled = r->body;
        return r->size - r->filled;
    }
    if (in_slack(r) && r->start > 0)
        to_front(r);
    if (in_slack(r) && !grow(x))
        return 0;
    return r->size - WEFT__IN_SLACK - r->filled;
}

/* The body ------------------------------------------------------------------------------------- */

/* Ends the body with an error, and notes the status to answer with (0: none). Returns the error. */
static int fail(weft_http_request *r, int error, int refused)
{
    r->refused = refused;
    return r->error = error;
}

/* Reads bytes of the body into buf, and waits for them. Returns their number, or an error. */
static ssize_t receive(weft__exchange *x, void *buf, size_t n)
{
    weft_http_request *r = &x->r;
    ssize_t got = weft__http_recv(x->conn->net, buf, n, &r->budget);

    if (got > 0) {
        weft__budget_refill(&r->budget, x->conn->server->options.read_time, (size_t)got);
        return got;
    }
    if (got == 0) {
        r->eof = true;
        r->parse.why = "the body ends early";
        return fail(r, WEFT_ECLOSED, 400);
    }
    r->parse.why = "the body does not come";
    return fail(r, (int)got, got == WEFT_ETIMEDOUT ? 408 : 0);
}

/* Sends 100 Continue if the peer waits for it before it sends the body. It does not if bytes of the
 * body have come already. */
static int invite(weft__exchange *x)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = {text, sizeof(text) - 1};
    weft_http_request *r = &x->r;
    int rc;

    r->continued = true;
    if (!r->parse.expects_continue || r->rest < r->filled || x->w.stage >= WEFT__SENT)
        return 0;
    rc = weft__http_send(x->conn->net, &iov, 1, &x->w.budget, x->conn->server->options.write_time);
    return rc < 0 ? fail(r, rc, 0) : 0;
}

/* Takes body from the buffer. Returns the number of bytes, or an error. */
static ssize_t take(weft_http_request *r, char *buf, size_t n)
{
    size_t used = 0;
    ssize_t got = weft__parse_body(&r->parse, r->in + r->rest, r->filled - r->rest, buf, n, &used);

    r->rest += (uint32_t)used;
    if (got < 0)
        fail(r, got == -413 ? -EMSGSIZE : WEFT_EINVAL, (int)-got);
    return got < 0 ? r->error : got;
}

/* Reads body straight into the handler's buffer: at most as many bytes as are body for certain. */
static ssize_t read_direct(weft__exchange *x, char *buf, size_t n)
{
    int64_t plain = weft__parse_plain(&x->r.parse);
    size_t used;
    ssize_t got = receive(x, buf, (int64_t)n < plain ? n : (size_t)plain);

    return got < 0 ? got : weft__parse_body(&x->r.parse, buf, (size_t)got, buf, n, &used);
}

ssize_t weft_http_read(weft_http_request *r, void *buf, size_t n)
{
    weft__exchange *x = weft__exchange_of_request(r);
    ssize_t got;

    if (r->error)
        return r->error;
    if (r->parse.done || n == 0)
        return 0;
    if (!r->continued && invite(x) < 0)
        return r->error;
    for (;;) {
        if (r->rest < r->filled) {
            got = take(r, buf, n);
            if (got != 0 || r->parse.done)
                return got;
        }
        if (weft__parse_plain(&r->parse) > 0 && n >= DIRECT_MIN)
            return read_direct(x, buf, n);
        got = receive(x, r->in + r->body, weft__request_room(x));
        if (got < 0)
            return got;
        r->filled += (uint32_t)got;
    }
}

/* Returns more room for a body of unknown length, with a copy of the bytes so far; NULL if there is
 * no memory. */
static char *enlarge(weft_http_request *r, char *all, size_t have, size_t size)
{
    char *more = weft__request_alloc(r, size + 1);

    return more && have > 0 ? memcpy(more, all, have) : more;
}

/* Doubles the room while the body grows. max_body bounds it, so a peer cannot ask for more. */
int weft_http_read_all(weft_http_request *r, const char **data, size_t *n)
{
    size_t size = r->parse.body == WEFT__BODY_CHUNKED ? ALL_MIN : (size_t)r->parse.left, have = 0;
    char *all = enlarge(r, NULL, 0, size);
    ssize_t got = 1;

    while (all && got > 0) {
        if (have == size && !r->parse.done)
            all = enlarge(r, all, have, size *= 2);
        got = all ? weft_http_read(r, all + have, size - have) : 0;
        have += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        return (int)got;
    if (!all) {
        r->parse.why = "out of memory";
        return fail(r, WEFT_ENOMEM, 503);
    }
    all[have] = 0;
    *data = all;
    *n = have;
    return 0;
}

bool weft__request_drain(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    char drop[DIRECT_MIN];
    int64_t dropped = 0;

    while (!r->parse.done && dropped + r->parse.left <= WEFT__DRAIN_MAX) {
        ssize_t got = weft_http_read(r, drop, sizeof(drop));

        if (got < 0)
            return false;
        dropped += got;
    }
    return r->parse.done;
}

int weft_http_wait_until(weft_http_request *r, weft_time deadline)
{
    weft__exchange *x = weft__exchange_of_request(r);
    int64_t budget = deadline == WEFT_FOREVER ? deadline : deadline - weft_now();
    ssize_t got = 1;

    if (x->conn->taken)
        return WEFT_ECLOSED;
    while (got > 0 && !r->eof) {
        if (r->filled == r->size) { /* unread bytes fill the buffer and hide the peer's end */
            int rc = weft_sleep_until(deadline);

            return rc < 0 ? rc : 0;
        }
        got = weft__http_recv(x->conn->net, r->in + r->filled, r->size - r->filled, &budget);
        r->filled += got > 0 ? (uint32_t)got : 0;
    }
    if (got == WEFT_ETIMEDOUT)
        return 0;
    if (got < 0)
        return (int)got;
    r->eof = true;
    return WEFT_ECLOSED;
}

/* The head ------------------------------------------------------------------------------------- */

const char *weft_http_method(const weft_http_request *r)
{
    return weft__parse_method(&r->parse);
}

/* Returns a decoded copy of at[0..n), which lives as long as the request; NULL if there is no
 * memory. *len is its length, or -1 if an escape is malformed. */
static const char *decoded(weft_http_request *r, const char *at, size_t n, bool form, ssize_t *len)
{
    char *text = weft__request_alloc(r, n + 1);

    *len = text ? weft__decode(text, at, n, form) : 0;
    return text;
}

const char *weft_http_path(weft_http_request *r)
{
    ssize_t len;

    if (!r->parse.path || !strchr(r->parse.path, '%'))
        return r->parse.path;
    return decoded(r, r->parse.path, strlen(r->parse.path), false, &len);
}

/* Rebuilds the target as it was sent: the parser put NULs at the end of the path and of the
 * target. */
const char *weft_http_target(weft_http_request *r)
{
    const weft__parse *p = &r->parse;
    const char *at = p->base + p->target;
    char *text = weft__request_alloc(r, (size_t)p->target_len + 1);

    if (!text)
        return NULL;
    memcpy(text, at, p->target_len);
    text[p->target_len] = 0;
    if (p->query)
        text[p->query - 1 - at] = '?';
    return text;
}

const char *weft_http_query(const weft_http_request *r)
{
    return r->parse.query ? r->parse.query : "";
}

int weft_http_query_value(weft_http_request *r, const char *name, const char **value)
{
    const char *at, *text;
    ssize_t len;
    size_t n;

    if (!weft__query_find(r->parse.query, name, &at, &n)) {
        *value = NULL;
        return 0;
    }
    text = decoded(r, at, n, true, &len);
    if (!text || len < 0)
        return text ? WEFT_EINVAL : WEFT_ENOMEM;
    *value = text;
    return 0;
}

const char *weft_http_param(weft_http_request *r, const char *name)
{
    const weft__pattern *p = r->match.pattern;
    const weft__span *v = r->match.values;
    ssize_t len;

    if (!p || !*name)
        return NULL;
    for (uint32_t i = 0; i < p->nsegments; i++) {
        if (p->segments[i].kind == WEFT__LITERAL)
            continue;
        if (strcmp(p->segments[i].text, name) == 0)
            return decoded(r, v->at, v->n, false, &len);
        v++;
    }
    return NULL;
}

const char *weft_http_header(const weft_http_request *r, const char *name)
{
    const weft__parse *p = &r->parse;
    size_t n = strlen(name);

    for (uint32_t i = 0; i < p->nfields; i++) {
        const weft__field *f = &p->fields[i];

        if (f->name_len == n && weft__same_word(p->base + f->name, name, n))
            return p->base + f->value;
    }
    return NULL;
}

bool weft_http_header_each(const weft_http_request *r, size_t *i, const char **name,
                           const char **value)
{
    const weft__field *f = &r->parse.fields[*i];

    if (*i >= r->parse.nfields)
        return false;
    *name = r->parse.base + f->name;
    *value = r->parse.base + f->value;
    ++*i;
    return true;
}

const char *weft_http_host(const weft_http_request *r)
{
    return r->parse.host ? r->parse.host : "";
}

weft_addr weft_http_peer(const weft_http_request *r)
{
    return weft_conn_peer(weft__exchange_of_request(r)->conn->net);
}

int64_t weft_http_length(const weft_http_request *r)
{
    return r->parse.length;
}
