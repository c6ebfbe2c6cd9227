/* SPDX-License-Identifier: MIT */
/* hello_uv.c - the least program on libuv, for start.py: a callback of its loop says hello. */
#include "bench/hello.h"

#include <uv.h>

static void hello(uv_timer_t *timer)
{
    puts("hello");
    uv_close((uv_handle_t *)timer, NULL);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t timer;

    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, hello, 0, 0);
    uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) != 0 || say_most();
}
