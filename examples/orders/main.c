/* SPDX-License-Identifier: MIT */
/* main.c - a service: its API at one address, its debug page at another, an orderly end.
 *
 * usage: weft_orders [API-ADDRESS [DEBUG-ADDRESS [DATABASE]]] */
#include "orders.h"

#include <signal.h>
#include <stdio.h>

struct config {
    const char *api, *debug, *database;
};

/* Publishes the number of orders that were taken in the last second. */
static int measure(void *arg)
{
    weft_expvar *rate = weft_expvar_new("orders.rate", WEFT_EXPVAR_INT);
    weft_ticker *ticker = weft_ticker_new(WEFT_SECOND);
    int64_t last = 0, now;

    (void)arg;
    weft_task_name("rate");
    while (weft_chan_recv(weft_ticker_chan(ticker), NULL) == 0) {
        now = api_accepted();
        weft_expvar_set(rate, now - last);
        last = now;
    }
    weft_ticker_free(ticker);
    return 0;
}

struct service {
    weft_http_server *server;
    weft_listener *listener;
};

static void serve(void *arg)
{
    struct service *s = arg;

    weft_http_server_serve(s->server, s->listener);
}

static int fail(const char *what, int rc)
{
    fprintf(stderr, "orders: %s: %s\n", what, weft_strerror(rc));
    return 1;
}

static int orders(void *arg)
{
    const struct config *config = arg;
    weft_http_mux *mux = weft_http_mux_new();
    weft_chan *stop = weft_chan_new(sizeof(int), 1);
    weft_group beside = WEFT_GROUP_INIT;
    struct service api;
    int rc;

    weft_signal_start(stop, SIGTERM);
    weft_signal_start(stop, SIGINT);
    if (store_open(config->database) < 0)
        return 1;
    if ((rc = weft_listen(config->api, &api.listener)) < 0)
        return fail(config->api, rc);
    if ((rc = weft_debug_serve(config->debug)) < 0)
        return fail(config->debug, rc);
    shop_open();
    api_mount(mux);
    weft_group_go(&beside, measure, NULL);
    api.server = weft_http_server_new(mux, NULL);
    weft_go(serve, &api);
    fprintf(stderr, "orders: api at %s, debug at %s\n", config->api, config->debug);

    weft_chan_recv(stop, NULL);
    fprintf(stderr, "orders: finishing what was begun\n");
    if (weft_http_server_stop_until(api.server, weft_after(10 * WEFT_SECOND)) < 0)
        fprintf(stderr, "orders: some requests took too long\n");
    shop_close();
    store_close();
    weft_group_cancel(&beside);
    weft_group_wait(&beside);
    weft_http_server_free(api.server);
    weft_http_mux_free(mux);
    weft_signal_stop(stop, SIGTERM);
    weft_signal_stop(stop, SIGINT);
    weft_chan_free(stop);
    return 0;
}

int main(int argc, char **argv)
{
    struct config config = {
        argc > 1 ? argv[1] : "127.0.0.1:8080",
        argc > 2 ? argv[2] : "127.0.0.1:6060",
        argc > 3 ? argv[3] : "orders.db",
    };

    return weft_run(orders, &config);
}
