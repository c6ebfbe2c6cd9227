/* SPDX-License-Identifier: MIT */
/* dns.c - names to addresses, by getaddrinfo on threads of sched/pool.c.
 *
 * Owns: the lookups under way. Each belongs to one caller and one job of the pool. There is no
 * lock; the lookup's atomic state decides which of the two frees it. Tasks and foreign threads call
 * weft__resolve, outside the runtime; it waits if the text has a name.
 *
 * getaddrinfo cannot be interrupted, but a task can leave its lookup at the deadline or when it is
 * canceled. So the lookup is on the heap, and the later of the two to be done with it, the task or
 * the pool, frees it. */
#include "runtime/io/sock.h"
#include "runtime/sched/pool.h"
#include "runtime/uv/netpoll.h"

#include <netdb.h>

/* Of a lookup: both use it; the pool is done; the task has left. */
enum { PENDING, DONE, LEFT };

struct lookup {
    weft__job job;
    weft__waiter wt;
    struct addrinfo hints, *found;
    uint32_t state; /* atomic: the second to mark it frees the lookup */
    int status;     /* weft__names_find's result; written by the pool before DONE */
    struct weft__parts name;
};

static void lookup_free(struct lookup *k)
{
    weft__names_free(k->found);
    weft__free(k);
}

/* Looks up, on a thread of the pool. */
static void lookup_run(weft__job *j)
{
    struct lookup *k = weft__container_of(j, struct lookup, job);

    k->status = weft__names_find(k->name.host, k->name.service, &k->hints, &k->found);
}

/* Ends the pool's part. alive: the run goes on; if not, the task is gone, and nothing may be woken.
 * The waiter is copied first, since the task may free the lookup as soon as the state is DONE. */
static void lookup_ended(weft__job *j, bool alive)
{
    struct lookup *k = weft__container_of(j, struct lookup, job);
    weft__waiter wt = k->wt;

    if (!alive || weft__xchg(&k->state, DONE) == LEFT)
        lookup_free(k);
    else if (weft__claim(wt.task, wt.ticket, 0))
        weft__ready(wt.task);
}

/* Hands the job to the pool after the task has left its stack, so that no answer comes too
 * early. */
static void lookup_post(void *job)
{
    weft__pool_post(WEFT__POOL_NAMES, job);
}

/* Ends the task's part, when it waits no more: at its deadline, or canceled. Takes the job back if
 * no thread of the pool has begun it. */
static void lookup_leave(struct lookup *k)
{
    if (weft__pool_take_back(WEFT__POOL_NAMES, &k->job) || weft__xchg(&k->state, LEFT) == DONE)
        lookup_free(k);
}

/* Copies the found addresses, in the resolver's order. */
static void copy_found(const struct addrinfo *found, weft__addrs *out)
{
    out->n = 0;
    for (; found && out->n < WEFT__ADDRS_MAX; found = found->ai_next) {
        if (found->ai_family == AF_INET || found->ai_family == AF_INET6)
            out->at[out->n++] = weft__addr_from(found->ai_addr, found->ai_addrlen);
    }
}

/* Has the pool look up, and waits. Frees k, or leaves that to the pool. */
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
    rc = k->status;
    if (rc == 0)
        copy_found(k->found, out);
    lookup_free(k);
    return rc;
}

/* Finds the addresses of a name. */
static int find(const struct weft__parts *name, enum weft__purpose purpose, int type,
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
    k->name = *name;
    rc = look_up(t, k, deadline, out);
    weft__exit_as(t);
    return rc;
}

int weft__resolve(const char *text, enum weft__purpose purpose, int type, weft_time deadline,
                  weft__addrs *out)
{
    struct weft__parts name;
    int rc = weft__addrs_read(text, purpose, type, out, &name);

    return rc == 1 ? find(&name, purpose, type, deadline, out) : rc;
}
