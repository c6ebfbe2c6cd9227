/* SPDX-License-Identifier: MIT */
/* request.c - what a handler sees of a request, and its body.
 *
 * The input buffer holds the head, up to `body`, and behind it what came with it: body, or already
 * the next request. A body larger than that is read to where the handler wants it; through the
 * buffer goes what surrounds chunks. Bytes behind the body stay for the next request. */
#include "conn.h"
#include "path.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum { ARENA_BLOCK = 2048, DIRECT_MIN = 512, ALL_MIN = 1024 };

struct weft__arena_block {
    struct weft__arena_block *next;
    char bytes[];
};

void weft__request_begin(weft__exchange *x)
{
    weft_http_request *r = &x->r;

    weft__parse_init(&r->parse, &x->conn->server->limits, x->fields);
    r->match.pattern = NULL;
    r->arena = (weft__arena){x->arena, sizeof(x->arena), NULL};
    r->error = r->refused = 0;
    r->body = 0;
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
    } else if (r->start == r->filled) {
        r->start = r->filled = 0;
    }
    if (x->w.out != x->out) {
        weft__free(x->w.out);
        x->w.out = x->out;
    }
}

/* Memory --------------------------------------------------------------------------------------- */

void *weft__request_alloc(weft_http_request *r, size_t n)
{
    weft__arena *a = &r->arena;
    struct weft__arena_block *b;

    n = (n + 15) & ~(size_t)15;
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

/* A head that is larger than the buffer gets one that the largest fits in. */
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
    if (r->size - WEFT__IN_SLACK == r->filled && r->start > 0) {
        memmove(r->in, r->in + r->start, r->filled - r->start);
        r->filled -= r->start;
        r->start = 0;
    }
    if (r->size - WEFT__IN_SLACK == r->filled && !grow(x))
        return 0;
    return r->size - WEFT__IN_SLACK - r->filled;
}

/* The body ------------------------------------------------------------------------------------- */

static int fail(weft_http_request *r, int error, int refused)
{
    r->refused = refused;
    return r->error = error;
}

/* Waits for bytes at buf. Their number, or an error. */
static ssize_t receive(weft__exchange *x, void *buf, size_t n)
{
    weft_http_request *r = &x->r;
    weft_time from = weft_now();
    ssize_t got;

    weft_conn_set_read_deadline(x->conn->net, weft__budget_deadline(r->budget, 0, from));
    got = weft_conn_read(x->conn->net, buf, n);
    if (got > 0) {
        weft__budget_spend(&r->budget, x->conn->server->options.read_time, (size_t)got,
                           weft_now() - from);
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

/* The peer may wait for our word before it sends the body. */
static int invite(weft__exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    weft_http_request *r = &x->r;
    int rc;

    r->continued = true;
    if (!r->parse.expects_continue || r->rest < r->filled || x->w.stage >= WEFT__SENT)
        return 0;
    weft_conn_set_write_deadline(x->conn->net, weft__budget_deadline(x->w.budget, 0, weft_now()));
    rc = weft_conn_write(x->conn->net, text, sizeof(text) - 1);
    return rc < 0 ? fail(r, rc, 0) : 0;
}

/* Takes what is in the buffer. */
static ssize_t take(weft_http_request *r, char *buf, size_t n)
{
    size_t used = 0;
    ssize_t got = weft__parse_body(&r->parse, r->in + r->rest, r->filled - r->rest, buf, n, &used);

    r->rest += (uint32_t)used;
    if (got < 0)
        fail(r, got == -413 ? -EMSGSIZE : WEFT_EINVAL, (int)-got);
    return got < 0 ? r->error : got;
}

/* Reads body, and nothing else, to where it belongs. */
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

int weft_http_read_all(weft_http_request *r, const char **data, size_t *n)
{
    size_t size = r->parse.body == WEFT__BODY_CHUNKED ? ALL_MIN : (size_t)r->parse.left, have = 0;
    char *all = weft__request_alloc(r, size + 1), *more;
    ssize_t got = 1;

    while (all && got > 0) {
        if (have == size && !r->parse.done) {
            more = weft__request_alloc(r, size * 2 + 1);
            if (!more)
                return WEFT_ENOMEM;
            all = memcpy(more, all, have);
            size *= 2;
        }
        got = weft_http_read(r, all + have, size - have);
        have += got > 0 ? (size_t)got : 0;
    }
    if (!all || got < 0)
        return all ? (int)got : WEFT_ENOMEM;
    all[have] = 0;
    *data = all;
    *n = have;
    return 0;
}

bool weft__request_drain(weft__exchange *x)
{
    weft_http_request *r = &x->r;
    char drop[DIRECT_MIN];

    if (r->parse.body == WEFT__BODY_CHUNKED || r->parse.left > WEFT__DRAIN_MAX)
        return r->parse.done;
    while (!r->parse.done) {
        if (weft_http_read(r, drop, sizeof(drop)) < 0)
            return false;
    }
    return true;
}

int weft_http_wait_until(weft_http_request *r, weft_time deadline)
{
    weft__exchange *x = weft__exchange_of_request(r);
    ssize_t got = 1;

    while (got > 0 && !r->eof) {
        if (r->filled == r->size) { /* it has sent so much that there is no looking behind it */
            int rc = weft_sleep_until(deadline);

            return rc < 0 ? rc : 0;
        }
        weft_conn_set_read_deadline(x->conn->net, deadline);
        got = weft_conn_read(x->conn->net, r->in + r->filled, r->size - r->filled);
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

        if (f->name_len == n && strcasecmp(p->base + f->name, name) == 0)
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
