/* SPDX-License-Identifier: MIT */
/* net.c - stream sockets: listeners and connections, over TCP and unix sockets.
 *
 * Owns: weft_listener and weft_conn, which are sockets (sock.h) with a few constant fields. There
 * is no lock here: the turns of a socket put the calls of several tasks in order, and sock.c has
 * the lock.
 * Tasks and foreign threads call the public functions at any time, several at a time on one socket,
 * and hold no lock.
 * accept, read, write, the close of a listener and, for a name, listen may wait; the others do not.
 *
 * A call that may wait tries first and waits on EAGAIN. A read has one exception: if the last read
 * got less than it asked for, the socket was empty, so the next read waits before it tries. So a
 * request in steady traffic costs one read and one write. */
#include "runtime/base/log.h"
#include "runtime/io/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* After this many lost connections in a row accept pauses: a flood of them must not keep the
 * processor busy. */
enum { LOST_AT_ONCE = 16 };
/* The pauses of an accept that lacks a descriptor or memory, doubled from the least to the most.
 * Trying again at once would only burn the CPU that could free what is missing. */
enum { BACKOFF_MIN = 5 * 1000000, BACKOFF_MAX = 1000 * 1000000 }; /* ns */

struct weft_listener {
    weft__sock sock;
    /* The file of a unix socket, or NULL, and the identity of the file: another program may have
     * put a file of the same name there when we close. Constant. */
    char *path;
    dev_t dev;
    ino_t ino;
    weft_time say_after[2]; /* when the next line about errors may be written, for lost connections
                             * and for missing resources; used by the task with the turn only */
};

_Static_assert(sizeof(struct weft_listener) <= WEFT__SOCK_SIZE, "fits");
_Static_assert(sizeof(struct weft_conn) <= WEFT__SOCK_SIZE, "fits");

/* Listening ------------------------------------------------------------------------------------ */

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value));
}

/* Returns whether the file of a unix socket is left from a program that has ended: connecting to it
 * is refused. */
static bool is_stale(const weft_addr *a)
{
    int fd = weft__sys_socket(AF_UNIX, SOCK_STREAM), rc;

    if (fd < 0)
        return false;
    rc = weft__sys_connect(fd, weft__addr_raw(a), a->_len);
    close(fd);
    return rc == -ECONNREFUSED;
}

/* Returns the path of a unix address; NULL for other families and for abstract names. */
static const char *file_of(const weft_addr *a)
{
    const char *path = (const char *)a->_bytes + offsetof(struct sockaddr_un, sun_path);

    return weft__addr_family(a) == AF_UNIX && path[0] ? path : NULL;
}

/* Binds fd to a. Replaces the file of a unix socket if no program accepts on it: a server that was
 * killed could not be started again otherwise. */
static int bind_stream(int fd, const weft_addr *a)
{
    struct stat st;
    int rc;

    if (file_of(a))
        fchmod(fd, S_IRUSR | S_IWUSR); /* the file gets the socket's mode: only the user connects */
    rc = weft__sys_bind(fd, weft__addr_raw(a), a->_len);
    if (rc != -EADDRINUSE || !file_of(a) || stat(file_of(a), &st) != 0 || !S_ISSOCK(st.st_mode) ||
        !is_stale(a))
        return rc;
    unlink(file_of(a));
    return weft__sys_bind(fd, weft__addr_raw(a), a->_len);
}

/* Returns whether an IPv6 address is "::", which stands for all addresses of the machine. */
static bool is_any(const weft_addr *a)
{
    const struct sockaddr_in6 *in = (const void *)weft__addr_raw(a);

    return IN6_IS_ADDR_UNSPECIFIED(&in->sin6_addr);
}

/* Makes a socket, binds it to a, and has it listen if it is a stream socket. Returns the descriptor
 * or a negative errno. "::" also takes IPv4, so that one listener serves both; any other IPv6
 * address takes IPv6 alone. SO_REUSEADDR lets a restarted server bind while connections of the old
 * one are in TIME_WAIT. */
static int bind_one(const weft_addr *a, int type, const weft_listen_options *options)
{
    int family = weft__addr_family(a), fd = weft__sys_socket(family, type), rc;

    if (fd < 0)
        return fd;
    if (family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any(a));
    if (type == SOCK_STREAM && family != AF_UNIX) {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        weft__tcp_options(fd); /* accepted sockets inherit them */
    }
    if (options && options->reuse_port)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    rc = bind_stream(fd, a);
    if (rc == 0 && type == SOCK_STREAM)
        rc = weft__sys_listen(fd);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

/* The error of the first address is the one to report: the later addresses are substitutes. */
int weft__bound(const weft__addrs *addrs, int type, const weft_listen_options *options)
{
    int rc = WEFT_EINVAL, first = 0;

    for (int i = 0; i < addrs->n; i++) {
        rc = bind_one(&addrs->at[i], type, options);
        if (rc >= 0)
            return rc;
        if (i == 0)
            first = rc;
    }
    return first < 0 ? first : rc;
}

/* Removes the file of a unix socket, unless another program has put its own file there meanwhile.
 * Called before the descriptor is closed. */
static void unlink_path(weft__sock *s)
{
    weft_listener *ln = (weft_listener *)s;
    struct stat st;

    if (stat(ln->path, &st) == 0 && st.st_dev == ln->dev && st.st_ino == ln->ino)
        unlink(ln->path);
    free(ln->path);
}

/* Makes a listener of fd, which it owns from here on. path: the file of its unix socket, which the
 * listener removes at its end, or NULL. Without memory for the path the file stays, and the next
 * start finds it stale. */
static int listener_new(int fd, const char *path, weft_listener **out)
{
    weft_listener *ln = weft__sock_new(fd);
    struct stat st;

    if (!ln)
        return WEFT_ENOMEM;
    if (path && stat(path, &st) == 0 && (ln->path = strdup(path)) != NULL) {
        ln->dev = st.st_dev;
        ln->ino = st.st_ino;
        ln->sock.gone = unlink_path;
    }
    *out = ln->sock.handle;
    return 0;
}

static int listen_at(const weft__addrs *addrs, const weft_listen_options *options,
                     weft_listener **out)
{
    weft__task *t = weft__sock_enter("weft_listen");
    int rc = weft__bound(addrs, SOCK_STREAM, options);

    if (rc >= 0)
        rc = listener_new(rc, file_of(&addrs->at[0]), out);
    weft__exit_as(t);
    return rc;
}

int weft_listen_with(const char *addr, const weft_listen_options *options, weft_listener **out)
{
    weft__addrs addrs;
    int rc;

    weft__steps_begin("weft_listen");
    rc = weft__resolve(addr, WEFT__TO_LISTEN, SOCK_STREAM, WEFT_FOREVER, &addrs);
    if (rc == 0)
        rc = listen_at(&addrs, options, out);
    weft__steps_end();
    return rc;
}

int weft_listener_adopt(int fd, weft_listener **out)
{
    weft__task *t = weft__sock_enter("weft_listener_adopt");
    int rc = weft__sock_adopt(fd, SOCK_STREAM, true);

    if (rc == 0)
        rc = listener_new(fd, NULL, out); /* the program that made a socket's file removes it */
    weft__exit_as(t);
    return rc;
}

/* shutdown(2) makes the kernel refuse new connections at once, while the descriptor stays in place
 * for calls that are under way. */
void weft_listener_shutdown(weft_listener *ln)
{
    weft__task *t = weft__sock_enter("weft_listener_shutdown");
    weft__sock *s = weft__sock_at(ln);

    if (weft__sock_hold(ln) == 0) {
        weft__sock_shut(s, WEFT__READ);
        shutdown(s->fd, SHUT_RDWR);
        weft__sock_release(s);
    }
    weft__exit_as(t);
}

void weft_listener_close(weft_listener *ln)
{
    weft__task *t;

    if (!ln)
        return;
    t = weft__sock_enter("weft_listener_close");
    weft__sock_close(ln, t, "listener", true);
    weft__exit_as(t);
}

weft_addr weft_listener_addr(weft_listener *ln)
{
    return weft__sock_local(ln, "weft_listener_addr");
}

/* Accepting ------------------------------------------------------------------------------------ */

/* Returns whether an error of accept(2) was caused by its caller, so that trying again is
 * useless. */
static bool is_final(int rc)
{
    return rc == -EBADF || rc == -EFAULT || rc == -ENOTSOCK || rc == -EOPNOTSUPP;
}

/* Returns whether the process or the system lacks a resource. The connections stay in the backlog,
 * so a later try finds them. ENOSPC means that epoll may watch no more descriptors. */
static bool is_exhausted(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM || rc == -ENOSPC;
}

/* Returns whether the error belongs to one connection: the peer reset it before the accept, or its
 * network failed. Such errors are everyday events, so stderr need not mention them. */
static bool is_common(int rc)
{
    return rc == -ECONNABORTED || rc == -EPROTO || rc == -ENETDOWN || rc == -ENOPROTOOPT ||
           rc == -EHOSTDOWN || rc == -ENONET || rc == -EHOSTUNREACH || rc == -ENETUNREACH ||
           rc == -ETIMEDOUT;
}

weft_conn *weft__conn_new(int fd, const struct sockaddr *peer)
{
    weft_conn *c = weft__sock_new(fd);

    if (!c)
        return NULL;
    memcpy(&c->peer, peer, peer->sa_family == AF_UNIX ? sizeof(peer->sa_family) : sizeof(c->peer));
    return c;
}

/* Makes a connection of fd and writes its handle. Returns 0 or -ENOMEM, which accept treats as any
 * lack of a resource. */
static int conn_made(int fd, const struct sockaddr *peer, weft_conn **out)
{
    weft_conn *c = weft__conn_new(fd, peer);

    if (!c)
        return -ENOMEM;
    *out = c->sock.handle;
    return 0;
}

int weft_conn_adopt(int fd, weft_conn **out)
{
    weft__task *t = weft__sock_enter("weft_conn_adopt");
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    socklen_t len = sizeof(peer);
    int rc = weft__sock_adopt(fd, SOCK_STREAM, false);

    if (rc == 0) {
        getpeername(fd, (struct sockaddr *)&peer, &len); /* fails if the peer has gone */
        rc = conn_made(fd, (struct sockaddr *)&peer, out);
    }
    weft__exit_as(t);
    return rc;
}

/* Says why accept fails, at most once a minute for each listener and kind of error: the
 * task that accepts retries by itself, so only this line tells the operator. */
static void say(weft__sock *s, int rc)
{
    weft_listener *ln = (weft_listener *)s;
    weft_time now = weft__nanos(), *after = &ln->say_after[is_exhausted(rc)];
    char at[WEFT_ADDR_TEXT];
    weft_addr local;

    if (now < *after)
        return;
    *after = now + 60 * WEFT_SECOND;
    local = weft__addr_local(s->fd);
    weft_addr_name(&local, at, sizeof(at));
    weft__log("weft: accept at %s: %s; it is tried again", at, weft_strerror(rc));
}

/* The state of the retries of one accept. */
struct patience {
    weft_duration backoff; /* the next pause for lack of a resource */
    unsigned lost;         /* connections in a row that failed */
};

/* Pauses after an error that is not final. Returns 0 if the caller should try again; else a code of
 * weft__sock_begin. */
static int accept_failed(weft__sock *s, weft__task *t, int rc, struct patience *p,
                         weft_time deadline)
{
    weft_duration pause = BACKOFF_MIN;
    weft_time now = weft__nanos();

    if (!is_common(rc))
        say(s, rc);
    if (is_exhausted(rc)) {
        pause = p->backoff;
        p->backoff = pause * 2 < BACKOFF_MAX ? pause * 2 : BACKOFF_MAX;
    } else if (++p->lost % LOST_AT_ONCE != 0) {
        return 0; /* only that connection is lost; the next may be in the backlog */
    }
    if (deadline <= now)
        return WEFT_ETIMEDOUT;
    return weft__sock_pause(s, WEFT__READ, t, deadline - now < pause ? deadline : now + pause);
}

/* Accepts a connection, with the turn. Returns 0 or a code. EINVAL of accept(2) means that our side
 * has shut the listener down; the wait then returns WEFT__SHUT. */
static int accept_one(weft__sock *s, weft__task *t, weft_time deadline, weft_conn **out)
{
    struct patience p = {BACKOFF_MIN, 0};
    struct sockaddr_storage peer;
    int fd, rc = 0;

    while (rc == 0) {
        socklen_t len = sizeof(peer);

        fd = weft__sys_accept(s->fd, (struct sockaddr *)&peer, &len);
        if (fd >= 0)
            fd = conn_made(fd, (struct sockaddr *)&peer, out);
        if (fd == 0)
            return 0;
        if (is_final(fd))
            return fd;
        if (fd == -EAGAIN || fd == -EINVAL) {
            rc = weft__sock_wait(s, WEFT__READ, t, &deadline);
            fd = is_exhausted(rc) ? rc : 0;
        }
        if (fd < 0)
            rc = accept_failed(s, t, fd, &p, deadline);
    }
    return rc;
}

int weft_accept_until(weft_listener *ln, weft_time deadline, weft_conn **out)
{
    weft__task *t = weft__sock_enter("weft_accept");
    weft__sock *s = weft__sock_at(ln);
    int rc = weft__sock_begin(ln, WEFT__READ, t, &deadline);

    if (rc == 0) {
        rc = accept_one(s, t, deadline, out);
        weft__sock_end(s, WEFT__READ);
    }
    weft__exit_fairly(t);
    return rc == WEFT__SHUT ? WEFT_ECLOSED : rc;
}

/* Reading and writing -------------------------------------------------------------------------- */

/* Reads at most n bytes, with the turn. Returns their number, 0 at the end of the stream, or a
 * code. A full buffer says nothing about the rest, so the next read tries first; only a short read
 * shows that the socket is empty. A deadline of WEFT_NOW always tries, as it cannot wait. */
static ssize_t read_some(weft__sock *s, weft__task *t, void *buf, size_t n)
{
    weft__side *side = &s->side[WEFT__READ];
    ssize_t got;
    int rc;

    for (;;) {
        if (!side->drained || weft__load(&side->deadline) == WEFT_NOW) {
            got = weft__sys_recv(s->fd, buf, n);
            if (got != -EAGAIN) {
                side->drained = got > 0 && (size_t)got < n;
                return got;
            }
        }
        rc = weft__sock_wait(s, WEFT__READ, t, &side->deadline);
        if (rc != 0)
            return rc == WEFT__SHUT ? 0 : rc;
        side->drained = false;
    }
}

/* Leaves the runtime fairly: a task that reads from a fast peer never waits, and yields here when
 * its time is up. The writes and the accept do the same. */
ssize_t weft_conn_read(weft_conn *c, void *buf, size_t n)
{
    weft__task *t = weft__sock_enter("weft_conn_read");
    weft__sock *s = weft__sock_at(c);
    int rc = weft__sock_begin(c, WEFT__READ, t, &s->side[WEFT__READ].deadline);
    ssize_t got = rc == WEFT__SHUT ? 0 : rc;

    if (rc == 0) {
        if (n > 0)
            got = read_some(s, t, buf, n);
        weft__sock_end(s, WEFT__READ);
    }
    weft__exit_fairly(t);
    return got;
}

/* Returns the code of a write that failed. EPIPE means WEFT__SHUT if another task has shut our side
 * down during the system call. */
static int write_error(weft__sock *s, ssize_t rc)
{
    return rc == -EPIPE && weft__load(&s->side[WEFT__WRITE].shut) ? WEFT__SHUT : (int)rc;
}

/* Waits for room in the socket's buffer, until the deadline of writes. */
static int write_wait(weft__sock *s, weft__task *t)
{
    return weft__sock_wait(s, WEFT__WRITE, t, &s->side[WEFT__WRITE].deadline);
}

/* Writes all n bytes, with the turn. After a short write the buffer is full: a try before the wait
 * would fail. */
static int write_all(weft__sock *s, weft__task *t, const char *buf, size_t n, int flags)
{
    ssize_t put;
    int rc = 0;

    while (rc == 0 && n > 0) {
        put = weft__sys_send(s->fd, buf, n, flags);
        if (put < 0 && put != -EAGAIN)
            return write_error(s, put);
        if (put > 0) {
            buf += put;
            n -= (size_t)put;
        }
        if (n > 0)
            rc = write_wait(s, t);
    }
    return rc;
}

/* Writes all vectors, with the turn, without changing iov, which is the caller's. If the kernel cut
 * a vector, its rest is written by write_all before the loop continues. MSG_MORE keeps that rest
 * from leaving in a packet of its own. BATCH is the most that the kernel takes (IOV_MAX). */
static int writev_all(weft__sock *s, weft__task *t, const struct iovec *iov, int n)
{
    enum { BATCH = 1024 };
    struct msghdr msg = {0};
    ssize_t put;
    int rc = 0;

    while (rc == 0 && n > 0) {
        msg.msg_iov = (struct iovec *)(uintptr_t)iov;
        msg.msg_iovlen = n < BATCH ? (size_t)n : BATCH;
        put = weft__sys_sendmsg(s->fd, &msg);
        if (put == -EAGAIN) {
            rc = write_wait(s, t);
            continue;
        }
        if (put < 0)
            return write_error(s, put);
        for (; n > 0 && (size_t)put >= iov->iov_len; n--, iov++)
            put -= (ssize_t)iov->iov_len;
        if (put > 0) {
            rc = write_all(s, t, (const char *)iov->iov_base + put, iov->iov_len - (size_t)put,
                           n > 1 ? MSG_MORE : 0);
            n--;
            iov++;
        }
    }
    return rc;
}

/* Writes for the named call. One task's vectors go out together, since it keeps the turn. */
static int write_as(weft_conn *c, const char *call, const struct iovec *iov, int n)
{
    weft__task *t = weft__sock_enter(call);
    weft__sock *s = weft__sock_at(c);
    int rc = weft__sock_begin(c, WEFT__WRITE, t, &s->side[WEFT__WRITE].deadline);

    if (rc == 0) {
        rc = n == 1 ? write_all(s, t, iov->iov_base, iov->iov_len, 0) : writev_all(s, t, iov, n);
        weft__sock_end(s, WEFT__WRITE);
    }
    weft__exit_fairly(t);
    return rc == WEFT__SHUT ? WEFT_ECLOSED : rc;
}

int weft_conn_write(weft_conn *c, const void *buf, size_t n)
{
    struct iovec all = {(void *)(uintptr_t)buf, n};

    return write_as(c, "weft_conn_write", &all, 1);
}

int weft_conn_writev(weft_conn *c, const struct iovec *iov, int n)
{
    return write_as(c, "weft_conn_writev", iov, n);
}

/* Calls beside reads and writes ---------------------------------------------------------------- */

static void set_deadlines(weft_conn *c, weft_time when, bool read, bool write)
{
    weft__task *t = weft__sock_enter("weft_conn_set_deadline");

    if (read)
        weft__sock_set_deadline(c, WEFT__READ, when);
    if (write)
        weft__sock_set_deadline(c, WEFT__WRITE, when);
    weft__exit_as(t);
}

void weft_conn_set_deadline(weft_conn *c, weft_time when)
{
    set_deadlines(c, when, true, true);
}

void weft_conn_set_read_deadline(weft_conn *c, weft_time when)
{
    set_deadlines(c, when, true, false);
}

void weft_conn_set_write_deadline(weft_conn *c, weft_time when)
{
    set_deadlines(c, when, false, true);
}

int weft_conn_shutdown(weft_conn *c, int how)
{
    weft__sock *s = weft__sock_at(c);
    weft__task *t;
    int rc;

    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return WEFT_EINVAL;
    t = weft__sock_enter("weft_conn_shutdown");
    rc = weft__sock_hold(c);
    if (rc == 0) {
        if (how != SHUT_WR)
            weft__sock_shut(s, WEFT__READ);
        if (how != SHUT_RD)
            weft__sock_shut(s, WEFT__WRITE);
        shutdown(s->fd, how); /* fails if the peer has gone, but our side is shut all the same */
        weft__sock_release(s);
    }
    weft__exit_as(t);
    return rc;
}

/* Does not wait for the end: no other program waits for the address of a connection. */
void weft_conn_close(weft_conn *c)
{
    weft__task *t;

    if (!c)
        return;
    t = weft__sock_enter("weft_conn_close");
    weft__sock_close(c, t, "connection", false);
    weft__exit_as(t);
}

weft_addr weft_conn_local(weft_conn *c)
{
    return weft__sock_local(c, "weft_conn_local");
}

/* Returns the peer's address. For TCP it is the copy of the accept, since a socket that was reset
 * no longer knows it. The address of a unix socket does not fit the copy, so the kernel is
 * asked. */
static weft_addr peer_of(const weft_conn *c)
{
    struct sockaddr_storage raw;
    socklen_t len = sizeof(raw);

    if (c->peer.sin6_family == AF_INET)
        return weft__addr_from(&c->peer, sizeof(struct sockaddr_in));
    if (c->peer.sin6_family == AF_INET6)
        return weft__addr_from(&c->peer, sizeof(c->peer));
    if (getpeername(c->sock.fd, (struct sockaddr *)&raw, &len) != 0)
        return (weft_addr){0};
    return weft__addr_from(&raw, len);
}

weft_addr weft_conn_peer(weft_conn *c)
{
    weft__task *t = weft__sock_enter("weft_conn_peer");
    weft_addr peer = {0};

    if (weft__sock_hold(c) == 0) {
        peer = peer_of(weft__sock_at(c));
        weft__sock_release(weft__sock_at(c));
    }
    weft__exit_as(t);
    return peer;
}
