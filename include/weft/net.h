/* SPDX-License-Identifier: MIT */
/* weft/net.h - TCP, unix and UDP sockets that look blocking.
 *
 *     static void echo(void *c)
 *     {
 *         char buf[100];
 *         ssize_t n;
 *
 *         while ((n = weft_conn_read(c, buf, sizeof(buf))) > 0 && weft_conn_write(c, buf, n) == 0)
 *             continue;
 *         weft_conn_close(c);
 *     }
 *
 *     static void serve(void *ln)
 *     {
 *         weft_conn *c;
 *
 *         while (weft_accept(ln, &c) == 0)
 *             weft_go(echo, c);
 *     }
 *
 *     static int ask(void *arg)
 *     {
 *         char name[WEFT_ADDR_TEXT], answer[5];
 *         weft_listener *ln;
 *         weft_addr at;
 *         weft_conn *c;
 *
 *         if (weft_listen("127.0.0.1:0", &ln) < 0)
 *             return 1;
 *         weft_go(serve, ln);
 *         at = weft_listener_addr(ln);
 *         weft_addr_name(&at, name, sizeof(name));
 *         if (weft_dial_until(name, weft_after(WEFT_SECOND), &c) < 0)
 *             return 1;
 *         weft_conn_set_deadline(c, weft_after(WEFT_SECOND)); // of both calls below
 *         if (weft_conn_write(c, "hello", 5) < 0 || weft_conn_read(c, answer, 5) <= 0)
 *             return 1;
 *         weft_conn_close(c);
 *         weft_listener_close(ln);
 *         return answer[0];
 *     }
 *     int main(void) { return weft_run(ask, NULL) != 'h'; }
 *
 * An address is "host:port", "[v6 address]:port", ":port" or, save for UDP, "unix:/path"
 * ("unix:@name": Linux's names without a file). The host is a name or an address, the port a
 * number or a service's name. getaddrinfo looks names up on threads that weft_work does not use
 * (WEFT_EAGAIN if the system gives no thread); an address is not looked up. Listening on ":port"
 * listens on every address of both families; dialing it dials this machine.
 *
 * Tasks call, and so may other threads of the program while a run is under way (weft/embed.h): here
 * such a thread counts as a task, and its waits end with WEFT_ECANCELED when the run ends. Any
 * number of tasks may use one socket at once: those that want to read take turns in the order in
 * which they came, so do those that want to write. Waits are cancelable. One task closes the
 * socket, once: a second close panics. Calls under way, and all later calls with that pointer for
 * as long as the program runs, return WEFT_ECLOSED. At its end weft_run closes all sockets that are
 * open. The pointers are handles, not addresses: no debugger or other code can follow them. A
 * socket's 256 bytes are kept for later sockets.
 *
 * Deadlines are the socket's, as in Go, where data is read or written: see weft/time.h for the
 * rule.
 *
 * Beside the codes listed below every call passes on what the system says, as -ECONNRESET. No
 * call raises SIGPIPE. */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <weft/error.h>
#include <weft/time.h>
#ifdef __cplusplus
extern "C" {
#endif

struct iovec;
typedef struct weft_listener weft_listener;
typedef struct weft_conn weft_conn;
typedef struct weft_udp weft_udp;

/* Addresses ------------------------------------------------------------------------------------ */

/* The address of one end: a value, to be copied at will; all zero is none. */
typedef struct weft_addr {
    uint32_t _len;
    unsigned char _bytes[112]; /* a struct sockaddr */
} weft_addr;

enum { WEFT_ADDR_TEXT = 136 }; /* bytes that any address fits in as text, its end included */

/* Sets *a from text of the form given at the top of this file, with numbers for host and port:
 * nothing is looked up. An IPv6 address may have a zone, the number or name of an interface:
 * "[fe80::5%1]:80". Returns 0; WEFT_EINVAL. */
WEFT_API int weft_addr_init(weft_addr *a, const char *text);
/* Writes the address as it would be dialed, and weft_addr_init reads it; "" for none. Returns the
 * length of the whole text, which is cut at size - 1 bytes. */
WEFT_API int weft_addr_name(const weft_addr *a, char *text, size_t size);

/* Listening ------------------------------------------------------------------------------------ */

/* Listens. Port 0 is any free one. A unix socket's file is its owner's alone (mode 0600) until the
 * program changes that. A file whose owner has died (a connect is refused) is replaced; the caller
 * prevents that two programs do so at the same instant. Returns 0, and *out is the caller's;
 * WEFT_EINVAL if the address is malformed; a UV_EAI_* if its name is not found; WEFT_ECANCELED
 * while a name is looked up; WEFT_ENOMEM; the system's error, such as -EADDRINUSE. */
typedef struct weft_listen_options { /* all zero is the default */
    bool reuse_port; /* listeners that set it share the port: the system deals connections out */
} weft_listen_options;
WEFT_API int weft_listen_with(const char *addr, const weft_listen_options *options,
                              weft_listener **out);
static inline int weft_listen(const char *addr, weft_listener **out)
{
    return weft_listen_with(addr, NULL, out);
}
/* Makes a listener of a stream socket that listens: from socket activation, or another process. A
 * unix socket's file stays at the close. Returns 0, and fd is the listener's, set up as weft_listen
 * sets up its own: non-blocking, close-on-exec; WEFT_EINVAL for any other kind of socket, -EBADF,
 * -ENOTSOCK, and fd stays the caller's; WEFT_ENOMEM, and fd is closed. Does not wait. */
WEFT_API int weft_listener_adopt(int fd, weft_listener **out);
/* Returns the descriptor, for options or to pass it on; WEFT_ECLOSED. It stays ln's and closes with
 * it. The caller changes neither its flags nor its state. */
WEFT_API int weft_listener_fd(weft_listener *ln);
/* Waits for a connection. While the process or the system is out of descriptors or memory it tries
 * again, ever more rarely, at least once a second. It skips a connection that fails (a reset, a
 * firewall). A line (weft/log.h) tells of either, at most once a minute, but none of network
 * errors. Returns 0, and *out is the caller's; WEFT_ETIMEDOUT; WEFT_ECANCELED; WEFT_ECLOSED; of the
 * system's errors only those of a descriptor that is no listening socket. */
WEFT_API int weft_accept_until(weft_listener *ln, weft_time deadline, weft_conn **out);
static inline int weft_accept(weft_listener *ln, weft_conn **out)
{
    return weft_accept_until(ln, WEFT_FOREVER, out);
}
/* Makes pending and later accepts return WEFT_ECLOSED; the system refuses peers that dial. Any task
 * may call it, any number of times: so another task stops a server, whose own task then closes ln.
 * Does not wait. */
WEFT_API void weft_listener_shutdown(weft_listener *ln);
/* Closes ln. When it returns the address is free, and a unix socket's file is gone. Panics if ln is
 * closed already; NULL does nothing. Not cancelable. */
WEFT_API void weft_listener_close(weft_listener *ln);
WEFT_API weft_addr weft_listener_addr(weft_listener *ln); /* none if ln was closed */

/* Connections ---------------------------------------------------------------------------------- */

/* Connects. A name's addresses are tried in turn, sharing out the time that is left; if there are
 * some of both families, those of the second are tried beside those of the first after 300 ms.
 * Returns 0, and *out is the caller's; WEFT_ETIMEDOUT; WEFT_ECANCELED; WEFT_EINVAL if the address
 * is malformed; a UV_EAI_* if its name is not found; WEFT_ENOMEM; else the error of the first
 * address. */
WEFT_API int weft_dial_until(const char *addr, weft_time deadline, weft_conn **out);
static inline int weft_dial(const char *addr, weft_conn **out)
{
    return weft_dial_until(addr, WEFT_FOREVER, out);
}

/* Makes a connection of a connected stream socket, such as one end of a socketpair. Has the results
 * and the ownership of weft_listener_adopt. */
WEFT_API int weft_conn_adopt(int fd, weft_conn **out);
/* Returns the descriptor as weft_listener_fd does: for options, SO_PEERCRED, sendfile (weft_fd_wait
 * waits for it). */
WEFT_API int weft_conn_fd(weft_conn *c);

/* Waits for data, at most n bytes. Returns the number of bytes, > 0; 0 at the end of the stream,
 * after the own side was shut down, or if n is 0; WEFT_ETIMEDOUT; WEFT_ECANCELED; WEFT_ECLOSED; the
 * system's error, such as -ECONNRESET. */
WEFT_API ssize_t weft_conn_read(weft_conn *c, void *buf, size_t n);
/* Waits until all n bytes are written, with nothing of other tasks' writes in between. Returns 0;
 * or a code of weft_conn_read, and an unknown part was written. WEFT_ECLOSED also means that the
 * own side was shut down. */
WEFT_API int weft_conn_write(weft_conn *c, const void *buf, size_t n);
/* Writes the n pieces in turn, as one write. */
WEFT_API int weft_conn_writev(weft_conn *c, const struct iovec *iov, int n);

/* Set the deadline of both directions, or of one. At that instant calls that wait return
 * WEFT_ETIMEDOUT, and from then on all calls do so at once. Any task may move the deadline at any
 * time, also while tasks wait. WEFT_NOW is special: a call that need not wait succeeds. None of the
 * three waits; on a closed connection they do nothing. */
WEFT_API void weft_conn_set_deadline(weft_conn *c, weft_time when);
WEFT_API void weft_conn_set_read_deadline(weft_conn *c, weft_time when);
WEFT_API void weft_conn_set_write_deadline(weft_conn *c, weft_time when);

/* Set options. Return 0; WEFT_ECLOSED; the system's error, such as -EOPNOTSUPP for a unix socket.
 * Any task may call them; none waits. no_delay    small writes go out at once; on at first
 *   keep_alive  the system probes a peer that was silent for idle, and breaks the connection after
 *               some probes without an answer; 15 s at first, 0: never
 *   linger      0: closing drops unsent data and resets the connection; < 0, at first: the system
 *               goes on sending. WEFT_EINVAL if it is > 0: closing does not wait */
WEFT_API int weft_conn_set_no_delay(weft_conn *c, bool on);
WEFT_API int weft_conn_set_keep_alive(weft_conn *c, weft_duration idle);
WEFT_API int weft_conn_set_linger(weft_conn *c, weft_duration time);

/* Ends one direction or both: how is SHUT_RD, SHUT_WR or SHUT_RDWR of <sys/socket.h>. Tasks that
 * wait in that direction return. Any task may call it, any number of times. Returns 0; WEFT_EINVAL;
 * WEFT_ECLOSED. Does not wait. */
WEFT_API int weft_conn_shutdown(weft_conn *c, int how);
/* Closes c. Panics if it is closed already; NULL does nothing. Does not wait. */
WEFT_API void weft_conn_close(weft_conn *c);
WEFT_API weft_addr weft_conn_local(weft_conn *c); /* these two: none if c was closed */
WEFT_API weft_addr weft_conn_peer(weft_conn *c);

/* UDP ------------------------------------------------------------------------------------------ */

/* Makes a socket that takes datagrams from every sender. Has the results of weft_listen; *out is
 * the caller's. */
WEFT_API int weft_udp_listen_with(const char *addr, const weft_listen_options *options,
                                  weft_udp **out);
static inline int weft_udp_listen(const char *addr, weft_udp **out)
{
    return weft_udp_listen_with(addr, NULL, out);
}
/* Makes one of a datagram socket. Has the results and the ownership of weft_listener_adopt. */
WEFT_API int weft_udp_adopt(int fd, weft_udp **out);
/* Returns the descriptor as weft_listener_fd does. */
WEFT_API int weft_udp_fd(weft_udp *u);
/* Makes a socket for datagrams to and from one address: of a name, the first that works. Has the
 * results of weft_dial_until. If no program listens there, a later call returns -ECONNREFUSED. */
WEFT_API int weft_udp_dial_until(const char *addr, weft_time deadline, weft_udp **out);
static inline int weft_udp_dial(const char *addr, weft_udp **out)
{
    return weft_udp_dial_until(addr, WEFT_FOREVER, out);
}
/* Waits for a datagram, and writes its sender to *from, unless from is NULL. Returns its length in
 * bytes, which may be 0, and is more than n if the rest was cut off; WEFT_ETIMEDOUT;
 * WEFT_ECANCELED; WEFT_ECLOSED; the system's error. */
WEFT_API ssize_t weft_udp_recv(weft_udp *u, void *buf, size_t n, weft_addr *from);
/* Sends a datagram of n bytes, and waits while the system has no room for it. to is NULL for a
 * socket that was dialed. Returns 0; -EMSGSIZE; a code of weft_udp_recv. */
WEFT_API int weft_udp_send(weft_udp *u, const void *buf, size_t n, const weft_addr *to);
/* Sets the deadline of both directions, as weft_conn_set_deadline does. */
WEFT_API void weft_udp_set_deadline(weft_udp *u, weft_time when);
/* Returns the address of this end; none if u was closed. */
WEFT_API weft_addr weft_udp_local(weft_udp *u);
/* Closes u, and returns when its address is free, as weft_listener_close does. */
WEFT_API void weft_udp_close(weft_udp *u);

#ifdef __cplusplus
}
#endif
#endif
