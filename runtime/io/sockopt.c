/* SPDX-License-Identifier: MIT */
/* sockopt.c - makes sockets of the program's descriptors, returns the descriptors of sockets, and
 * sets options.
 *
 * Owns no state. Tasks and foreign threads call the public functions at any time, also while other
 * tasks use the socket: each call holds the socket (sock.h) while it uses the descriptor, so a
 * concurrent close cannot give the number to another file. None of them waits. */
#include "runtime/io/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>

enum { KEEPALIVE_SECONDS = 15 };

/* Descriptors ---------------------------------------------------------------------------------- */

/* These three read errno and are not inlined: the calling task may have changed threads since it
 * began, and a compiler keeps the address of the old thread's errno (self.c). */
static WEFT__NOINLINE int get(int fd, int level, int option, int *value)
{
    socklen_t len = sizeof(*value);

    return getsockopt(fd, level, option, value, &len) == 0 ? 0 : -errno;
}

static WEFT__NOINLINE int set(int fd, int level, int option, const void *value, socklen_t len)
{
    return setsockopt(fd, level, option, value, len) == 0 ? 0 : -errno;
}

static WEFT__NOINLINE int set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return 0;
}

/* No Nagle: a request or an answer should leave at once. Keep-alive: a peer that vanished must not
 * keep its task for ever. Errors are ignored, since a socket that refuses an option works without
 * it. */
void weft__tcp_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_SECONDS},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        set(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

int weft__sock_adopt(int fd, int type, bool listens)
{
    int is = 0, accepts = 0, family = 0, rc;

    if ((rc = get(fd, SOL_SOCKET, SO_TYPE, &is)) < 0 ||
        (rc = get(fd, SOL_SOCKET, SO_DOMAIN, &family)) < 0 ||
        (rc = get(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts)) < 0)
        return rc;
    if (is != type || (accepts != 0) != listens)
        return WEFT_EINVAL;
    if (type == SOCK_STREAM && (family == AF_INET || family == AF_INET6))
        weft__tcp_options(fd);
    return set_flags(fd);
}

/* Returns the descriptor of that handle's socket, or WEFT_ECLOSED. */
static int fd_of(void *handle, const char *call)
{
    weft__task *t = weft__sock_enter(call);
    int rc = weft__sock_hold(handle);

    if (rc == 0) {
        rc = ((weft__sock *)weft__sock_at(handle))->fd;
        weft__sock_release(weft__sock_at(handle));
    }
    weft__exit_as(t);
    return rc;
}

int weft_conn_fd(weft_conn *c)
{
    return fd_of(c, "weft_conn_fd");
}

int weft_listener_fd(weft_listener *ln)
{
    return fd_of(ln, "weft_listener_fd");
}

int weft_udp_fd(weft_udp *u)
{
    return fd_of(u, "weft_udp_fd");
}

/* Options -------------------------------------------------------------------------------------- */

/* Sets an option of that handle's socket. Returns 0, WEFT_ECLOSED, or a negative errno. */
static int set_on(void *handle, const char *call, int level, int option, const void *value,
                  socklen_t len)
{
    weft__task *t = weft__sock_enter(call);
    int rc = weft__sock_hold(handle);

    if (rc == 0) {
        rc = set(((weft__sock *)weft__sock_at(handle))->fd, level, option, value, len);
        weft__sock_release(weft__sock_at(handle));
    }
    weft__exit_as(t);
    return rc;
}

static int set_int(void *handle, const char *call, int level, int option, int value)
{
    return set_on(handle, call, level, option, &value, sizeof(value));
}

int weft_conn_set_no_delay(weft_conn *c, bool on)
{
    return set_int(c, "weft_conn_set_no_delay", IPPROTO_TCP, TCP_NODELAY, on);
}

/* Rounds up to the whole seconds that the system counts in; 32,767 are the most that it takes. */
int weft_conn_set_keep_alive(weft_conn *c, weft_duration idle)
{
    static const char call[] = "weft_conn_set_keep_alive";
    int64_t seconds = idle / WEFT_SECOND + (idle % WEFT_SECOND > 0);
    int rc;

    if (idle <= 0)
        return set_int(c, call, SOL_SOCKET, SO_KEEPALIVE, 0);
    if (seconds > 32767)
        return WEFT_EINVAL;
    if ((rc = set_int(c, call, IPPROTO_TCP, TCP_KEEPIDLE, (int)seconds)) < 0 ||
        (rc = set_int(c, call, IPPROTO_TCP, TCP_KEEPINTVL, (int)seconds)) < 0)
        return rc;
    return set_int(c, call, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* Refuses a time above 0: close(2) would then block the whole processor for as long. 0 makes the
 * close reset the connection. */
int weft_conn_set_linger(weft_conn *c, weft_duration time)
{
    struct linger l = {.l_onoff = time == 0};

    if (time > 0)
        return WEFT_EINVAL;
    return set_on(c, "weft_conn_set_linger", SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}
