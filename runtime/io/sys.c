/* SPDX-License-Identifier: MIT */
/* sys.c - system calls on sockets. Each is a function of its own that the compiler may not merge
 * with its caller: errno's address is the thread's, and a caller may wake up on another. */
#include "runtime/io/sock.h"

#include <errno.h>

/* The value of a call, repeated while signals interrupt it. */
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

/* Returns the length of the datagram, also if it was more than n. */
WEFT__NOINLINE ssize_t weft__sys_recvfrom(int fd, void *buf, size_t n, struct sockaddr *from,
                                          socklen_t *len)
{
    SYS_RETURN(recvfrom(fd, buf, n, MSG_TRUNC, from, len));
}

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
    SYS_RETURN_INT(listen(fd, INT32_MAX)); /* the kernel cuts it to its somaxconn */
}
