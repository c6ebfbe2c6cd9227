/* SPDX-License-Identifier: MIT */
/* sock.h - a non-blocking socket of ours, its two directions, and waiting for them.
 *
 * Programs hold a handle: the address of the socket, with its generation in the 16 bits above the
 * address. The memory of a socket is never unmapped, and its next user has another generation. So
 * a call with the handle of a closed socket reads valid memory, finds another handle there, and
 * returns WEFT_ECLOSED for as long as the program runs. After 65,535 generations those 256 bytes
 * are not used again.
 *
 * Tasks and foreign threads call these functions, from inside the runtime (after weft__sock_enter),
 * and hold no lock. A wait needs the loop of a processor, which a foreign thread asks by mail, as a
 * task on another processor does. The end of a run calls weft__socks_discard alone.
 *
 * A call on a socket enters the runtime, takes a turn, makes system calls with waits in between,
 * and ends the turn:
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

#include "runtime/base/list.h"
#include "runtime/io/addr.h"
#include "runtime/sched/park.h"

#include <weft/net.h>

#include <netinet/in.h>
#include <sys/socket.h>

enum weft__direction { WEFT__READ, WEFT__WRITE };
/* A result of begin and wait: our side has shut this direction down. It is no error to a reader,
 * which returns the end of the stream, but is one to a writer. */
enum { WEFT__SHUT = 1 };

/* One direction of a socket. One task at a time has the turn; only that task makes system calls in
 * this direction and waits for the descriptor. Guarded by the socket's lock unless it says
 * otherwise. */
typedef struct weft__side {
    weft__waiter *io;   /* of the task that has the turn and waits, or NULL; its index is not 0 if
                         * the task waits for the descriptor, and 0 if it only pauses */
    weft__waitq turns;  /* tasks that wait for the turn */
    weft_time deadline; /* of connections and UDP sockets; read without the lock, too */
    bool busy;          /* a task has the turn */
    bool shut;          /* our side has shut it down; set before the system call, and read without
                         * the lock, too */
    bool drained;       /* the last read got less than it asked for, so the next one would most
                         * likely fail; used by the task with the turn only */
    bool nudged;        /* makes the next wait return 0 at once */
    uint8_t strays;     /* events in a row that found no task waiting */
} weft__side;

typedef struct weft__sock weft__sock;

struct weft__sock {
    uint32_t lock; /* rank OBJECT; guards what follows unless it says otherwise */
    uint16_t generation;
    void *handle;   /* NULL while the memory is unused */
    int fd;         /* constant */
    uint32_t users; /* calls under way; the last to leave a closed socket ends it */
    uint8_t armed;  /* the events that poll watches; written by home's owner */
    bool closed;
    bool posted;                 /* mail is on its way to home */
    weft__proc *home;            /* the processor whose loop watches; set once, by the first wait */
    weft__pollfd *poll;          /* the handle in that loop, or NULL; written by home's owner */
    weft__mail mail;             /* asks home to watch, or to end the socket */
    weft__waiter *closer;        /* of the task that waits for the end, or NULL */
    weft__side side[2];          /* by enum weft__direction */
    void (*gone)(weft__sock *s); /* called before the descriptor is closed, or NULL; constant */
    weft__link link;             /* of all sockets, or all unused; guarded by the registry's lock */
};

enum { WEFT__SOCK_ADDRESS_BITS = 48, WEFT__SOCK_SIZE = 256 /* bytes of any kind of socket */ };

/* Returns the address where the socket of that handle is or was. */
static inline void *weft__sock_at(const void *handle)
{
    return (void *)((uintptr_t)handle & ((UINT64_C(1) << WEFT__SOCK_ADDRESS_BITS) - 1));
}

struct weft_conn {
    weft__sock sock;
    struct sockaddr_in6 peer; /* or a sockaddr_in, or the family alone; constant */
};

/* sock.c */

/* Enters the runtime for a call on a socket and returns the calling task, or the record of a
 * foreign thread. weft__exit_as or weft__exit_fairly leaves the runtime again. */
weft__task *weft__sock_enter(const char *call);
/* Makes a socket of fd, which it owns from here on: the first member of an object of
 * WEFT__SOCK_SIZE bytes, the rest of which is zero. Returns NULL if there is no memory; then fd was
 * closed. */
void *weft__sock_new(int fd);
/* Takes the turn of a direction, after the tasks that asked before. Returns 0 with the turn; else
 * WEFT__SHUT, WEFT_ETIMEDOUT, WEFT_ECANCELED or WEFT_ECLOSED.
 *
 * deadline may point to the deadline of the side itself, which other tasks may change meanwhile: it
 * is read under the lock. Once that deadline is past, the call fails even if data are there, as in
 * Go; WEFT_NOW is the exception, since it means "try". */
int weft__sock_begin(const void *handle, enum weft__direction d, weft__task *t,
                     const weft_time *deadline);
/* Waits for the descriptor, with the turn. Returns 0 when it may be ready (possibly spurious:
 * retry); else the results of begin, or a UV_E* if the loop cannot watch it. */
int weft__sock_wait(weft__sock *s, enum weft__direction d, weft__task *t,
                    const weft_time *deadline);
/* Sleeps until an instant, with the turn. Returns 0 or the results of begin. */
int weft__sock_pause(weft__sock *s, enum weft__direction d, weft__task *t, weft_time until);
/* Gives the turn to the next task. Only after a begin that returned 0; s may be gone afterwards. */
void weft__sock_end(weft__sock *s, enum weft__direction d);
/* Keeps the socket and its descriptor in place until release, for a call that needs no turn.
 * Returns 0 or WEFT_ECLOSED. */
int weft__sock_hold(const void *handle);
void weft__sock_release(weft__sock *s);
/* Makes the wait for d that is under way, or else the next one, return 0. The waiting task then
 * sees the data that the caller stored before the call. Does nothing to a closed socket. */
void weft__sock_nudge(const void *handle, enum weft__direction d);
/* Sets the deadline of a direction, and wakes its waits if the new one is earlier. Does nothing to
 * a closed socket. */
void weft__sock_set_deadline(const void *handle, enum weft__direction d, weft_time when);
/* Marks a direction as shut down and wakes its waits. The caller holds the socket, and makes the
 * system call afterwards. */
void weft__sock_shut(weft__sock *s, enum weft__direction d);
/* Closes the socket: all its waits end with WEFT_ECLOSED, and the last call to leave it frees it.
 * With waits, returns only when the descriptor is closed. Panics if the socket was closed before;
 * `what` names the kind of socket in that text. */
void weft__sock_close(const void *handle, weft__task *t, const char *what, bool waits);
/* Returns the address of our end; all zero if the socket was closed. Enters the runtime itself. */
weft_addr weft__sock_local(const void *handle, const char *call);
/* Ends all sockets that are left. At the end of a run, when no worker is left. */
void weft__socks_discard(void);

/* sys.c. System calls: a result >= 0, or the negative errno. A call that a signal interrupts is
 * repeated. Every descriptor made here is non-blocking and close-on-exec. */
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

/* Makes a connection of fd, which it owns from here on. Returns NULL if there is no memory; then fd
 * was closed. */
weft_conn *weft__conn_new(int fd, const struct sockaddr *peer);
/* Binds a new socket to the first of the addresses that works; a stream socket listens, too.
 * Returns the descriptor, or the error of the first address. */
int weft__bound(const weft__addrs *addrs, int type, const weft_listen_options *options);

/* sockopt.c */

/* Sets the options that every TCP connection has. */
void weft__tcp_options(int fd);
/* Prepares a descriptor of the program for weft__sock_new, if it is a socket of this type that
 * listens, or does not. Returns 0, WEFT_EINVAL, or a negative errno; the descriptor stays open. */
int weft__sock_adopt(int fd, int type, bool listens);

#endif
