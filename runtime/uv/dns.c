/* SPDX-License-Identifier: MIT */
/* uv/dns.c - names to addresses by getaddrinfo on threads of their own (pool.c).
 *
 * A lookup cannot be interrupted, but a task can leave it at its deadline or when it is canceled:
 * the lookup lives on the heap, and the second of the two that are done with it, the task and the
 * pool, frees it.
 *
 * uv_getaddrinfo without a callback looks up on the calling thread. It is used for the codes and
 * for names beyond ASCII; of its loop it touches nothing but a count of requests. */
#include "runtime/io/sock.h"
#include "runtime/sched/pool.h"
#include "runtime/uv/loop.h"

#include <netdb.h>
#include <string.h>

enum { PENDING, DONE, LEFT };

struct lookup {
    weft__job job;
    weft__waiter wt;
    uv_loop_t loop; /* all zero */
    uv_getaddrinfo_t req;
    struct addrinfo hints;
    uint32_t state; /* atomic: the second to mark it frees the lookup */
    int status;     /* of the lookup, before DONE */
    char host[WEFT__HOST_MAX + 1], service[WEFT__SERVICE_MAX + 1]; /* "": none */
};

static void lookup_free(struct lookup *k)
{
    uv_freeaddrinfo(k->req.addrinfo);
    weft__free(k);
}

static void lookup_run(weft__job *j)
{
    struct lookup *k = weft__container_of(j, struct lookup, job);

    k->status = uv_getaddrinfo(&k->loop, &k->req, NULL, k->host[0] ? k->host : NULL,
                               k->service[0] ? k->service : NULL, &k->hints);
}

static void lookup_ended(weft__job *j, bool alive)
{
    struct lookup *k = weft__container_of(j, struct lookup, job);
    weft__waiter wt = k->wt;

    if (!alive || weft__xchg(&k->state, DONE) == LEFT)
        lookup_free(k);
    else if (weft__claim(wt.task, wt.ticket, 0))
        weft__ready(wt.task);
}

static void lookup_post(void *job)
{
    weft__pool_post(WEFT__POOL_NAMES, job);
}

/* Ends the task's part: it waits no more. */
static void lookup_leave(struct lookup *k)
{
    if (weft__pool_take_back(WEFT__POOL_NAMES, &k->job) || weft__xchg(&k->state, LEFT) == DONE)
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

static int look_up(weft__task *t, struct lookup *k, weft_time deadline, weft__addrs *out)
{
    int rc = weft__pool_admit(WEFT__POOL_NAMES);

    if (rc < 0) {
        lookup_free(k);
        return rc;
    }
    weft__waiter_init(&k->wt, t);
    rc = weft__park_outside(t, WEFT__WAIT_DNS, NULL, lookup_post, &k->job, deadline);
    if (rc < 0) {
        lookup_leave(k);
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
    struct lookup *k = weft__alloc(1, sizeof(*k));
    int rc;

    k->job.run = lookup_run;
    k->job.ended = lookup_ended;
    k->hints.ai_socktype = type;
    k->hints.ai_family = AF_UNSPEC;
    k->hints.ai_flags = purpose == WEFT__TO_LISTEN ? AI_PASSIVE : 0;
    strcpy(k->host, host);
    strcpy(k->service, service);
    rc = look_up(t, k, deadline, out);
    weft__exit_as(t);
    return rc;
}
