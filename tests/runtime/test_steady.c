/* SPDX-License-Identifier: MIT */
/* test_steady.c - how many system calls steady traffic takes. This program's own functions stand
 * before the C library's and count the calls of the program and of libuv. */
#include "sockets.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int controls, reads, writes;

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    atomic_fetch_add(&controls, 1);
    return (int)syscall(SYS_epoll_ctl, set, op, fd, event);
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    atomic_fetch_add(&reads, 1);
    return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    atomic_fetch_add(&writes, 1);
    return syscall(SYS_sendto, fd, buf, n, flags, NULL, 0);
}

enum { CLIENTS = 16, WARM = 20, REQUESTS = 500 };

static atomic_int warm, go_on, answered;

static void ask(weft_conn *c, int n)
{
    char buf[100];

    for (int i = 0; i < n; i++) {
        CHECK_EQ(weft_conn_write(c, "request", 8), 0);
        CHECK_EQ(weft_conn_read(c, buf, sizeof(buf)), 8);
    }
}

static void client(void *arg)
{
    weft_conn *c;

    (void)arg;
    CHECK_EQ(weft_dial(address, &c), 0);
    ask(c, WARM);
    atomic_fetch_add(&warm, 1);
    wait_for(&go_on, 1);
    ask(c, REQUESTS);
    atomic_fetch_add(&answered, 1);
}

/* Both ends are in this program, so a request is two reads and two writes. A few more are allowed,
 * since a task may be kept off its CPU until the loop gives up watching for it. */
TEST(request_is_one_read_and_one_write_and_no_epoll_ctl)
{
    enum { ALL = CLIENTS * REQUESTS };

    if (under_asan() || under_tsan())
        SKIP("the sanitizer's functions stand there");
    listen_at("127.0.0.1:0");
    weft_go(serve_echo, NULL);
    go_many(CLIENTS, client, NULL);
    wait_for(&warm, CLIENTS);
    atomic_store(&controls, 0);
    atomic_store(&reads, 0);
    atomic_store(&writes, 0);
    atomic_store(&go_on, 1);
    wait_for(&answered, CLIENTS);
    CHECK_EQ(atomic_load(&writes), 2 * ALL);
    CHECK(atomic_load(&reads) >= 2 * ALL);
    CHECK(atomic_load(&reads) <= 2 * ALL + ALL / 100);
    CHECK(atomic_load(&controls) <= ALL / 100);
    printf("%d requests: %d reads, %d writes, %d epoll_ctl\n", ALL, reads, writes, controls);
}
