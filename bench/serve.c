/* SPDX-License-Identifier: MIT */
/* serve.c - servers for serve.py: each prints the address at which it listens, and serves until it
 * is killed. */
#include "bench.h"

#include <stdio.h>

static void serve(weft_http_mux *mux)
{
    char name[WEFT_ADDR_TEXT];
    weft_http_server *s = weft_http_server_new(mux, NULL);
    weft_listener *ln;
    weft_addr addr;

    bench_check(weft_listen("127.0.0.1:0", &ln), "weft_listen");
    addr = weft_listener_addr(ln);
    weft_addr_name(&addr, name, sizeof(name));
    printf("%s\n", name);
    fflush(stdout);
    bench_check(weft_http_server_serve(s, ln), "weft_http_server_serve");
}

static void hello(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    weft_http_header_set(w, "Content-Type", "text/plain; charset=utf-8");
    weft_http_write(w, "hello, world\n", sizeof("hello, world\n") - 1);
}

static void held(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    weft_http_printf(w, "held %.6g x\n", bench_held());
}

void bench_serve_hello(void)
{
    weft_http_mux *mux = weft_http_mux_new();

    weft_http_mux_add(mux, "GET /hello", hello, NULL);
    weft_http_mux_add(mux, "GET /held", held, NULL);
    serve(mux);
}

static void start_gap(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)w;
    (void)r;
    (void)arg;
    bench_gap_start();
}

static void stop_gap(weft_http_response *w, weft_http_request *r, void *arg)
{
    weft_duration task, bare;

    (void)r;
    (void)arg;
    bench_gap_stop(&task, &bare);
    weft_http_printf(w, "debug2_gap %g ms\ndebug2_bare %g ms\n", (double)task / 1e6,
                     (double)bare / 1e6);
}

void bench_serve_parked100k(void)
{
    weft_http_mux *mux = weft_http_mux_new();

    bench_park_frames(100000, 7);
    weft_debug_mount(mux);
    weft_http_mux_add(mux, "GET /gap/start", start_gap, NULL);
    weft_http_mux_add(mux, "GET /gap/stop", stop_gap, NULL);
    serve(mux);
}
