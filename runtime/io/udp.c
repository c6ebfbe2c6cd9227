/* SPDX-License-Identifier: MIT */
/* udp.c - datagram sockets.
 *
 * Owns: weft_udp, a socket (sock.h) and its family. It has no lock of its own.
 * Tasks and foreign threads call these functions, several at a time on one socket: the turns of
 * each direction put them in order. recv, send and close may wait; so may listen and dial, for a
 * name.
 *
 * A call tries first and waits on EAGAIN. A datagram comes or goes whole, so nothing is resumed. */
#include "runtime/io/sock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct weft_udp {
    weft__sock sock;
    int family; /* constant */
};

_Static_assert(sizeof(struct weft_udp) <= WEFT__SOCK_SIZE, "fits");

/* Returns the family of a socket; AF_UNSPEC if the kernel does not tell. */
static int family_of(int fd)
{
    struct sockaddr_storage raw = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(raw);

    getsockname(fd, (struct sockaddr *)&raw, &len);
    return raw.ss_family;
}

/* Makes a socket of fd, which it owns from here on. Returns 0 or WEFT_ENOMEM. */
static int udp_new(int fd, int family, weft_udp **out)
{
    weft_udp *u = weft__sock_new(fd);

    if (!u)
        return WEFT_ENOMEM;
    u->family = family;
    *out = u->sock.handle;
    return 0;
}

static int listen_at(const weft__addrs *addrs, const weft_listen_options *options, weft_udp **out)
{
    weft__task *t = weft__sock_enter("weft_udp_listen");
    int rc = weft__bound(addrs, SOCK_DGRAM, options);

    if (rc >= 0)
        rc = udp_new(rc, family_of(rc), out);
    weft__exit_as(t);
    return rc;
}

int weft_udp_listen_with(const char *addr, const weft_listen_options *options, weft_udp **out)
{
    weft__addrs addrs;
    int rc;

    weft__steps_begin("weft_udp_listen");
    rc = weft__resolve(addr, WEFT__TO_LISTEN, SOCK_DGRAM, WEFT_FOREVER, &addrs);
    if (rc == 0)
        rc = listen_at(&addrs, options, out);
    weft__steps_end();
    return rc;
}

int weft_udp_adopt(int fd, weft_udp **out)
{
    weft__task *t = weft__sock_enter("weft_udp_adopt");
    int rc = weft__sock_adopt(fd, SOCK_DGRAM, false);

    if (rc == 0)
        rc = udp_new(fd, family_of(fd), out);
    weft__exit_as(t);
    return rc;
}

/* Returns a new socket that is connected to a, or a negative errno. Connecting sends nothing: it
 * fixes the peer, and makes the kernel report the peer's ICMP errors. */
static int connected(const weft_addr *a)
{
    int fd = weft__sys_socket(weft__addr_family(a), SOCK_DGRAM), rc;

    if (fd < 0)
        return fd;
    rc = weft__sys_connect(fd, weft__addr_raw(a), a->_len);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* Connects to the first of the addresses that can be. */
static int dial_any(const weft__addrs *addrs, weft_udp **out)
{
    weft__task *t = weft__sock_enter("weft_udp_dial");
    int rc = WEFT_EINVAL;

    for (int i = 0; i < addrs->n; i++) {
        rc = connected(&addrs->at[i]);
        if (rc >= 0) {
            rc = udp_new(rc, weft__addr_family(&addrs->at[i]), out);
            break;
        }
    }
    weft__exit_as(t);
    return rc;
}

int weft_udp_dial_until(const char *addr, weft_time deadline, weft_udp **out)
{
    weft__addrs addrs;
    int rc;

    weft__steps_begin("weft_udp_dial");
    rc = weft__resolve(addr, WEFT__TO_DIAL, SOCK_DGRAM, deadline, &addrs);
    if (rc == 0)
        rc = dial_any(&addrs, out);
    weft__steps_end();
    return rc;
}

/* Receives a datagram, with the turn. */
static ssize_t recv_one(weft_udp *u, weft__task *t, void *buf, size_t n, weft_addr *from)
{
    weft__side *side = &u->sock.side[WEFT__READ];
    struct sockaddr_storage raw;
    ssize_t got;
    int rc = 0;

    while (rc == 0) {
        socklen_t len = sizeof(raw);

        got = weft__sys_recvfrom(u->sock.fd, buf, n, (struct sockaddr *)&raw, &len);
        if (got >= 0 && from)
            *from = weft__addr_from(&raw, len);
        if (got != -EAGAIN)
            return got;
        rc = weft__sock_wait(&u->sock, WEFT__READ, t, &side->deadline);
    }
    return rc;
}

ssize_t weft_udp_recv(weft_udp *handle, void *buf, size_t n, weft_addr *from)
{
    weft_udp *u = weft__sock_at(handle);
    weft__task *t = weft__sock_enter("weft_udp_recv");
    ssize_t rc = weft__sock_begin(handle, WEFT__READ, t, &u->sock.side[WEFT__READ].deadline);

    if (rc == 0) {
        rc = recv_one(u, t, buf, n, from);
        weft__sock_end(&u->sock, WEFT__READ);
    }
    weft__exit_fairly(t);
    return rc;
}

/* Writes the target in the form that the socket takes, and returns its length. A socket of IPv6
 * that also serves IPv4 takes an IPv4 address as one of IPv6, ::ffff:a.b.c.d. */
static socklen_t raw_target(const weft_udp *u, const weft_addr *to, struct sockaddr_storage *raw)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    memcpy(raw, to->_bytes, to->_len);
    if (u->family != AF_INET6 || weft__addr_family(to) != AF_INET)
        return to->_len;
    memcpy(&in, to->_bytes, sizeof(in));
    in6.sin6_port = in.sin_port;
    in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&in6.sin6_addr.s6_addr[12], &in.sin_addr, sizeof(in.sin_addr));
    memcpy(raw, &in6, sizeof(in6));
    return sizeof(in6);
}

/* Sends a datagram, with the turn. to: NULL for a connected socket. */
static int send_one(weft_udp *u, weft__task *t, const void *buf, size_t n, const weft_addr *to)
{
    weft__side *side = &u->sock.side[WEFT__WRITE];
    struct sockaddr_storage raw;
    socklen_t len = to ? raw_target(u, to, &raw) : 0;
    ssize_t put;
    int rc = 0;

    while (rc == 0) {
        put = weft__sys_sendto(u->sock.fd, buf, n, to ? (struct sockaddr *)&raw : NULL, len);
        if (put >= 0)
            return 0;
        if (put != -EAGAIN)
            return (int)put;
        rc = weft__sock_wait(&u->sock, WEFT__WRITE, t, &side->deadline);
    }
    return rc;
}

int weft_udp_send(weft_udp *handle, const void *buf, size_t n, const weft_addr *to)
{
    weft_udp *u = weft__sock_at(handle);
    weft__task *t = weft__sock_enter("weft_udp_send");
    int rc = weft__sock_begin(handle, WEFT__WRITE, t, &u->sock.side[WEFT__WRITE].deadline);

    if (rc == 0) {
        rc = send_one(u, t, buf, n, to);
        weft__sock_end(&u->sock, WEFT__WRITE);
    }
    weft__exit_fairly(t);
    return rc;
}

void weft_udp_set_deadline(weft_udp *u, weft_time when)
{
    weft__task *t = weft__sock_enter("weft_udp_set_deadline");

    weft__sock_set_deadline(u, WEFT__READ, when);
    weft__sock_set_deadline(u, WEFT__WRITE, when);
    weft__exit_as(t);
}

weft_addr weft_udp_local(weft_udp *u)
{
    return weft__sock_local(u, "weft_udp_local");
}

void weft_udp_close(weft_udp *u)
{
    weft__task *t;

    if (!u)
        return;
    t = weft__sock_enter("weft_udp_close");
    weft__sock_close(u, t, "UDP socket", true);
    weft__exit_as(t);
}
