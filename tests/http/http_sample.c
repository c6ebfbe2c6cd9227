/* SPDX-License-Identifier: MIT */
/* http_sample.c - a server for real clients: http_sample ADDRESS; SIGTERM stops it. */
#include <weft.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hello(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    weft_http_header_set(w, "Content-Type", "text/plain");
    weft_http_write(w, "hello, world\n", 13);
}

static void echo(weft_http_response *w, weft_http_request *r, void *arg)
{
    char buf[8192];
    ssize_t n;

    (void)arg;
    while ((n = weft_http_read(r, buf, sizeof(buf))) > 0 && weft_http_write(w, buf, (size_t)n) == 0)
        ;
}

/* Answers with {n} bytes, in writes of {piece}. The length is announced if one write has them all.
 */
static void bytes(weft_http_response *w, weft_http_request *r, void *arg)
{
    size_t n = strtoul(weft_http_param(r, "n"), NULL, 10);
    size_t piece = strtoul(weft_http_param(r, "piece"), NULL, 10);
    char *data = piece > 0 && piece <= n ? malloc(piece) : NULL;

    (void)arg;
    if (!data) {
        weft_http_error(w, 400, "bad size");
        return;
    }
    memset(data, 'x', piece);
    if (n == piece)
        weft_http_header_set(w, "Content-Length", weft_http_param(r, "n"));
    for (; n > 0 && weft_http_write(w, data, piece < n ? piece : n) == 0;
         n -= piece < n ? piece : n)
        ;
    free(data);
}

static void stop(void *server)
{
    weft_chan *signals = weft_chan_new(sizeof(int), 1);

    weft_signal_start(signals, SIGTERM);
    weft_chan_recv(signals, NULL);
    weft_http_server_stop_until(server, weft_after(5 * WEFT_SECOND));
    weft_signal_stop(signals, SIGTERM);
    weft_chan_free(signals);
}

static int serve(void *addr)
{
    weft_http_mux *mux = weft_http_mux_new();
    weft_http_server *s;
    weft_listener *ln;
    char name[WEFT_ADDR_TEXT];
    weft_addr at;
    int rc = weft_listen(addr, &ln);

    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", (char *)addr, weft_strerror(rc));
        return 1;
    }
    at = weft_listener_addr(ln);
    weft_addr_name(&at, name, sizeof(name));
    printf("%s\n", name);
    fflush(stdout);
    weft_http_mux_add(mux, "GET /{$}", hello, NULL);
    weft_http_mux_add(mux, "POST /echo", echo, NULL);
    weft_http_mux_add(mux, "GET /bytes/{n}/{piece}", bytes, NULL);
    s = weft_http_server_new(mux, &(weft_http_options){.max_body = -1});
    weft_go(stop, s);
    return weft_http_server_serve(s, ln);
}

int main(int argc, char **argv)
{
    return weft_run(serve, argc > 1 ? argv[1] : "127.0.0.1:8080") != 0;
}
