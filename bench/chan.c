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

void bench_roundtrips(const char *name, int trips, int waits)
{
    weft_time start;
    int v;

    pair.ping = ints_new(0);
    pair.pong = ints_new(0);
    weft_go(echo, NULL);
    start = weft_now();
    for (int i = 0; i < trips; i++) {
        ints_send(pair.ping, i);
        ints_recv(pair.pong, &v);
    }
    bench_ns(name, start, waits);
}

void bench_unbuffered_roundtrip(void)
{
    enum { TRIPS = 1000000 };

    bench_roundtrips("unbuffered_roundtrip", TRIPS, TRIPS);
}

static struct {
    ints *c;
    int items;
} buffer;

static void produce(void *arg)
{
    (void)arg;
    for (int i = 0; i < buffer.items; i++)
        ints_send(buffer.c, i);
    ints_close(buffer.c);
}

void bench_transfers(const char *name, int items)
{
    weft_time start;
    int v;

    buffer.c = ints_new(128);
    buffer.items = items;
    start = weft_now();
    weft_go(produce, NULL);
    while (ints_recv(buffer.c, &v) == 0)
        continue;
    bench_ns(name, start, items);
}

void bench_buffered128(void)
{
    bench_transfers("buffered128", 5000000);
}

enum { SELECTED = 1000000 };

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
