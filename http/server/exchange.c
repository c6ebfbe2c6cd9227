/* SPDX-License-Identifier: MIT */
/* exchange.c - a server's pool of exchanges that no connection has.
 *
 * Owns: s->pool. An exchange is 11 KB, and idle connections need none; so a server with many idle
 * connections has few exchanges.
 * Lock: s->pool_lock (rank OBJECT) guards the pool; no other lock is taken under it.
 * The connections' tasks call, and hold no lock. */
#include "http/server/exchange.h"

enum { POOL_MAX = 256 }; /* exchanges beyond this many are freed: after a burst, memory goes back */

/* Takes an exchange from the pool. Returns NULL if it is empty. */
static weft__exchange *pooled(weft_http_server *s)
{
    weft__exchange *x;

    weft__lock(&s->pool_lock, WEFT__RANK_OBJECT);
    x = s->pool;
    if (x) {
        s->pool = x->next;
        s->npool--;
    }
    weft__unlock(&s->pool_lock);
    return x;
}

/* Only the few fields that a new connection must not inherit are set; zeroing 11 KB would cost more
 * than the rest of a small request. */
weft__exchange *weft__exchange_get(weft__http_conn *c)
{
    weft__exchange *x = pooled(c->server);

    if (!x) {
        x = weft__alloc_try(c->server->exchange_size);
        if (!x)
            return NULL;
        x->date_second = -1;
    }
    x->conn = c;
    x->r.in = x->in;
    x->r.size = sizeof(x->in);
    x->r.start = x->r.rest = x->r.filled = 0;
    x->r.eof = false;
    x->w.out = x->out;
    return x;
}

void weft__exchange_put(weft__exchange *x)
{
    weft_http_server *s = x->conn->server;

    if (x->r.in != x->in)
        weft__free(x->r.in);
    weft__lock(&s->pool_lock, WEFT__RANK_OBJECT);
    if (s->npool < POOL_MAX) {
        x->next = s->pool;
        s->pool = x;
        s->npool++;
        x = NULL;
    }
    weft__unlock(&s->pool_lock);
    weft__free(x);
}
