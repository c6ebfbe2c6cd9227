/* SPDX-License-Identifier: MIT */
/* dial.c - connecting: to one address, to several in turn, to two families side by side.
 *
 * Owns no state: each dial is on its caller's stack. Tasks and foreign threads call
 * weft_dial_until, and hold no lock; it waits.
 *
 * A name may have addresses of IPv6 and IPv4, of which one family may be broken. So two tasks in a
 * group race, one for each family (RFC 8305, "Happy Eyeballs"): the second begins 300 ms later, or
 * when the first has failed. The first to succeed cancels the other. The caller waits with
 * weft_group_wait, which passes the caller's own cancellation on to both. */
#include "runtime/io/sock.h"

#include <weft/chan.h>
#include <weft/task.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The head start of the first family, as in Go. */
#define FALLBACK_DELAY (300 * WEFT_MILLISECOND)
/* The least time for one of several addresses: less is too little for a slow but good one. */
#define LEAST_SHARE (2 * WEFT_SECOND)
/* The pauses between tries at a unix listener whose backlog is full. */
enum { RETRY_MIN = 1000000, RETRY_MAX = 50000000 /* ns */ };

/* Returns the result of a connect that was under way: 0, a negative errno, or -EINPROGRESS if it
 * has not ended. No error is not enough: a spurious event finds none either, so it asks for the
 * peer, too. */
static WEFT__NOINLINE int outcome(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer), error_len = sizeof(int);
    int error = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0 || error != 0)
        return error ? -error : -errno;
    return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 ? 0 : -EINPROGRESS;
}

/* Pauses before the next try: the backlog of a unix listener is full, and no event tells when it
 * has room. Returns 0 or a code. */
static int pause_until(weft__sock *s, weft__task *t, weft_duration *pause, weft_time deadline)
{
    weft_time now = weft__nanos(), until = now + *pause;

    if (deadline <= now)
        return WEFT_ETIMEDOUT;
    *pause = *pause * 2 < RETRY_MAX ? *pause * 2 : RETRY_MAX;
    return weft__sock_pause(s, WEFT__WRITE, t, until < deadline ? until : deadline);
}

/* Connects s to a. No other task knows s yet, so it waits without a turn. */
static int connect_until(weft__sock *s, weft__task *t, const weft_addr *a, weft_time deadline)
{
    bool is_unix = weft__addr_family(a) == AF_UNIX;
    weft_duration pause = RETRY_MIN;
    int rc = weft__sys_connect(s->fd, weft__addr_raw(a), a->_len), waited = 0;

    while (waited == 0 && is_unix && rc == -EAGAIN) {
        waited = pause_until(s, t, &pause, deadline);
        if (waited == 0)
            rc = weft__sys_connect(s->fd, weft__addr_raw(a), a->_len);
    }
    while (waited == 0 && rc == -EINPROGRESS) {
        waited = weft__sock_wait(s, WEFT__WRITE, t, &deadline);
        if (waited == 0)
            rc = outcome(s->fd);
    }
    return waited ? waited : rc;
}

/* Returns whether the socket is connected to itself. If no program listens at the port, the kernel
 * may choose that very port for our end, and TCP then connects the socket to itself. */
static bool met_itself(const weft_conn *c, const weft_addr *a)
{
    weft_addr local = weft__addr_local(c->sock.fd);

    return weft__addr_family(a) != AF_UNIX && local._len == a->_len &&
           memcmp(local._bytes, a->_bytes, a->_len) == 0;
}

/* Dials one address. Returns 0 and writes *out, or returns a code. */
static int dial_one(const weft_addr *a, weft_time deadline, weft_conn **out)
{
    weft__task *t = weft__sock_enter("weft_dial");
    int fd = weft__sys_socket(weft__addr_family(a), SOCK_STREAM), rc;
    weft_conn *c;

    if (fd < 0) {
        weft__exit_as(t);
        return fd;
    }
    if (weft__addr_family(a) != AF_UNIX)
        weft__tcp_options(fd);
    c = weft__conn_new(fd, weft__addr_raw(a));
    if (!c) {
        weft__exit_as(t);
        return WEFT_ENOMEM;
    }
    rc = connect_until(&c->sock, t, a, deadline);
    if (rc == 0 && met_itself(c, a))
        rc = -ECONNREFUSED;
    if (rc == 0)
        *out = c->sock.handle;
    else
        weft__sock_close(c->sock.handle, t, "connection", false);
    weft__exit_as(t);
    return rc;
}

/* Returns the deadline for the first of n addresses: an equal share of the time that is left, so
 * that one address that does not answer leaves time for the others. */
static weft_time share(weft_time deadline, int n)
{
    weft_time now;
    weft_duration part;

    if (deadline == WEFT_FOREVER || n == 1)
        return deadline;
    now = weft_now();
    part = (deadline - now) / n;
    if (part < LEAST_SHARE)
        part = LEAST_SHARE;
    return deadline - now < part ? deadline : now + part;
}

/* Dials the addresses one after the other. If all fail, returns the error of the first: the
 * resolver puts the best address first. */
static int dial_in_turn(const weft__addrs *addrs, weft_time deadline, weft_conn **out)
{
    int rc = WEFT_EINVAL, first = 0;

    for (int i = 0; i < addrs->n; i++) {
        rc = dial_one(&addrs->at[i], share(deadline, addrs->n - i), out);
        if (rc == 0 || rc == WEFT_ECANCELED)
            return rc;
        if (i == 0)
            first = rc;
        if (deadline != WEFT_FOREVER && deadline <= weft_now())
            return WEFT_ETIMEDOUT;
    }
    return first < 0 ? first : rc;
}

/* One family's side of the race, on the caller's stack. Its task alone writes rc and conn. */
struct runner {
    weft_group *group;
    weft_chan *head_start; /* closed when the first family has failed */
    weft__addrs addrs;     /* of this family */
    weft_time deadline;
    bool first; /* of the two */
    int rc;
    weft_conn *conn; /* if rc is 0 */
};

/* The task of one family. */
static int run_race(void *arg)
{
    struct runner *r = arg;

    if (!r->first &&
        weft_chan_recv_until(r->head_start, NULL, weft_after(FALLBACK_DELAY)) == WEFT_ECANCELED) {
        r->rc = WEFT_ECANCELED;
        return 0;
    }
    r->rc = dial_in_turn(&r->addrs, r->deadline, &r->conn);
    if (r->rc == 0)
        weft_group_cancel(r->group);
    else if (r->first)
        weft_chan_close(r->head_start);
    return 0;
}

/* Runs the race. Both may succeed, since a cancel comes too late for a finished dial: then the
 * second connection is closed. If both fail, returns the error of the first family. The wait for
 * the group fails only if the caller is a foreign thread and the run ends. Then the channel stays,
 * since a task that will never run again may wait on it. */
static int race(struct runner runners[2], weft_time deadline, weft_conn **out)
{
    weft_group group = WEFT_GROUP_INIT;
    weft_chan *head_start = weft_chan_new(1, 0);

    for (int i = 0; i < 2; i++) {
        runners[i].group = &group;
        runners[i].head_start = head_start;
        runners[i].deadline = deadline;
        runners[i].first = i == 0;
        weft_group_go(&group, run_race, &runners[i]);
    }
    if (weft_group_wait(&group) < 0)
        return WEFT_ECANCELED;
    weft_chan_free(head_start);
    if (runners[0].rc == 0 && runners[1].rc == 0)
        weft_conn_close(runners[1].conn);
    if (runners[0].rc != 0 && runners[1].rc != 0)
        return runners[0].rc;
    *out = runners[runners[0].rc == 0 ? 0 : 1].conn;
    return 0;
}

/* Splits the addresses by family, and races if there are two. Not inlined: its large
 * frame would otherwise be part of every dial. */
static WEFT__NOINLINE int dial_families(const weft__addrs *addrs, weft_time deadline,
                                        weft_conn **out)
{
    struct runner runners[2] = {0};
    int family = weft__addr_family(&addrs->at[0]);

    for (int i = 0; i < addrs->n; i++) {
        weft__addrs *to = &runners[weft__addr_family(&addrs->at[i]) != family].addrs;

        to->at[to->n++] = addrs->at[i];
    }
    if (runners[1].addrs.n == 0)
        return dial_in_turn(addrs, deadline, out);
    return race(runners, deadline, out);
}

static int dial(const char *addr, weft_time deadline, weft_conn **out)
{
    weft__addrs addrs;
    int rc = weft__resolve(addr, WEFT__TO_DIAL, SOCK_STREAM, deadline, &addrs);

    if (rc < 0)
        return rc;
    if (addrs.n == 1)
        return dial_one(&addrs.at[0], deadline, out);
    return dial_families(&addrs, deadline, out);
}

int weft_dial_until(const char *addr, weft_time deadline, weft_conn **out)
{
    int rc;

    weft__steps_begin("weft_dial");
    rc = dial(addr, deadline, out);
    weft__steps_end();
    return rc;
}
