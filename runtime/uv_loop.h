/* SPDX-License-Identifier: MIT */
/* uv_loop.h - the loop, for the other uv_*.c files. */
#ifndef WEFT_UV_LOOP_H
#define WEFT_UV_LOOP_H

#include "netpoll.h"
#include "scheduler.h"

#include <uv.h>

struct weft__loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_poll_t timer_poll; /* on timer_fd: uv_timer_t knows milliseconds only */
    int timer_fd;
    int64_t armed;   /* what timer_fd is set to; 0: nothing */
    uint32_t users;  /* handles and requests of tasks */
    bool at_leisure; /* the poll under way may wait */
};

#endif
