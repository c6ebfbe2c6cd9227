/* SPDX-License-Identifier: MIT */
/* test_sockopt.c - sockets from descriptors and back, options, addresses with zones. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    CHECK_EQ(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* Returns whether fd is a socket. A number that is no longer one may already be that of a file that
 * another thread of the runtime reads. */
static bool is_socket(int fd)
{
    struct stat about;

    return fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode);
}

/* A blocking socket bound to a free port of this machine. */
static int bound(int type)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);

    CHECK_EQ(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

TEST(end_of_a_socketpair_is_a_connection)
{
    int ends[2];
    weft_conn *c;
    char byte;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK_EQ(weft_conn_adopt(ends[0], &c), 0);
    CHECK_EQ(weft_conn_fd(c), ends[0]);
    CHECK(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(weft_conn_write(c, "a", 1), 0);
    CHECK_EQ(read(ends[1], &byte, 1), 1);
    weft_conn_set_read_deadline(c, weft_after(WEFT_MILLISECOND));
    CHECK_EQ(weft_conn_read(c, &byte, 1), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_conn_set_no_delay(c, true), -EOPNOTSUPP);
    weft_conn_close(c);
    CHECK_EQ(read(ends[1], &byte, 1), 0);
    CHECK(!is_socket(ends[0]));
    CHECK_EQ(weft_conn_fd(c), WEFT_ECLOSED);
    CHECK_EQ(weft_conn_set_linger(c, 0), WEFT_ECLOSED);
    close(ends[1]);
}

TEST(socket_that_listens_already_is_a_listener)
{
    int fd = bound(SOCK_STREAM);
    struct pair p;
    weft_addr a;

    CHECK_EQ(listen(fd, 5), 0);
    CHECK_EQ(weft_listener_adopt(fd, &listener), 0);
    CHECK_EQ(weft_listener_fd(listener), fd);
    a = weft_listener_addr(listener);
    weft_addr_name(&a, address, sizeof(address));
    p = tcp_pair();
    CHECK_EQ(option(weft_conn_fd(p.there), IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQ(weft_conn_write(p.here, "x", 1), 0);
    CHECK_EQ(read_result(p.there), 1);
    close_pair(p);
    weft_listener_close(listener);
    CHECK(!is_socket(fd));
}

TEST(datagram_socket_is_adopted)
{
    int fd = bound(SOCK_DGRAM);
    weft_udp *server, *client;
    char buf[8];
    weft_addr a;

    CHECK_EQ(weft_udp_adopt(fd, &server), 0);
    CHECK_EQ(weft_udp_fd(server), fd);
    a = weft_udp_local(server);
    weft_addr_name(&a, address, sizeof(address));
    CHECK_EQ(weft_udp_dial(address, &client), 0);
    CHECK_EQ(weft_udp_send(client, "hey", 3, NULL), 0);
    CHECK_EQ(weft_udp_recv(server, buf, sizeof(buf), &a), 3);
    CHECK_EQ(weft_udp_send(server, "ho", 2, &a), 0);
    CHECK_EQ(weft_udp_recv(client, buf, sizeof(buf), NULL), 2);
    weft_udp_close(server);
    weft_udp_close(client);
    CHECK(!is_socket(fd));
}

/* The descriptor stays the caller's. */
TEST(other_kind_of_descriptor_is_refused)
{
    int stream = bound(SOCK_STREAM), datagrams = bound(SOCK_DGRAM), ends[2];
    weft_listener *ln;
    weft_conn *c;
    weft_udp *u;

    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(weft_conn_adopt(ends[0], &c), -ENOTSOCK);
    CHECK_EQ(weft_conn_adopt(12345, &c), -EBADF);
    CHECK_EQ(weft_conn_adopt(datagrams, &c), WEFT_EINVAL);
    CHECK_EQ(weft_listener_adopt(stream, &ln), WEFT_EINVAL);
    CHECK_EQ(weft_listener_adopt(datagrams, &ln), WEFT_EINVAL);
    CHECK_EQ(weft_udp_adopt(stream, &u), WEFT_EINVAL);
    CHECK_EQ(listen(stream, 1), 0);
    CHECK_EQ(weft_conn_adopt(stream, &c), WEFT_EINVAL);
    CHECK_EQ(fcntl(stream, F_GETFL) & O_NONBLOCK, 0);
    CHECK(is_socket(stream) && is_socket(datagrams) && fcntl(ends[0], F_GETFD) >= 0);
}

TEST(descriptor_of_a_connection_tells_its_peer)
{
    struct pair p;
    struct ucred peer;
    socklen_t len = sizeof(peer);
    char at[64];

    snprintf(at, sizeof(at), "unix:@weft-sockopt-%d", getpid());
    p = connect_pair(at);
    CHECK_EQ(getsockopt(weft_conn_fd(p.there), SOL_SOCKET, SO_PEERCRED, &peer, &len), 0);
    CHECK_EQ(peer.pid, getpid());
    close_pair(p);
}

/* Reads through the descriptor while the connection waits for reading. */
TEST(file_is_sent_over_the_descriptor)
{
    enum { N = 1 << 20 };
    struct pair p = tcp_pair();
    FILE *file = tmpfile();
    static char buf[N];
    weft_group g = WEFT_GROUP_INIT;
    off_t at = 0;

    memset(buf, 'x', N);
    CHECK_EQ(fwrite(buf, 1, N, file), N);
    fflush(file);
    weft_group_go(&g, read_result, p.here);
    weft_go(echo, p.there); /* sends it back: nobody reads, until buffers are full */
    while (at < 100000) {
        ssize_t n = sendfile(weft_conn_fd(p.here), fileno(file), &at, (size_t)(100000 - at));

        if (n < 0)
            CHECK_EQ(weft_fd_wait(weft_conn_fd(p.here), WEFT_FD_WRITE), WEFT_FD_WRITE);
    }
    CHECK_EQ(weft_group_wait(&g), 8);
    CHECK_EQ(read_full(p.here, buf, 100000 - 8), 100000 - 8);
    weft_conn_close(p.here);
    fclose(file);
}

TEST(options_are_those_of_the_socket)
{
    struct pair p = tcp_pair();
    int fd = weft_conn_fd(p.here);
    struct linger l;
    socklen_t len = sizeof(l);
    char byte;

    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQ(weft_conn_set_no_delay(p.here, false), 0);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQ(weft_conn_set_keep_alive(p.here, 0), 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    CHECK_EQ(weft_conn_set_keep_alive(p.here, 90 * WEFT_SECOND + 1), 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 91);
    CHECK_EQ(weft_conn_set_keep_alive(p.here, WEFT_FOREVER), WEFT_EINVAL);
    CHECK_EQ(weft_conn_set_linger(p.here, WEFT_SECOND), WEFT_EINVAL);
    CHECK_EQ(weft_conn_set_linger(p.here, 0), 0);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len), 0);
    CHECK(l.l_onoff && l.l_linger == 0);
    weft_conn_close(p.here);
    CHECK_EQ(weft_conn_read(p.there, &byte, 1), -ECONNRESET);
    weft_conn_close(p.there);
}

static atomic_int closed;

static void closes(void *conn)
{
    weft_conn_close(conn);
    atomic_fetch_add(&closed, 1);
}

/* The socket's processor is kept busy meanwhile, so the closer runs on another. */
TEST(reset_does_not_depend_on_the_closer)
{
    char byte;

    if (weft_procs() == 1)
        SKIP("there is no other processor");
    for (int i = 1; i <= 20; i++) {
        struct pair p = tcp_pair();

        CHECK_EQ(weft_conn_set_linger(p.here, 0), 0);
        weft_go(closes, p.here);
        while (atomic_load(&closed) < i)
            continue;
        CHECK_EQ(weft_conn_read(p.there, &byte, 1), -ECONNRESET);
        weft_conn_close(p.there);
    }
}

TEST(port_can_be_shared)
{
    weft_listen_options shared = {.reuse_port = true};
    weft_listener *a, *b;
    weft_udp *u, *v;
    weft_addr at;

    CHECK_EQ(weft_listen_with("127.0.0.1:0", &shared, &a), 0);
    at = weft_listener_addr(a);
    weft_addr_name(&at, address, sizeof(address));
    CHECK_EQ(weft_listen(address, &b), -EADDRINUSE);
    CHECK_EQ(weft_listen_with(address, &shared, &b), 0);
    weft_listener_close(a);
    weft_listener_close(b);
    CHECK_EQ(weft_udp_listen_with("127.0.0.1:0", &shared, &u), 0);
    at = weft_udp_local(u);
    weft_addr_name(&at, address, sizeof(address));
    CHECK_EQ(weft_udp_listen(address, &v), -EADDRINUSE);
    CHECK_EQ(weft_udp_listen_with(address, &shared, &v), 0);
    weft_udp_close(u);
    weft_udp_close(v);
}

TEST(addresses_with_zones_read_back)
{
    static const char *const bad[] = {"[fe80::5%]:1",   "[fe80::5%0]:1",  "[fe80::5%no-such]:1",
                                      "[%1]:1",         "[1.2.3.4%1]:1",  "[fe80::5%4294967296]:1",
                                      "[fe80::5%1x]:1", "[fe80::5%1%1]:1"};
    static const char *const good[] = {"[fe80::5%1]:53912", "[fe80::5%4294967295]:0",
                                       "[ff02::1%7]:1"};
    unsigned lo = if_nametoindex("lo");
    char name[WEFT_ADDR_TEXT], numbered[WEFT_ADDR_TEXT];
    weft_addr a;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        CHECK_EQ(weft_addr_init(&a, good[i]), 0);
        weft_addr_name(&a, name, sizeof(name));
        CHECK_STR(name, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK_EQ(weft_addr_init(&a, bad[i]), WEFT_EINVAL);
    if (lo == 0)
        SKIP("no interface named lo");
    CHECK_EQ(weft_addr_init(&a, "[fe80::1%lo]:80"), 0);
    weft_addr_name(&a, name, sizeof(name));
    snprintf(numbered, sizeof(numbered), "[fe80::1%%%u]:80", lo);
    CHECK_STR(name, numbered);
}
