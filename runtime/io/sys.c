/* SPDX-License-Identifier: MIT */
/* sys.c - system calls on sockets, whose errors are negative results instead of errno.
 *
 * Owns no state; any thread may call. No call here blocks, since all our sockets are non-blocking.
 *
 * Each is a function that the compiler must not inline. The address of errno belongs to a thread,
 * and compilers compute it once in a function; but the calling task may change threads in a wait
 * between two calls. */
#include "runtime/io/sock.h"

#include <errno.h>

/* Returns the value of a call from the function, and repeats the call while signals interrupt
 * it. */
#define SYS_RETURN(call)                                                                           \
    do {                                                                                           \
        ssize_t rc_;                                                                               \
        do                                                                                         \
            rc_ = (call);                                                                          \
        while (rc_ < 0 && errno == EINTR);                                                         \
        return rc_ < 0 ? -errno : rc_;                                                             \
    } while (0)

#define SYS_RETURN_INT(call)                                                                       \
    do {                                                                                           \
        int rc_;                                                                                   \
        do                                                                                         \
            rc_ = (call);                                                                          \
        while (rc_ < 0 && errno == EINTR);                                                         \
        return rc_ < 0 ? -errno : rc_;                                                             \
    } while (0)

WEFT__NOINLINE ssize_t weft__sys_recv(int fd, void *buf, size_t n)
{
    SYS_RETURN(recv(fd, buf, n, 0));
}

/* Returns the length of the datagram even if it was more than n (MSG_TRUNC), so that the caller can
 * tell that the datagram was cut. */
WEFT__NOINLINE ssize_t weft__sys_recvfrom(int fd, void *buf, size_t n, struct sockaddr *from,
                                          socklen_t *len)
{
    SYS_RETURN(recvfrom(fd, buf, n, MSG_TRUNC, from, len));
}

/* MSG_NOSIGNAL, here and below: a peer that closes must not end the program by SIGPIPE. */
WEFT__NOINLINE ssize_t weft__sys_send(int fd, const void *buf, size_t n, int flags)
{
    SYS_RETURN(send(fd, buf, n, flags | MSG_NOSIGNAL));
}

WEFT__NOINLINE ssize_t weft__sys_sendto(int fd, const void *buf, size_t n,
                                        const struct sockaddr *to, socklen_t len)
{
    SYS_RETURN(sendto(fd, buf, n, MSG_NOSIGNAL, to, len));
}

WEFT__NOINLINE ssize_t weft__sys_sendmsg(int fd, const struct msghdr *msg)
{
    SYS_RETURN(sendmsg(fd, msg, MSG_NOSIGNAL));
}

WEFT__NOINLINE int weft__sys_accept(int fd, struct sockaddr *from, socklen_t *len)
{
    SYS_RETURN_INT(accept4(fd, from, len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

WEFT__NOINLINE int weft__sys_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    SYS_RETURN_INT(connect(fd, to, len));
}

WEFT__NOINLINE int weft__sys_socket(int family, int type)
{
    SYS_RETURN_INT(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

WEFT__NOINLINE int weft__sys_bind(int fd, const struct sockaddr *at, socklen_t len)
{
    SYS_RETURN_INT(bind(fd, at, len));
}

WEFT__NOINLINE int weft__sys_listen(int fd)
{
    SYS_RETURN_INT(listen(fd, INT32_MAX)); /* the kernel lowers it to net.core.somaxconn */
}
