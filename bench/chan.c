/* SPDX-License-Identifier: MIT */
/* chan.c - values through channels and select. */
#include "bench.h"

WEFT_CHAN_TYPE(ints, int);

static struct {
    ints *ping, *pong;
} pair;

static void echo(void *arg)
{
    int v;

    (void)arg;
    while (ints_recv(pair.ping, &v) == 0)
        ints_send(pair.pong, v);
}

void bench_unbuffered_roundtrip(void)
{
    enum { TRIPS = 1000000 };
    weft_time start;
    int v;

    pair.ping = ints_new(0);
    pair.pong = ints_new(0);
    weft_go(echo, NULL);
    start = weft_now();
    for (int i = 0; i < TRIPS; i++) {
        ints_send(pair.ping, i);
        ints_recv(pair.pong, &v);
    }
    bench_ns("unbuffered_roundtrip", start, TRIPS);
}

enum { BUFFERED = 5000000, SELECTED = 1000000 };

static void produce(void *c)
{
    for (int i = 0; i < BUFFERED; i++)
        ints_send(c, i);
    ints_close(c);
}

void bench_buffered128(void)
{
    ints *c = ints_new(128);
    weft_time start = weft_now();
    int v;

    weft_go(produce, c);
    while (ints_recv(c, &v) == 0)
        continue;
    bench_ns("buffered128", start, BUFFERED);
}

static void send_quarter(void *c)
{
    for (int i = 0; i < SELECTED / 4; i++)
        ints_send(c, i);
}

void bench_select4(void)
{
    ints *c[4];
    weft_time start;
    int v;

    for (int i = 0; i < 4; i++)
        c[i] = ints_new(0);
    start = weft_now();
    for (int i = 0; i < 4; i++)
        weft_go(send_quarter, c[i]);
    for (int i = 0; i < SELECTED; i++) {
        weft_case on[] = {
            weft_on_recv(ints_raw(c[0]), &v),
            weft_on_recv(ints_raw(c[1]), &v),
            weft_on_recv(ints_raw(c[2]), &v),
            weft_on_recv(ints_raw(c[3]), &v),
        };

        weft_select(on, 4);
    }
    bench_ns("select4", start, SELECTED);
}
