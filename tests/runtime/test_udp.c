/* SPDX-License-Identifier: MIT */
/* test_udp.c - datagrams. */
#include "sockets.h"

#include <errno.h>

static weft_udp *server;

static void serve_at(const char *at)
{
    weft_addr a;

    CHECK_EQ(weft_udp_listen(at, &server), 0);
    a = weft_udp_local(server);
    weft_addr_name(&a, address, sizeof(address));
}

static weft_udp *client_of(const char *at)
{
    weft_udp *u;

    CHECK_EQ(weft_udp_dial(at, &u), 0);
    return u;
}

static void echo_datagrams(void *arg)
{
    static char buf[65536];
    weft_addr from;
    ssize_t n;

    (void)arg;
    while ((n = weft_udp_recv(server, buf, sizeof(buf), &from)) >= 0)
        CHECK_EQ(weft_udp_send(server, buf, (size_t)n, &from), 0);
    CHECK_EQ(n, WEFT_ECLOSED);
}

static void talk(const char *at)
{
    static char out[3000], in[3000];
    weft_udp *u = client_of(at);

    for (size_t n = 0; n < sizeof(out); n += 100) {
        memset(out, (int)n, n);
        CHECK_EQ(weft_udp_send(u, out, n, NULL), 0);
        CHECK_EQ(weft_udp_recv(u, in, sizeof(in), NULL), n);
        CHECK_EQ(memcmp(out, in, n), 0);
    }
    weft_udp_close(u);
}

TEST(datagrams_go_both_ways)
{
    serve_at("127.0.0.1:0");
    weft_go(echo_datagrams, NULL);
    talk(address);
    wait_for_waits(1);
    weft_udp_close(server);
}

TEST(every_address_takes_both_families)
{
    char at[32];

    serve_at(":0");
    weft_go(echo_datagrams, NULL);
    snprintf(at, sizeof(at), "127.0.0.1%s", strrchr(address, ':'));
    talk(at);
    snprintf(at, sizeof(at), "[::1]%s", strrchr(address, ':'));
    talk(at);
    talk(strrchr(address, ':'));
    snprintf(at, sizeof(at), "localhost%s", strrchr(address, ':'));
    talk(at);
}

TEST(datagrams_keep_their_bounds_and_their_senders)
{
    weft_udp *a, *b;
    weft_addr from, local;
    char buf[16];

    serve_at("127.0.0.1:0");
    a = client_of(address);
    b = client_of(address);
    CHECK_EQ(weft_udp_send(a, "one", 3, NULL), 0);
    CHECK_EQ(weft_udp_send(a, "", 0, NULL), 0);
    CHECK_EQ(weft_udp_send(b, "three", 5, NULL), 0);
    CHECK_EQ(weft_udp_recv(server, buf, sizeof(buf), NULL), 3);
    CHECK_EQ(weft_udp_recv(server, buf, sizeof(buf), NULL), 0);
    CHECK_EQ(weft_udp_recv(server, buf, sizeof(buf), &from), 5);
    local = weft_udp_local(b);
    CHECK_EQ(from._len, local._len);
    CHECK_EQ(memcmp(from._bytes, local._bytes, local._len), 0);
    weft_udp_close(a);
    weft_udp_close(b);
    weft_udp_close(server);
    weft_udp_close(NULL);
}

TEST(datagram_that_is_cut_tells_its_length)
{
    weft_udp *u;
    char buf[4] = "....";

    serve_at("127.0.0.1:0");
    u = client_of(address);
    CHECK_EQ(weft_udp_send(u, "longer", 6, NULL), 0);
    CHECK_EQ(weft_udp_send(u, "next", 4, NULL), 0);
    CHECK_EQ(weft_udp_recv(server, buf, 3, NULL), 6);
    CHECK_EQ(memcmp(buf, "lon.", 4), 0);
    CHECK_EQ(weft_udp_recv(server, buf, 4, NULL), 4);
    CHECK_EQ(memcmp(buf, "next", 4), 0);
}

TEST(datagram_that_is_too_long_is_refused)
{
    static char bytes[70000];

    serve_at("127.0.0.1:0");
    CHECK_EQ(weft_udp_send(client_of(address), bytes, sizeof(bytes), NULL), -EMSGSIZE);
}

TEST(nobody_there_is_told_later)
{
    weft_udp *u;
    char byte;

    serve_at("127.0.0.1:0");
    u = client_of(address);
    weft_udp_close(server);
    CHECK_EQ(weft_udp_send(u, "x", 1, NULL), 0);
    CHECK_EQ(weft_udp_recv(u, &byte, 1, NULL), -ECONNREFUSED);
}

static int recv_result(void *udp)
{
    char byte;

    return (int)weft_udp_recv(udp, &byte, 1, NULL);
}

TEST(waits_end_by_deadline_cancellation_and_close)
{
    weft_group g = WEFT_GROUP_INIT, canceled = WEFT_GROUP_INIT;

    serve_at("127.0.0.1:0");
    weft_udp_set_deadline(server, weft_after(WEFT_MILLISECOND));
    CHECK_EQ(recv_result(server), WEFT_ETIMEDOUT);
    weft_udp_set_deadline(server, WEFT_NOW);
    CHECK_EQ(recv_result(server), WEFT_ETIMEDOUT);
    weft_udp_set_deadline(server, WEFT_FOREVER);
    weft_group_go(&canceled, recv_result, server);
    wait_for_waits(1);
    weft_group_cancel(&canceled);
    CHECK_EQ(weft_group_join(&canceled), WEFT_ECANCELED);
    for (int i = 0; i < 20; i++) {
        weft_group_go(&g, recv_result, server);
        weft_group_go(&g, recv_result, server);
        wait_for_waits(2);
        weft_udp_close(server);
        CHECK_EQ(weft_group_join(&g), WEFT_ECLOSED);
        g = (weft_group)WEFT_GROUP_INIT;
        CHECK_EQ(weft_udp_listen(address, &server), 0);
    }
}

TEST(calls_on_a_closed_socket_return_eclosed)
{
    weft_udp *old, *u;
    char c;

    CHECK_EQ(weft_udp_listen("127.0.0.1:0", &old), 0);
    weft_udp_close(old);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_udp_listen("127.0.0.1:0", &u), 0);
        CHECK_EQ(weft_udp_recv(old, &c, 1, NULL), WEFT_ECLOSED);
        CHECK_EQ(weft_udp_send(old, "x", 1, NULL), WEFT_ECLOSED);
        weft_udp_set_deadline(old, WEFT_NOW);
        CHECK_EQ(weft_udp_local(old)._len, 0);
        weft_udp_close(u);
    }
}

TEST_DIES(second_close_panics, 2, "panic: weft: close of closed UDP socket")
{
    weft_udp *u;

    CHECK_EQ(weft_udp_listen("127.0.0.1:0", &u), 0);
    weft_udp_close(u);
    weft_udp_close(u);
}

TEST(malformed_addresses_are_refused)
{
    weft_udp *u = NULL;

    CHECK_EQ(weft_udp_listen("unix:/tmp/x", &u), WEFT_EINVAL);
    CHECK_EQ(weft_udp_listen("127.0.0.1", &u), WEFT_EINVAL);
    CHECK_EQ(weft_udp_dial("127.0.0.1:99999", &u), WEFT_EINVAL);
    CHECK(!u);
}
