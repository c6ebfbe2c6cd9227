/* SPDX-License-Identifier: MIT */
/* netpoll.h - what the scheduler asks of an event loop. uv/loop.c implements it on libuv.
 *
 * A loop belongs to its processor. It may change threads, one owner at a time, but never while
 * weft__loop_poll is on the stack. Callbacks only make tasks ready: no task runs inside one. */
#ifndef WEFT_NETPOLL_H
#define WEFT_NETPOLL_H

#include "runtime/base/base.h"

typedef struct weft__loop weft__loop;

weft__loop *weft__loop_new(void);
void weft__loop_free(weft__loop *l); /* closes what is still open in it */
/* Runs what is due; waits for it at most timeout_ns (0: not at all, < 0: until woken). */
void weft__loop_poll(weft__loop *l, int64_t timeout_ns);
/* Ends a wait in weft__loop_poll, now or the next one. Any thread. */
void weft__loop_wake(weft__loop *l);
bool weft__loop_busy(const weft__loop *l); /* has anything but its own handles */
/* Called in the handler of SIGABRT: tells which call for l has aborted, if one has; error is the
 * errno that the signal came with. l: that of the thread's processor, or NULL. */
void weft__loop_aborted(const weft__loop *l, int error);
/* Returns how many changes of its watches the next poll must tell the kernel. */
uint32_t weft__loop_changes(const weft__loop *l);
/* Text of a code that is no errno. */
const char *weft__loop_error(int code);

/* A descriptor that a loop watches. All calls, and fn, are the loop's owner's. */
typedef struct weft__pollfd weft__pollfd;
enum { WEFT__READABLE = 1, WEFT__WRITABLE = 2, WEFT__AT_LEISURE = 4, WEFT__FLOOD = 8 };

/* events: the watched events that are ready; also AT_LEISURE if the processor had nothing else to
 * do, and FLOOD if this poll reported so many that it repeats descriptors. < 0: an error, which the
 * next system call on the descriptor returns; nothing is watched from here on. */
typedef void weft__pollfd_fn(void *arg, int events);

/* Watches nothing yet. 0 or a UV_E*. */
int weft__pollfd_open(weft__loop *l, int fd, weft__pollfd_fn *fn, void *arg, weft__pollfd **out);
/* Watches these events from now on, and calls fn as long as they last; 0: none. A change costs two
 * system calls. */
int weft__pollfd_watch(weft__pollfd *h, int events);
/* fn is called no more, and the descriptor may be closed. */
void weft__pollfd_close(weft__pollfd *h);

/* uv/fd.c: waits until the peer of this socket has closed its side or the connection broke: > 0;
 * else as weft_fd_wait. Not in the runtime. */
int weft__fd_wait_gone(int fd);

#endif
