/* SPDX-License-Identifier: MIT */
/* netpoll.h - the event loop as the scheduler, the sockets and waits for descriptors use it. The
 * files of this folder implement it on libuv; a port to another event library is those files.
 *
 * A loop belongs to its processor. Only the owner, the worker that has the processor, calls these
 * functions, unless they say otherwise. The owner may change, but never while weft__loop_poll is on
 * the stack. Callbacks only make tasks ready: no task runs inside one. */
#ifndef WEFT_NETPOLL_H
#define WEFT_NETPOLL_H

#include "runtime/base/base.h"

typedef struct weft__loop weft__loop;
struct addrinfo;

/* Make and free a loop, on weft_run's thread. new ends the program if the system refuses; is_live:
 * tasks run, and the run's signal handlers stay in place. free closes all handles that are left. */
weft__loop *weft__loop_new(bool is_live);
void weft__loop_free(weft__loop *l);
/* Runs the callbacks of events that are there. Waits for events at most timeout_ns: 0 not at all,
 * < 0 until woken. */
void weft__loop_poll(weft__loop *l, int64_t timeout_ns);
/* Ends the wait in weft__loop_poll that is under way, or else the next one. Any thread may call. */
void weft__loop_wake(weft__loop *l);
/* Returns whether events of sockets or descriptors can come: a poll is then worth its cost. */
bool weft__loop_busy(const weft__loop *l);
/* Writes to stderr which call for l has aborted, if one has. Called in the handler of SIGABRT.
 * error is the errno that the signal came with; l is the loop of the thread's processor, or
 * NULL. */
void weft__loop_aborted(const weft__loop *l, int error);
/* Returns how many changes of watches the next poll must pass to the kernel. */
uint32_t weft__loop_changes(const weft__loop *l);

/* A descriptor that a loop watches. */
typedef struct weft__pollfd weft__pollfd;
enum { WEFT__READABLE = 1, WEFT__WRITABLE = 2, WEFT__AT_LEISURE = 4, WEFT__FLOOD = 8 };

/* The callback. events has the watched events that are ready; also AT_LEISURE if the processor has
 * nothing else to do, and FLOOD if this poll reported so many events that it repeats descriptors.
 * Below 0 it is an error, which the next system call on the descriptor returns; the watch has ended
 * then. */
typedef void weft__pollfd_fn(void *arg, int events);

/* Makes a handle for fd, which watches nothing yet. Returns 0 or a UV_E*. */
int weft__pollfd_open(weft__loop *l, int fd, weft__pollfd_fn *fn, void *arg, weft__pollfd **out);
/* Watches these events, and no others, from now on: fn is called in each poll while one is ready.
 * Returns 0 or a UV_E*. A change costs two system calls. */
int weft__pollfd_watch(weft__pollfd *h, int events);
/* Frees the handle. fn is not called any more, and the descriptor may be closed. */
void weft__pollfd_close(weft__pollfd *h);

/* A wait for events of a descriptor of the program, which the program may close and reuse as soon
 * as no task waits. The waiter's memory, which lasts until the watch has ended or was left. */
typedef struct weft__watch {
    struct weft__watch
        *next;   /* the next one of the same descriptor; guarded by the loop's fd_lock */
    int events;  /* WEFT_FD_* or WEFT__FD_GONE; constant */
    bool linked; /* guarded by the loop's fd_lock */
    /* Called once, by the loop's owner in a poll, under fd_lock (rank OBJECT), after the watch was
     * unlinked. result: the events that are ready, > 0; or a negative errno. */
    void (*ended)(struct weft__watch *w, int result);
} weft__watch;

/* An event beside WEFT_FD_*: the peer has closed its side and sends no more. */
enum { WEFT__FD_GONE = 4 };

/* Begins a watch. Returns 0 or a negative errno; then the watch has not begun. */
int weft__watch_begin(weft__loop *l, int fd, weft__watch *w);
/* Ends a watch, if it has not ended. Any thread may call. */
void weft__watch_leave(weft__loop *l, int fd, weft__watch *w);
/* Returns the wanted events that are ready now; 0 if there are none; a negative errno. Needs no
 * loop. Any thread may call. */
int weft__watch_look(int fd, int events);

/* names.c. Looks addresses up, as getaddrinfo does, for libuv's codes and names beyond ASCII. host
 * and service: "" stands for none. Returns 0, with at least one address of IPv4 or IPv6 in the list
 * *found, which weft__names_free frees; or a UV_EAI_*. Blocks the thread. Any thread may call. */
int weft__names_find(const char *host, const char *service, const struct addrinfo *hints,
                     struct addrinfo **found);
void weft__names_free(struct addrinfo *found);

#endif
