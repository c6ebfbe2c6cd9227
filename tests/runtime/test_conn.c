/* SPDX-License-Identifier: MIT */
/* test_conn.c - connections: reading, writing, deadlines, shutdown, close. */
#include "sockets.h"

#include <errno.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- reading and writing ---- */

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

TEST(nothing_to_read_or_write_is_done_at_once)
{
    struct pair p = tcp_pair();
    struct iovec none[2] = {{NULL, 0}, {NULL, 0}};

    CHECK_EQ(weft_conn_read(p.here, NULL, 0), 0);
    CHECK_EQ(weft_conn_write(p.here, NULL, 0), 0);
    CHECK_EQ(weft_conn_writev(p.here, NULL, 0), 0);
    CHECK_EQ(weft_conn_writev(p.here, none, 2), 0);
    close_pair(p);
}

/* Byte i of the stream that the writers of bulk write. */
static char pattern(size_t i)
{
    return (char)(i % 251);
}

static void check_pattern(const char *buf, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (buf[i] != pattern(i))
            FAIL("byte %zu of %zu", i, n);
    }
}

static char bulk[BULK], got[BULK];

static void fill_bulk(void)
{
    for (size_t i = 0; i < BULK; i++)
        bulk[i] = pattern(i);
}

static void write_it(void *conn)
{
    CHECK_EQ(weft_conn_write(conn, bulk, BULK), 0);
    CHECK_EQ(weft_conn_shutdown(conn, SHUT_WR), 0);
}

TEST(bulk_arrives_whole)
{
    struct pair p = tcp_pair();

    fill_bulk();
    weft_go(write_it, p.here);
    CHECK_EQ(read_full(p.there, got, BULK), BULK);
    CHECK_EQ(read_result(p.there), 0);
    check_pattern(got, BULK);
    close_pair(p);
}

/* Vectors of growing length: from none to more than one system call takes. */
enum { VECTORS = 2500 };

static void write_vectors(void *conn)
{
    static struct iovec iov[VECTORS], before[VECTORS];
    size_t at = 0;

    for (int i = 0; i < VECTORS; i++) {
        iov[i] = (struct iovec){bulk + at, (size_t)i * 5 % 10000};
        at += iov[i].iov_len;
    }
    memcpy(before, iov, sizeof(iov));
    CHECK_EQ(weft_conn_writev(conn, iov, VECTORS), 0);
    CHECK_EQ(memcmp(before, iov, sizeof(iov)), 0);
    CHECK_EQ(weft_conn_shutdown(conn, SHUT_WR), 0);
}

TEST(many_vectors_arrive_in_order)
{
    struct pair p = tcp_pair();
    size_t n;

    fill_bulk();
    weft_go(write_vectors, p.here);
    n = read_full(p.there, got, BULK);
    CHECK(n > 10 << 20);
    check_pattern(got, n);
    close_pair(p);
}

enum { WRITERS = 4, MESSAGES = 40, MESSAGE = 100000 };

struct writer {
    weft_conn *conn;
    char name;
};

static int write_messages(void *arg)
{
    struct writer *w = arg;
    char *text = malloc(MESSAGE);
    struct iovec iov[2] = {{text, 10}, {text + 10, MESSAGE - 10}};
    int rc = 0;

    memset(text, w->name, MESSAGE);
    for (int i = 0; i < MESSAGES && rc == 0; i++)
        rc = i % 2 ? weft_conn_write(w->conn, text, MESSAGE) : weft_conn_writev(w->conn, iov, 2);
    free(text);
    return rc;
}

TEST(writes_of_several_tasks_do_not_mix)
{
    struct pair p = tcp_pair();
    struct writer w[WRITERS];
    weft_group g = WEFT_GROUP_INIT;
    int messages[WRITERS] = {0};

    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){p.here, (char)('a' + i)};
        weft_group_go(&g, write_messages, &w[i]);
    }
    for (int i = 0; i < WRITERS * MESSAGES; i++) {
        CHECK_EQ(read_full(p.there, got, MESSAGE), MESSAGE);
        CHECK(got[0] >= 'a' && got[0] < 'a' + WRITERS);
        CHECK_EQ(memcmp(got, got + 1, MESSAGE - 1), 0);
        messages[got[0] - 'a']++;
    }
    for (int i = 0; i < WRITERS; i++)
        CHECK_EQ(messages[i], MESSAGES);
    CHECK_EQ(weft_group_join(&g), 0);
    close_pair(p);
}

static int read_byte(void *conn)
{
    char byte;

    CHECK_EQ(weft_conn_read(conn, &byte, 1), 1);
    return byte;
}

TEST(several_readers_get_their_turns_in_order)
{
    enum { N = 5 };
    struct pair p = tcp_pair();
    weft_group g[N];

    memset(g, 0, sizeof(g));
    for (int i = 0; i < N; i++) {
        weft_group_go(&g[i], read_byte, p.here);
        wait_for_waits(i + 1);
    }
    CHECK_EQ(weft_conn_write(p.there, "abcde", N), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(weft_group_join(&g[i]), 'a' + i);
    close_pair(p);
}

static void reset(int fd)
{
    struct linger hard = {1, 0};

    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    close(fd);
}

TEST(reset_by_the_peer_is_told_and_no_signal_kills)
{
    struct sigaction old;
    weft_group g = WEFT_GROUP_INIT;
    struct pair p;
    weft_addr peer;
    int fd, rc;

    CHECK_EQ(sigaction(SIGPIPE, NULL, &old), 0);
    CHECK(old.sa_handler == SIG_DFL);
    listen_at("127.0.0.1:0");
    fd = raw_dial();
    CHECK_EQ(weft_accept(listener, &p.there), 0);
    weft_group_go(&g, read_result, p.there);
    wait_for_waits(1);
    reset(fd);
    CHECK_EQ(weft_group_join(&g), -ECONNRESET);
    while ((rc = weft_conn_write(p.there, bulk, 1000)) == 0)
        ;
    CHECK(rc == -EPIPE || rc == -ECONNRESET);
    rc = weft_conn_writev(p.there, &(struct iovec){bulk, 1000}, 1);
    CHECK(rc == -EPIPE || rc == -ECONNRESET);
    CHECK_EQ(weft_conn_shutdown(p.there, SHUT_RDWR), 0);
    peer = weft_conn_peer(p.there);
    CHECK(weft_addr_name(&peer, address, sizeof(address)) > 0);
    weft_conn_close(p.there);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &old), 0);
    CHECK(old.sa_handler == SIG_DFL);
}

TEST(reset_wakes_the_writer)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_conn *c;
    int fd;

    listen_at("127.0.0.1:0");
    fd = raw_dial();
    CHECK_EQ(weft_accept(listener, &c), 0);
    weft_group_go(&g, write_bulk_result, c);
    wait_for_waits(1);
    reset(fd);
    CHECK_EQ(weft_group_join(&g), -ECONNRESET);
    weft_conn_close(c);
}

TEST(drip_is_read_as_it_comes)
{
    struct pair p = tcp_pair();

    for (int i = 0; i < 500; i++) {
        weft_group g = WEFT_GROUP_INIT;

        weft_group_go(&g, read_byte, p.there);
        if (i % 3)
            wait_for_waits(1);
        CHECK_EQ(weft_conn_write(p.here, "x", 1), 0);
        CHECK_EQ(weft_group_join(&g), 'x');
    }
    close_pair(p);
}

/* ---- deadlines ---- */

TEST(past_deadline_ends_reads_and_writes_at_once)
{
    struct pair p = tcp_pair();

    CHECK_EQ(weft_conn_write(p.there, "x", 1), 0);
    CHECK_EQ(read_result(p.here), 1);
    CHECK_EQ(weft_conn_write(p.there, "x", 1), 0);
    weft_conn_set_deadline(p.here, weft_now());
    CHECK_EQ(read_result(p.here), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_conn_write(p.here, "x", 1), WEFT_ETIMEDOUT);
    weft_conn_set_write_deadline(p.here, WEFT_FOREVER);
    CHECK_EQ(weft_conn_write(p.here, "x", 1), 0);
    CHECK_EQ(read_result(p.here), WEFT_ETIMEDOUT);
    weft_conn_set_read_deadline(p.here, WEFT_FOREVER);
    CHECK_EQ(read_result(p.here), 1);
    close_pair(p);
}

TEST(now_as_the_deadline_does_what_need_not_wait)
{
    struct pair p = tcp_pair();

    weft_conn_set_deadline(p.here, WEFT_NOW);
    CHECK_EQ(read_result(p.here), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_conn_write(p.here, "x", 1), 0);
    CHECK_EQ(weft_conn_write(p.there, "x", 1), 0);
    CHECK_EQ(read_result(p.here), 1);
    CHECK_EQ(read_result(p.here), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_conn_write(p.there, "x", 1), 0);
    CHECK_EQ(read_result(p.here), 1);
    CHECK_EQ(write_bulk_result(p.here), WEFT_ETIMEDOUT);
    close_pair(p);
}

TEST(deadline_ends_the_wait_of_a_reader_and_a_writer)
{
    struct pair p = tcp_pair();
    weft_time end = weft_after(2 * WEFT_MILLISECOND);

    weft_conn_set_deadline(p.here, end);
    CHECK_EQ(read_result(p.here), WEFT_ETIMEDOUT);
    CHECK(weft_now() >= end);
    end = weft_after(WEFT_MILLISECOND);
    weft_conn_set_deadline(p.here, end);
    CHECK_EQ(write_bulk_result(p.here), WEFT_ETIMEDOUT);
    CHECK(weft_now() >= end);
    close_pair(p);
}

/* Every call waits on p.here: one reader and one writer for the socket, the others for their turns.
 */
static void block_on(weft_group *g, struct pair p)
{
    for (int i = 0; i < 3; i++) {
        weft_group_go(g, read_result, p.here);
        weft_group_go(g, write_bulk_result, p.here);
    }
    wait_for_waits(6);
}

TEST(deadline_moved_to_the_past_ends_waits)
{
    struct pair p = tcp_pair();
    weft_group g = WEFT_GROUP_INIT;

    weft_conn_set_deadline(p.here, weft_after(1000 * WEFT_SECOND));
    block_on(&g, p);
    weft_conn_set_deadline(p.here, WEFT_NOW);
    CHECK_EQ(weft_group_join(&g), WEFT_ETIMEDOUT);
    close_pair(p);
}

TEST(deadline_moved_nearer_ends_waits_then)
{
    struct pair p = tcp_pair();
    weft_group g = WEFT_GROUP_INIT;
    weft_time end;

    block_on(&g, p);
    end = weft_after(2 * WEFT_MILLISECOND);
    weft_conn_set_deadline(p.here, end);
    CHECK_EQ(weft_group_join(&g), WEFT_ETIMEDOUT);
    CHECK(weft_now() >= end);
    close_pair(p);
}

TEST(deadline_moved_farther_lets_waits_go_on)
{
    struct pair p = tcp_pair();
    weft_time first;
    bool in_time = false;

    while (!in_time) {
        weft_group g = WEFT_GROUP_INIT;
        int rc;

        weft_group_go(&g, read_result, p.here);
        wait_for_waits(1);
        first = weft_after(10 * WEFT_MILLISECOND);
        weft_conn_set_read_deadline(p.here, first);
        weft_yield();
        weft_conn_set_read_deadline(p.here, WEFT_FOREVER);
        in_time = weft_now() < first;
        weft_sleep_until(first + WEFT_MILLISECOND);
        CHECK_EQ(weft_conn_write(p.there, "abc", 3), 0);
        rc = weft_group_join(&g);
        CHECK(rc == 3 || (!in_time && rc == WEFT_ETIMEDOUT));
        if (rc != 3)
            CHECK_EQ(read_result(p.here), 3);
    }
    close_pair(p);
}

/* ---- shutdown, close, cancellation ---- */

TEST(half_close_lets_the_other_half_go_on)
{
    struct pair p = tcp_pair();
    char buf[8];

    CHECK_EQ(weft_conn_write(p.here, "ask", 3), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_conn_shutdown(p.here, SHUT_WR), 0);
    CHECK_EQ(weft_conn_write(p.here, "x", 1), WEFT_ECLOSED);
    CHECK_EQ(weft_conn_writev(p.here, NULL, 0), WEFT_ECLOSED);
    CHECK_EQ(read_full(p.there, buf, 8), 3);
    CHECK_EQ(weft_conn_write(p.there, "answer", 6), 0);
    CHECK_EQ(weft_conn_read(p.here, buf, sizeof(buf)), 6);
    CHECK_EQ(weft_conn_shutdown(p.here, SHUT_RD), 0);
    CHECK_EQ(read_result(p.here), 0);
    CHECK_EQ(weft_conn_shutdown(p.here, 17), WEFT_EINVAL);
    close_pair(p);
}

TEST(shutdown_wakes_readers_with_the_end_and_writers_with_eclosed)
{
    struct pair p = tcp_pair();
    weft_group readers = WEFT_GROUP_INIT, writers = WEFT_GROUP_INIT;

    for (int i = 0; i < 3; i++) {
        weft_group_go(&readers, read_result, p.here);
        weft_group_go(&writers, write_bulk_result, p.here);
    }
    wait_for_waits(6);
    CHECK_EQ(weft_conn_shutdown(p.here, SHUT_RD), 0);
    CHECK_EQ(weft_group_join(&readers), 0);
    CHECK_EQ(weft_conn_shutdown(p.here, SHUT_RDWR), 0);
    CHECK_EQ(weft_group_join(&writers), WEFT_ECLOSED);
    close_pair(p);
}

TEST(close_wakes_all_that_wait)
{
    for (int i = 0; i < 10; i++) {
        struct pair p = tcp_pair();
        weft_group g = WEFT_GROUP_INIT;

        block_on(&g, p);
        weft_conn_close(p.here);
        CHECK_EQ(weft_group_join(&g), WEFT_ECLOSED);
        weft_conn_close(p.there);
    }
}

TEST(cancellation_ends_all_waits)
{
    struct pair p = tcp_pair();
    weft_group g = WEFT_GROUP_INIT;

    block_on(&g, p);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
    close_pair(p);
}

TEST(canceled_wait_leaves_the_turn_to_the_next)
{
    struct pair p = tcp_pair();
    weft_group g = WEFT_GROUP_INIT, other = WEFT_GROUP_INIT;

    weft_group_go(&g, read_result, p.here);
    wait_for_waits(1);
    weft_group_go(&other, read_byte, p.here);
    wait_for_waits(2);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
    CHECK_EQ(weft_conn_write(p.there, "x", 1), 0);
    CHECK_EQ(weft_group_join(&other), 'x');
    close_pair(p);
}

TEST(close_of_nothing_does_nothing)
{
    weft_conn_close(NULL);
}

/* ---- what was closed ---- */

static void expect_closed(weft_conn *c)
{
    struct iovec iov = {(char *)"x", 1};

    CHECK_EQ(read_result(c), WEFT_ECLOSED);
    CHECK_EQ(weft_conn_read(c, NULL, 0), WEFT_ECLOSED);
    CHECK_EQ(weft_conn_write(c, "x", 1), WEFT_ECLOSED);
    CHECK_EQ(weft_conn_writev(c, &iov, 1), WEFT_ECLOSED);
    CHECK_EQ(weft_conn_shutdown(c, SHUT_RDWR), WEFT_ECLOSED);
    weft_conn_set_deadline(c, WEFT_NOW);
    CHECK_EQ(weft_conn_local(c)._len, 0);
    CHECK_EQ(weft_conn_peer(c)._len, 0);
}

TEST(calls_on_a_closed_connection_return_eclosed_though_its_memory_is_used_anew)
{
    struct pair old = tcp_pair(), p;
    char c;

    weft_conn_close(old.here);
    expect_closed(old.here);
    weft_conn_close(old.there);
    for (int i = 0; i < 200; i++) {
        p = tcp_pair();
        expect_closed(old.here);
        expect_closed(old.there);
        CHECK_EQ(weft_conn_write(p.here, "x", 1), 0); /* the deadline went to nobody else */
        CHECK_EQ(weft_conn_read(p.there, &c, 1), 1);
        close_pair(p);
    }
}

static int same_or_not(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(void *));
}

TEST(handles_differ_for_as_long_as_the_program_runs)
{
    enum { N = 70000 }; /* more than there are generations */
    static char handles[N][sizeof(void *)];
    int n = under_tsan() ? 1000 : N;
    weft_udp *u;

    for (int i = 0; i < n; i++) {
        CHECK_EQ(weft_udp_listen("127.0.0.1:0", &u), 0);
        memcpy(handles[i], &u, sizeof(u));
        weft_udp_close(u);
    }
    qsort(handles, (size_t)n, sizeof(*handles), same_or_not);
    for (int i = 1; i < n; i++)
        CHECK(memcmp(handles[i - 1], handles[i], sizeof(*handles)) != 0);
}

static weft_conn *left;

static int leave_one(void *arg)
{
    (void)arg;
    left = tcp_pair().here;
    return 0;
}

static int use_it(void *arg)
{
    (void)arg;
    listener = NULL;
    expect_closed(left);
    close_pair(tcp_pair());
    expect_closed(left);
    return 0;
}

TEST_PLAIN(connection_of_an_earlier_run_is_closed)
{
    CHECK_EQ(weft_run(leave_one, NULL), 0);
    CHECK_EQ(weft_run(use_it, NULL), 0);
}

TEST_DIES(second_close_panics, 2, "panic: weft: close of closed connection")
{
    struct pair p = tcp_pair();

    weft_conn_close(p.here);
    weft_conn_close(p.here);
}

TEST_DIES(second_close_panics_also_later, 2, "panic: weft: close of closed connection")
{
    struct pair p = tcp_pair();

    weft_conn_close(p.here);
    for (int i = 0; i < 10; i++)
        close_pair(tcp_pair());
    weft_conn_close(p.here);
}

/* ---- many ---- */

TEST(connections_come_and_go)
{
    enum { N = 2000 };
    char buf[8];
    weft_conn *c;

    listen_at("127.0.0.1:0");
    weft_go(serve_echo, NULL);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(weft_dial(address, &c), 0);
        CHECK_EQ(weft_conn_write(c, "message", 8), 0);
        CHECK_EQ(read_full(c, buf, 8), 8);
        weft_conn_close(c);
    }
}

enum { CLIENTS = 300 };
static atomic_int answered;

static void ask(void *arg)
{
    weft_conn *c;
    char buf[8];

    (void)arg;
    CHECK_EQ(weft_dial(address, &c), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_conn_write(c, "message", 8), 0);
        CHECK_EQ(read_full(c, buf, 8), 8);
    }
    weft_conn_close(c);
    atomic_fetch_add(&answered, 1);
}

TEST(many_clients_are_served_at_once)
{
    listen_at("127.0.0.1:0");
    weft_go(serve_echo, NULL);
    go_many(CLIENTS, ask, NULL);
    wait_for(&answered, CLIENTS);
}
