/* SPDX-License-Identifier: MIT */
/* sockets.h - helpers that the tests of sockets share. */
#ifndef WEFT_TESTS_SOCKETS_H
#define WEFT_TESTS_SOCKETS_H

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define UNUSED __attribute__((unused))

static weft_listener *listener;
static char address[WEFT_ADDR_TEXT]; /* where listener listens */

/* Yields until so many tasks wait for input or output. */
static UNUSED void wait_for_waits(int n)
{
    int found = 0;

    while (found < n) {
        char *dump = dump_text(WEFT_DUMP_TASKS);

        found = 0;
        for (char *at = dump; (at = strstr(at, "[IO wait")) != NULL; at++)
            found++;
        free(dump);
        if (found < n)
            weft_yield();
    }
}

static UNUSED void listen_at(const char *at)
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

static UNUSED int accept_there(void *p)
{
    return weft_accept(listener, &((struct pair *)p)->there);
}

static UNUSED struct pair connect_pair(const char *at)
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

static UNUSED struct pair tcp_pair(void)
{
    return connect_pair("127.0.0.1:0");
}

static UNUSED void close_pair(struct pair p)
{
    weft_conn_close(p.here);
    weft_conn_close(p.there);
}

/* A blocking socket connected to address, of IPv4, in the hands of nobody. */
static UNUSED int raw_dial(void)
{
    weft_addr a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_EQ(weft_addr_init(&a, address), 0);
    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)a._bytes, a._len), 0);
    return fd;
}

/* Reads exactly n bytes, or to the end. */
static UNUSED size_t read_full(weft_conn *c, void *buf, size_t n)
{
    size_t got = 0;
    ssize_t rc = 1;

    while (got < n && (rc = weft_conn_read(c, (char *)buf + got, n - got)) > 0)
        got += (size_t)rc;
    CHECK(rc >= 0);
    return got;
}

static UNUSED int read_result(void *conn)
{
    char buf[8];

    return (int)weft_conn_read(conn, buf, sizeof(buf));
}

/* More than the buffers of a connection hold. */
enum { BULK = 16 << 20 };

static UNUSED int write_bulk_result(void *conn)
{
    static char bytes[BULK];

    return weft_conn_write(conn, bytes, BULK);
}

static UNUSED void echo(void *conn)
{
    char buf[4096];
    ssize_t n;

    while ((n = weft_conn_read(conn, buf, sizeof(buf))) > 0)
        CHECK_EQ(weft_conn_write(conn, buf, (size_t)n), 0);
    weft_conn_close(conn);
}

static UNUSED void serve_echo(void *arg)
{
    weft_conn *c;

    (void)arg;
    while (weft_accept(listener, &c) == 0)
        weft_go(echo, c);
}

#endif
