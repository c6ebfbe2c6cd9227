/* SPDX-License-Identifier: MIT */
/* uv/loop.h - the loop of a processor, for the files of this folder alone.
 *
 * Fields belong to the loop's owner, the worker that has the processor, unless they say otherwise.
 * So only the owner calls libuv with a loop; weft__loop_wake is the exception. */
#ifndef WEFT_UV_LOOP_H
#define WEFT_UV_LOOP_H

#include "runtime/base/atomic.h"
#include "runtime/base/clock.h"
#include "runtime/base/lock.h"
#include "runtime/uv/netpoll.h"

#include <uv.h>

struct weft__loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_poll_t timer_poll; /* on timer_fd: uv_timer_t knows milliseconds only */
    int timer_fd;
    int64_t armed;    /* the instant that timer_fd is set to; 0 if it is not set */
    uint32_t users;   /* sockets that are watched */
    uint32_t changes; /* of watches since the last poll; each costs the next poll a system call */
    uint32_t events;  /* of sockets, in the poll under way */
    /* Descriptors of the program: watch.c. */
    uv_poll_t fd_poll; /* on fd_epoll */
    int fd_epoll;      /* -1: not made yet; any thread with a watch there may use it */
    uint32_t fd_lock;  /* rank OBJECT */
    uint32_t fd_waits; /* the watches linked in fds; atomic */
    weft__watch **fds; /* by number; guarded by fd_lock */
    size_t nfds;       /* the length of fds; guarded by fd_lock */
    bool at_leisure;   /* the poll under way may wait: the processor has nothing else to do */
    const char *call;  /* atomic: the call of libuv that the owner is in, or NULL; a handler reads
                        * it on a thread that may have lost the loop's processor just now */
};

/* Calls a function of libuv, as the owner of l, and returns its result. libuv aborts the process
 * where it has no code for a failure; the name stored here lets the report say which call failed
 * (weft__loop_aborted). */
#define WEFT__UV(l, fn, ...) (weft__store(&(l)->call, #fn), weft__uv_done((l), fn(__VA_ARGS__)))

static inline int weft__uv_done(weft__loop *l, int rc)
{
    weft__store(&l->call, NULL);
    return rc;
}

#endif
