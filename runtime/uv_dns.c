/* SPDX-License-Identifier: MIT */
/* uv_dns.c - names to addresses by getaddrinfo on libuv's thread pool.
 *
 * A lookup cannot be interrupted, but a task can leave it at its deadline or when it is canceled:
 * the request lives on the heap, and goes with whoever is second, the task or its callback. */
#include "sock.h"
#include "uv_loop.h"

#include <netdb.h>

enum { PENDING, DONE, LEFT };

struct lookup {
    uv_getaddrinfo_t req;
    weft__waiter wt;
    weft__loop *loop;
    uint32_t state; /* atomic: whoever finds the other's mark frees */
    int status;     /* of the callback, before DONE */
};

static void lookup_free(struct lookup *k)
{
    uv_freeaddrinfo(k->req.addrinfo);
    weft__free(k);
}

static void on_found(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct lookup *k = weft__container_of(req, struct lookup, req);
    weft__waiter wt = k->wt;

    (void)found;
    k->loop->users--;
    k->status = status;
    if (weft__xchg(&k->state, DONE) == LEFT)
        lookup_free(k);
    else if (weft__claim(wt.task, wt.ticket, 0))
        weft__ready(wt.task);
}

/* One that waits for a thread of the pool need not run; only its loop's owner may say so. */
static void lookup_leave(struct lookup *k, weft__worker *w)
{
    if (w->p->loop == k->loop)
        uv_cancel((uv_req_t *)&k->req);
    if (weft__xchg(&k->state, LEFT) == DONE)
        lookup_free(k);
}

static int copy_found(const struct addrinfo *found, weft__addrs *out)
{
    out->n = 0;
    for (; found && out->n < WEFT__ADDRS_MAX; found = found->ai_next) {
        if (found->ai_family == AF_INET || found->ai_family == AF_INET6)
            out->at[out->n++] = weft__addr_from(found->ai_addr, found->ai_addrlen);
    }
    return out->n > 0 ? 0 : UV_EAI_NODATA;
}

static int look_up(weft__task *t, const char *host, const char *service,
                   const struct addrinfo *hints, weft_time deadline, weft__addrs *out)
{
    struct lookup *k = weft__alloc(1, sizeof(*k));
    int rc;

    k->loop = t->worker->p->loop;
    weft__waiter_init(&k->wt, t);
    rc = uv_getaddrinfo(&k->loop->uv, &k->req, on_found, host, service, hints);
    if (rc < 0) {
        weft__free(k);
        return rc;
    }
    k->loop->users++;
    weft__add(&weft__sched.outside, 1);
    rc = weft__park(t, WEFT__WAIT_DNS, NULL, NULL, NULL, deadline);
    weft__sub(&weft__sched.outside, 1);
    if (rc < 0) {
        lookup_leave(k, t->worker);
        return rc;
    }
    rc = k->status == 0 ? copy_found(k->req.addrinfo, out) : k->status;
    lookup_free(k);
    return rc;
}

int weft__dns(const char *host, const char *service, enum weft__purpose purpose, int type,
              weft_time deadline, weft__addrs *out)
{
    weft__task *t = weft__sock_enter("a lookup of a name");
    struct addrinfo hints = {
        .ai_socktype = type,
        .ai_family = AF_UNSPEC,
        .ai_flags = purpose == WEFT__TO_LISTEN ? AI_PASSIVE : 0,
    };
    int rc = look_up(t, host, service, &hints, deadline, out);

    weft__exit_as(t);
    return rc;
}
