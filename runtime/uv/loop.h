/* SPDX-License-Identifier: MIT */
/* uv/loop.h - the loop, for the other uv_*.c files. */
#ifndef WEFT_UV_LOOP_H
#define WEFT_UV_LOOP_H

#include "runtime/sched/netpoll.h"
#include "runtime/sched/scheduler.h"

#include <uv.h>

typedef struct weft__fd_wait weft__fd_wait;

struct weft__loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_poll_t timer_poll; /* on timer_fd: uv_timer_t knows milliseconds only */
    int timer_fd;
    int64_t armed;    /* what timer_fd is set to; 0: nothing */
    uint32_t users;   /* handles and requests of tasks */
    uint32_t changes; /* of what is watched, since the last poll */
    uint32_t events;  /* in the poll under way */
    /* Descriptors of the program: uv/fd.c. */
    uv_poll_t fd_poll; /* on fd_epoll */
    int fd_epoll;      /* -1: not made yet; written by the owner */
    uint32_t fd_lock;
    uint32_t fd_waits;   /* linked in fds; atomic */
    weft__fd_wait **fds; /* by number; guarded by fd_lock, as is nfds */
    size_t nfds;
    bool at_leisure;  /* the poll under way may wait */
    const char *call; /* of libuv, under way for the owner; or NULL */
};

/* The result of a call of libuv by the owner of l. Where libuv has no code for a failure it aborts;
 * the report of that names the call (weft__loop_aborted). */
#define WEFT__UV(l, fn, ...) ((l)->call = #fn, weft__uv_done((l), fn(__VA_ARGS__)))

static inline int weft__uv_done(weft__loop *l, int rc)
{
    l->call = NULL;
    return rc;
}

#endif
