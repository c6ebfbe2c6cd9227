/* SPDX-License-Identifier: MIT */
/* test_net.c - stream sockets: listen, accept, dial, read, write, close. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static weft_listener *listener;
static char address[WEFT_ADDR_TEXT];

static void listen_at(const char *at)
{
    weft_addr a;

    CHECK_EQ(weft_listen(at, &listener), 0);
    a = weft_listener_addr(listener);
    weft_addr_name(&a, address, sizeof(address));
}

/* Both ends of a connection. */
struct pair {
    weft_conn *here, *there;
};

static int accept_there(void *p)
{
    return weft_accept(listener, &((struct pair *)p)->there);
}

static struct pair connect_pair(const char *at)
{
    struct pair p;
    weft_group g = WEFT_GROUP_INIT;

    if (!listener)
        listen_at(at);
    weft_group_go(&g, accept_there, &p);
    CHECK_EQ(weft_dial(address, &p.here), 0);
    CHECK_EQ(weft_group_wait(&g), 0);
    return p;
}

static struct pair tcp_pair(void)
{
    return connect_pair("127.0.0.1:0");
}

static void close_pair(struct pair p)
{
    weft_conn_close(p.here);
    weft_conn_close(p.there);
}

/* Reads exactly n bytes, or to the end. */
static size_t read_full(weft_conn *c, void *buf, size_t n)
{
    size_t got = 0;
    ssize_t rc = 1;

    while (got < n && (rc = weft_conn_read(c, (char *)buf + got, n - got)) > 0)
        got += (size_t)rc;
    CHECK(rc >= 0);
    return got;
}

static void echo(void *conn)
{
    char buf[4096];
    ssize_t n;

    while ((n = weft_conn_read(conn, buf, sizeof(buf))) > 0)
        CHECK_EQ(weft_conn_write(conn, buf, (size_t)n), 0);
    weft_conn_close(conn);
}

static void serve_echo(void *arg)
{
    weft_conn *c;

    (void)arg;
    while (weft_accept(listener, &c) == 0)
        weft_go(echo, c);
}

static void talk(const char *at)
{
    char buf[8];
    weft_conn *c;

    listen_at(at);
    weft_go(serve_echo, NULL);
    CHECK_EQ(weft_dial(address, &c), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_conn_write(c, "message", 8), 0);
        CHECK_EQ(read_full(c, buf, 8), 8);
        CHECK_STR(buf, "message");
    }
    weft_conn_close(c);
    weft_listener_close(listener);
}

TEST(ipv4_carries_bytes_both_ways)
{
    talk("127.0.0.1:0");
}

TEST(ipv6_carries_bytes_both_ways)
{
    talk("[::1]:0");
}

TEST(every_address_is_listened_on)
{
    talk(":0");
}

TEST(name_is_looked_up)
{
    talk("localhost:0");
}

TEST(unix_socket_carries_bytes_both_ways)
{
    char at[64];

    snprintf(at, sizeof(at), "unix:/tmp/weft-test-%d.sock", getpid());
    talk(at);
    CHECK_EQ(access(at + 5, F_OK), -1);
}

TEST(unix_name_without_a_file_carries_bytes_both_ways)
{
    char at[64];

    snprintf(at, sizeof(at), "unix:@weft-test-%d", getpid());
    talk(at);
}

TEST(read_after_the_peers_close_is_the_end)
{
    struct pair p = tcp_pair();
    char buf[8];

    CHECK_EQ(weft_conn_write(p.here, "last", 4), 0);
    weft_conn_close(p.here);
    CHECK_EQ(weft_conn_read(p.there, buf, sizeof(buf)), 4);
    CHECK_EQ(weft_conn_read(p.there, buf, sizeof(buf)), 0);
    CHECK_EQ(weft_conn_read(p.there, buf, sizeof(buf)), 0);
    weft_conn_close(p.there);
}

static int read_result(void *conn)
{
    char buf[8];

    return (int)weft_conn_read(conn, buf, sizeof(buf));
}

TEST(close_wakes_the_reader)
{
    struct pair p = tcp_pair();
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, read_result, p.here);
    wait_for_dump("weft_conn_read");
    weft_conn_close(p.here);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECLOSED);
    weft_conn_close(p.there);
}

TEST(deadline_ends_a_read_and_a_moved_one_lets_it_go_on)
{
    struct pair p = tcp_pair();
    char buf[8];

    weft_conn_set_read_deadline(p.here, weft_after(5 * WEFT_MILLISECOND));
    CHECK_EQ(weft_conn_read(p.here, buf, sizeof(buf)), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_conn_read(p.here, buf, sizeof(buf)), WEFT_ETIMEDOUT);
    weft_conn_set_read_deadline(p.here, WEFT_FOREVER);
    CHECK_EQ(weft_conn_write(p.there, "x", 1), 0);
    CHECK_EQ(weft_conn_read(p.here, buf, sizeof(buf)), 1);
    close_pair(p);
}

enum { BULK = 8 << 20 };

static void write_bulk(void *conn)
{
    static char bytes[BULK];
    struct iovec iov[3] = {{bytes, 1}, {bytes + 1, BULK / 2}, {bytes + 1 + BULK / 2, BULK / 2 - 1}};

    for (int i = 0; i < BULK; i++)
        bytes[i] = (char)(i % 251);
    CHECK_EQ(weft_conn_writev(conn, iov, 3), 0);
    CHECK_EQ(weft_conn_write(conn, bytes, BULK), 0);
    CHECK_EQ(weft_conn_shutdown(conn, SHUT_WR), 0);
}

TEST(bulk_arrives_in_order)
{
    struct pair p = tcp_pair();
    static char buf[BULK];

    weft_go(write_bulk, p.here);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(read_full(p.there, buf, BULK), BULK);
        for (int i = 0; i < BULK; i++) {
            if (buf[i] != (char)(i % 251))
                FAIL("byte %d of round %d", i, round);
        }
    }
    CHECK_EQ(read_full(p.there, buf, 1), 0);
    close_pair(p);
}

TEST(listener_close_ends_accepts_and_frees_the_address)
{
    weft_group g = WEFT_GROUP_INIT;
    struct pair p;

    for (int i = 0; i < 20; i++) {
        listen_at(i ? address : "127.0.0.1:0");
        weft_group_go(&g, accept_there, &p);
        wait_for_dump("weft_accept_until");
        weft_listener_close(listener);
        CHECK_EQ(weft_group_wait(&g), WEFT_ECLOSED);
        g = (weft_group)WEFT_GROUP_INIT;
    }
}

TEST(what_is_left_open_goes_with_the_run)
{
    struct pair p = tcp_pair();

    weft_go(echo, p.there);
    weft_yield();
}
