/* SPDX-License-Identifier: MIT */
/* sock.h - a non-blocking socket of ours, its two directions, and waiting for them.
 *
 * Users hold a handle: the address of the socket with its generation in the 16 bits above the
 * address. The memory of a socket is never unmapped, and its next user has another generation.
 * So a call with the handle of a socket that was closed reads valid memory, finds another handle
 * there, and returns WEFT_ECLOSED for as long as the program runs. (After 65,535 generations the
 * memory, 256 bytes, is not used again.)
 *
 * A call on a socket is: enter, begin a turn, system calls with waits in between, end the turn.
 *
 *     weft__sock *s = weft__sock_at(handle);
 *
 *     t = weft__sock_enter("weft_conn_read");
 *     rc = weft__sock_begin(handle, WEFT__READ, t, deadline);
 *     if (rc == 0) {
 *         while (rc == 0 && (n = weft__sys_recv(...)) == -EAGAIN)
 *             rc = weft__sock_wait(s, WEFT__READ, t, deadline);
 *         weft__sock_end(s, WEFT__READ);
 *     }
 *     weft__exit_as(t);
 */
#ifndef WEFT_SOCK_H
#define WEFT_SOCK_H

#include "runtime/io/addr.h"
#include "runtime/sched/park.h"

#include <weft/net.h>

#include <netinet/in.h>
#include <sys/socket.h>

enum weft__direction { WEFT__READ, WEFT__WRITE };
enum { WEFT__SHUT = 1 }; /* result of begin and wait: this direction was shut down by our side */

/* One direction. One task at a time has the turn; only that one waits for the descriptor. */
typedef struct weft__side {
    weft__waiter *io;   /* of the task that has the turn and waits, or NULL; index != 0: for fd */
    weft__waitq turns;  /* tasks that wait for the turn */
    weft_time deadline; /* of connections and UDP; read without the lock, too */
    bool busy;          /* a task has the turn */
    bool shut;          /* before the system is told; read without the lock, too */
    bool drained;       /* the last read got less than it asked for; by the task with the turn */
    bool nudged;        /* makes the next wait return 0 at once */
    uint8_t vain;       /* events in a row that found no task waiting */
} weft__side;

typedef struct weft__sock weft__sock;

struct weft__sock {
    uint32_t lock; /* rank OBJECT; guards what follows unless it says otherwise */
    uint16_t generation;
    void *handle;   /* NULL: nobody uses this memory */
    int fd;         /* constant */
    uint32_t users; /* calls under way; the last to leave a closed socket ends it */
    uint8_t armed;  /* events that poll watches; written by home's owner */
    bool closed;
    bool posted;        /* mail is on its way to home */
    weft__proc *home;   /* whose loop watches; set once, by the first wait */
    weft__pollfd *poll; /* written by home's owner */
    weft__mail mail;
    weft__waiter *closer; /* waits for the end, or NULL */
    weft__side side[2];
    void (*gone)(weft__sock *s); /* constant: before the descriptor is closed; or NULL */
    weft__sock *next, *prev;     /* all sockets, or all unused; guarded by the registry's lock */
};

enum { WEFT__SOCK_ADDRESS_BITS = 48, WEFT__SOCK_SIZE = 256 /* bytes of any kind of socket */ };

/* Returns where the socket of that handle is or was. */
static inline void *weft__sock_at(const void *handle)
{
    return (void *)((uintptr_t)handle & ((UINT64_C(1) << WEFT__SOCK_ADDRESS_BITS) - 1));
}

struct weft_conn {
    weft__sock sock;
    struct sockaddr_in6 peer; /* or a sockaddr_in, or the family alone; constant */
};

/* sock.c */
weft__task *weft__sock_enter(const char *call); /* panics on a thread that is no task */
/* Makes the first member of an object of WEFT__SOCK_SIZE zeroed bytes, which owns fd from here on.
 * NULL: there is no memory, and fd was closed. */
void *weft__sock_new(int fd);
/* Takes the turn. 0; WEFT__SHUT; WEFT_ETIMEDOUT; WEFT_ECANCELED; WEFT_ECLOSED. *deadline is read
 * under the lock. That of the side itself, once past, fails at once, unless it is WEFT_NOW. */
int weft__sock_begin(const void *handle, enum weft__direction d, weft__task *t,
                     const weft_time *deadline);
/* Waits for the descriptor. Returns 0 when it may be ready (possibly spurious: try again); else as
 * begin; or a UV_E*. */
int weft__sock_wait(weft__sock *s, enum weft__direction d, weft__task *t,
                    const weft_time *deadline);
/* Sleeps, with the turn; 0 or as begin. */
int weft__sock_pause(weft__sock *s, enum weft__direction d, weft__task *t, weft_time until);
void weft__sock_end(weft__sock *s, enum weft__direction d); /* only after a begin that gave 0 */
/* Keeps the socket and its descriptor in place until release. 0 or WEFT_ECLOSED. */
int weft__sock_hold(const void *handle);
void weft__sock_release(weft__sock *s);
/* Makes the wait for d that is under way, or else the next one, return 0, so that the waiting task
 * reads what the caller stored before. By any task. */
void weft__sock_nudge(const void *handle, enum weft__direction d);
/* Does nothing to a socket that was closed. */
void weft__sock_set_deadline(const void *handle, enum weft__direction d, weft_time when);
void weft__sock_shut(weft__sock *s, enum weft__direction d); /* only between hold and release */
/* Wakes all and frees the socket once they have left. Panics if it was closed before. waits:
 * returns when the descriptor is closed. */
void weft__sock_close(const void *handle, weft__task *t, const char *what, bool waits);
/* Returns the address of our end; all zero if the socket was closed. */
weft_addr weft__sock_local(const void *handle, const char *call);
void weft__socks_discard(void); /* at the end of a run, when no worker is left */

/* System calls: a count >= 0 or the negative errno; interruptions are not seen. sys.c */
ssize_t weft__sys_recv(int fd, void *buf, size_t n);
ssize_t weft__sys_recvfrom(int fd, void *buf, size_t n, struct sockaddr *from, socklen_t *len);
ssize_t weft__sys_send(int fd, const void *buf, size_t n, int flags);
ssize_t weft__sys_sendto(int fd, const void *buf, size_t n, const struct sockaddr *to,
                         socklen_t len);
ssize_t weft__sys_sendmsg(int fd, const struct msghdr *msg);
int weft__sys_accept(int fd, struct sockaddr *from, socklen_t *len);
int weft__sys_connect(int fd, const struct sockaddr *to, socklen_t len);
int weft__sys_socket(int family, int type);
int weft__sys_bind(int fd, const struct sockaddr *at, socklen_t len);
int weft__sys_listen(int fd);

/* net.c */
weft_conn *weft__conn_new(int fd, const struct sockaddr *peer); /* NULL as weft__sock_new */
/* Binds a new socket to the first address that can be had; the descriptor. */
int weft__bound(const weft__addrs *addrs, int type, const weft_listen_options *options);

/* sockopt.c */
void weft__tcp_options(int fd); /* sets what every connection has */
/* Makes a descriptor of the program's what weft__sock_new takes, if it is a socket of that
 * type, which listens or not. 0; WEFT_EINVAL; a negative errno. */
int weft__sock_adopt(int fd, int type, bool listens);

#endif
