/* SPDX-License-Identifier: MIT */
/* test_net.c - addresses, listening, accepting, dialing. */
#include "runtime/sched/scheduler.h"
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- addresses ---- */

TEST_PLAIN(addresses_print_as_they_are_written)
{
    static const char *const texts[] = {
        "127.0.0.1:80", "0.0.0.0:0",  "[::1]:65535",       "[::]:1", "[fe80::1]:443", "unix:/tmp/a",
        "unix:a",       "unix:@name", "255.255.255.255:9",
    };
    char text[WEFT_ADDR_TEXT];
    weft_addr a;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        CHECK_EQ(weft_addr_init(&a, texts[i]), 0);
        CHECK_EQ(weft_addr_name(&a, text, sizeof(text)), strlen(texts[i]));
        CHECK_STR(text, texts[i]);
    }
    CHECK_EQ(weft_addr_name(&a, text, 4), 17);
    CHECK_STR(text, "255");
    CHECK_EQ(weft_addr_name(&a, NULL, 0), 17);
    a = (weft_addr){0};
    CHECK_EQ(weft_addr_name(&a, text, sizeof(text)), 0);
    CHECK_STR(text, "");
}

static const char *const malformed[] = {
    "",
    "80",
    "127.0.0.1",
    "127.0.0.1:",
    "::1:80",
    "[::1]",
    "[::1]80",
    "[::1:80",
    "a:b:c",
    "127.0.0.1:65536",
    "127.0.0.1:99999999999999999999",
    "[::1]:80:1",
    "unix:",
    ":",
    "1.2.3.4:-1:",
};

TEST(malformed_addresses_are_refused)
{
    char longer[400] = "unix:/";
    weft_addr a = {._len = 77};
    weft_conn *c = NULL;

    for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
        CHECK_EQ(weft_addr_init(&a, malformed[i]), WEFT_EINVAL);
        CHECK_EQ(weft_listen(malformed[i], &listener), WEFT_EINVAL);
        CHECK_EQ(weft_dial(malformed[i], &c), WEFT_EINVAL);
    }
    memset(longer + 6, 'a', sizeof(longer) - 7);
    CHECK_EQ(weft_addr_init(&a, longer), WEFT_EINVAL);
    memcpy(longer + sizeof(longer) - 4, ":80", 4);
    CHECK_EQ(weft_dial(longer + 6, &c), WEFT_EINVAL);
    CHECK_EQ(weft_addr_init(&a, "localhost:80"), WEFT_EINVAL);
    CHECK_EQ(a._len, 77);
    CHECK(!listener && !c);
}

TEST(unknown_service_is_told)
{
    int rc = weft_listen("127.0.0.1:no-such-service", &listener);

    CHECK(rc < 0 && rc != WEFT_EINVAL);
    CHECK(strcmp(weft_strerror(rc), "unknown error") != 0);
}

static void check_ends(const char *at, const char *prefix)
{
    char text[WEFT_ADDR_TEXT], peer[WEFT_ADDR_TEXT];
    struct pair p = connect_pair(at);
    weft_addr a = weft_conn_local(p.there);

    CHECK_EQ(strncmp(address, prefix, strlen(prefix)), 0);
    weft_addr_name(&a, text, sizeof(text));
    CHECK_STR(text, address);
    a = weft_conn_peer(p.here);
    weft_addr_name(&a, text, sizeof(text));
    CHECK_STR(text, address);
    a = weft_conn_local(p.here);
    weft_addr_name(&a, text, sizeof(text));
    weft_conn_close(p.here);
    a = weft_conn_peer(p.there);
    weft_addr_name(&a, peer, sizeof(peer));
    CHECK_STR(text, peer);
    weft_conn_close(p.there);
}

TEST(both_ends_know_both_addresses)
{
    check_ends("127.0.0.1:0", "127.0.0.1:");
}

TEST(both_ends_know_both_addresses_of_ipv6)
{
    check_ends("[::1]:0", "[::1]:");
}

TEST(both_ends_know_both_addresses_of_a_unix_socket)
{
    char at[64];

    snprintf(at, sizeof(at), "unix:/tmp/weft-test-%d.sock", getpid());
    check_ends(at, at);
    weft_listener_close(listener);
}

/* ---- listening ---- */

static void talk(const char *at)
{
    char buf[8];
    weft_conn *c;

    CHECK_EQ(weft_dial(at, &c), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_conn_write(c, "message", 8), 0);
        CHECK_EQ(read_full(c, buf, 8), 8);
        CHECK_STR(buf, "message");
    }
    weft_conn_close(c);
}

static void serve_at(const char *at)
{
    listen_at(at);
    weft_go(serve_echo, NULL);
}

TEST(ipv4_carries_bytes_both_ways)
{
    serve_at("127.0.0.1:0");
    talk(address);
}

TEST(ipv6_carries_bytes_both_ways)
{
    serve_at("[::1]:0");
    talk(address);
}

TEST(name_is_looked_up)
{
    char at[32];

    serve_at("localhost:0");
    snprintf(at, sizeof(at), "localhost%s", strrchr(address, ':'));
    talk(at);
}

/* ---- names beside work ---- */

static atomic_int working, done;
static atomic_bool names_are_found;

static void wait_for_names(void *arg)
{
    (void)arg;
    atomic_fetch_add(&working, 1);
    while (!atomic_load(&names_are_found))
        usleep(1000);
}

static void have_it_waited_for(void *arg)
{
    CHECK_EQ(weft_work(wait_for_names, arg), 0);
    atomic_fetch_add(&done, 1);
}

TEST(name_does_not_wait_for_work)
{
    enum { WORKS = 20 }; /* more than there are threads for */
    char at[32];

    serve_at("localhost:0");
    go_many(WORKS, have_it_waited_for, NULL);
    wait_for(&working, 4);
    snprintf(at, sizeof(at), "localhost%s", strrchr(address, ':'));
    talk(at);
    atomic_store(&names_are_found, true);
    wait_for(&done, WORKS);
}

TEST(no_host_is_every_address_to_listen_and_this_machine_to_dial)
{
    const char *port;
    char at[32];

    serve_at(":0");
    port = strrchr(address, ':');
    talk(port);
    talk(address);
    snprintf(at, sizeof(at), "127.0.0.1%s", port);
    talk(at);
    snprintf(at, sizeof(at), "[::1]%s", port);
    talk(at);
}

TEST(unix_socket_carries_bytes_both_ways_and_its_file_goes)
{
    char at[64];

    snprintf(at, sizeof(at), "unix:/tmp/weft-test-%d.sock", getpid());
    serve_at(at);
    wait_for_waits(1);
    talk(at);
    weft_listener_shutdown(listener);
    weft_listener_close(listener);
    CHECK_EQ(access(at + 5, F_OK), -1);
}

TEST(unix_name_without_a_file_carries_bytes_both_ways)
{
    char at[64];

    snprintf(at, sizeof(at), "unix:@weft-test-%d", getpid());
    serve_at(at);
    talk(at);
}

TEST(address_in_use_is_told)
{
    weft_listener *other = NULL;

    listen_at("127.0.0.1:0");
    CHECK_EQ(weft_listen(address, &other), -EADDRINUSE);
    CHECK(!other);
}

static void bind_raw(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    CHECK_EQ(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    CHECK_EQ(listen(fd, 1), 0);
    close(fd);
}

TEST(unix_file_is_replaced_only_if_its_owner_has_died)
{
    char at[64];
    weft_listener *other = NULL;
    int fd;

    snprintf(at, sizeof(at), "unix:/tmp/weft-test-%d.sock", getpid());
    bind_raw(at + 5);
    listen_at(at);
    CHECK_EQ(weft_listen(at, &other), -EADDRINUSE);
    weft_listener_close(listener);
    fd = open(at + 5, O_CREAT | O_CLOEXEC | O_WRONLY, 0600);
    CHECK_EQ(weft_listen(at, &other), -EADDRINUSE);
    CHECK_EQ(access(at + 5, F_OK), 0);
    close(fd);
    unlink(at + 5);
}

TEST(unix_file_of_another_is_left_alone)
{
    char at[64];

    snprintf(at, sizeof(at), "unix:/tmp/weft-test-%d.sock", getpid());
    listen_at(at);
    unlink(at + 5);
    bind_raw(at + 5);
    weft_listener_close(listener);
    CHECK_EQ(access(at + 5, F_OK), 0);
    unlink(at + 5);
}

/* ---- accepting ---- */

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    CHECK_EQ(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

TEST(connections_have_their_options)
{
    struct sockaddr_storage peer;
    int seen = 0;

    tcp_pair();
    for (int fd = 3; fd < 100; fd++) {
        socklen_t len = sizeof(peer);

        if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0 || peer.ss_family != AF_INET)
            continue;
        seen++;
        CHECK_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
        CHECK_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
        CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 15);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    CHECK_EQ(seen, 2);
}

TEST(accept_ends_at_its_deadline)
{
    weft_conn *c = NULL;
    weft_time end = weft_after(2 * WEFT_MILLISECOND);

    listen_at("127.0.0.1:0");
    CHECK_EQ(weft_accept_until(listener, WEFT_NOW, &c), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_accept_until(listener, end, &c), WEFT_ETIMEDOUT);
    CHECK(weft_now() >= end);
    CHECK(!c);
    close(raw_dial());
    CHECK_EQ(weft_accept_until(listener, WEFT_NOW, &c), 0);
    weft_conn_close(c);
}

static int accept_result(void *arg)
{
    weft_conn *c;
    int rc = weft_accept(listener, &c);

    (void)arg;
    if (rc == 0)
        weft_conn_close(c);
    return rc;
}

TEST(accept_is_canceled)
{
    weft_group g = WEFT_GROUP_INIT;

    listen_at("127.0.0.1:0");
    for (int i = 0; i < 3; i++)
        weft_group_go(&g, accept_result, NULL);
    wait_for_waits(3);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
}

static atomic_int refused;

static void accept_until_closed(void *arg)
{
    weft_conn *c;
    int rc;

    (void)arg;
    while ((rc = weft_accept(listener, &c)) == 0)
        weft_conn_close(c);
    CHECK_EQ(rc, WEFT_ECLOSED);
    CHECK_EQ(weft_accept(listener, &c), WEFT_ECLOSED);
    atomic_fetch_add(&refused, 1);
}

TEST(shutdown_ends_pending_and_later_accepts)
{
    weft_conn *c;

    listen_at("127.0.0.1:0");
    go_many(3, accept_until_closed, NULL);
    wait_for_waits(2);
    weft_listener_shutdown(listener);
    weft_listener_shutdown(listener);
    wait_for(&refused, 3);
    CHECK_EQ(weft_dial(address, &c), -ECONNREFUSED);
    weft_listener_close(listener);
    weft_listener_close(NULL);
}

TEST(close_ends_pending_accepts_and_frees_the_address)
{
    weft_group g = WEFT_GROUP_INIT;

    for (int i = 0; i < 20; i++) {
        listen_at(i ? address : "127.0.0.1:0");
        weft_group_go(&g, accept_result, NULL);
        weft_group_go(&g, accept_result, NULL);
        wait_for_waits(2);
        weft_listener_close(listener);
        CHECK_EQ(weft_group_wait(&g), WEFT_ECLOSED);
        g = (weft_group)WEFT_GROUP_INIT;
    }
}

static void limit_fds(rlim_t n)
{
    struct rlimit limit = {n, 1000};

    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Yields until an accept pauses; needs no new descriptor. */
static void wait_for_pause(int dump)
{
    static char text[1 << 20];
    ssize_t n = 0;

    while (!memmem(text, (size_t)n, "IO retry wait", 13)) {
        weft_yield();
        CHECK_EQ(ftruncate(dump, 0), 0);
        CHECK_EQ(lseek(dump, 0, SEEK_SET), 0);
        CHECK_EQ(weft_dump(dump, NULL), 0);
        n = pread(dump, text, sizeof(text), 0);
    }
}

/* The errors that the system is to return, one for each accept; 0: none. */
static const int *errors;
static atomic_int tries;

int __real_weft__sys_accept(int fd, struct sockaddr *from, socklen_t *len);
int __wrap_weft__sys_accept(int fd, struct sockaddr *from, socklen_t *len);

int __wrap_weft__sys_accept(int fd, struct sockaddr *from, socklen_t *len)
{
    if (!errors)
        return __real_weft__sys_accept(fd, from, len);
    atomic_fetch_add(&tries, 1);
    return *errors ? -*errors++ : __real_weft__sys_accept(fd, from, len);
}

TEST(accept_goes_on_after_errors_that_pass)
{
    static const int passing[] = {EPERM,           ECONNABORTED, EPROTO, ENETDOWN,
                                  ENOPROTOOPT,     EHOSTDOWN,    ENONET, EHOSTUNREACH,
                                  ETIMEDOUT,       ENETUNREACH,  EMFILE, ENFILE,
                                  ENOBUFS,         ENOMEM,       ENOSPC, ESOCKTNOSUPPORT,
                                  EPROTONOSUPPORT, EIO,          0};

    errors = passing;
    close_pair(tcp_pair());
    CHECK(atomic_load(&tries) > (int)(sizeof(passing) / sizeof(*passing)) - 1);
}

TEST(accept_that_is_forbidden_again_and_again_lets_others_run)
{
    static int forbidden[10001];
    weft_group g = WEFT_GROUP_INIT;

    for (int i = 0; i < 10000; i++)
        forbidden[i] = EPERM;
    listen_at("127.0.0.1:0");
    errors = forbidden;
    weft_group_deadline(&g, weft_after(100 * WEFT_MILLISECOND));
    weft_group_go(&g, accept_result, NULL);
    weft_group_join(&g);
    CHECK(atomic_load(&tries) >= 16);
    CHECK(atomic_load(&tries) < 10000);
}

TEST(accept_ends_at_errors_of_its_caller)
{
    static const int final[] = {EBADF, EFAULT, ENOTSOCK, EOPNOTSUPP, 0};
    weft_conn *c;

    listen_at("127.0.0.1:0");
    errors = final;
    for (int i = 0; i < 4; i++)
        CHECK_EQ(weft_accept(listener, &c), -final[i]);
}

static void accept_in_trouble(void)
{
    static const int trouble[] = {EPERM, EPERM, EMFILE, EMFILE, ECONNABORTED, EMFILE, 0};

    errors = trouble;
    close_pair(tcp_pair());
}

static int run_in_trouble(void *arg)
{
    (void)arg;
    accept_in_trouble();
    return 0;
}

static void trouble_in_a_run(void)
{
    weft_run(run_in_trouble, NULL);
}

TEST_PLAIN(trouble_of_accept_is_said_once)
{
    static char err[65536];
    const char *second;

    CHECK_EQ(in_child(trouble_in_a_run, err, sizeof(err)), 0);
    CHECK_CONTAINS(err, "weft: accept at 127.0.0.1:");
    CHECK_CONTAINS(err, ": Operation not permitted; it is tried again\n");
    second = strstr(err, ": Too many open files; it is tried again\n");
    CHECK(second && !strstr(second + 1, "weft:"));
}

TEST(accept_waits_for_descriptors)
{
    weft_addr a;
    weft_group g = WEFT_GROUP_INIT;
    struct pair p;
    int fd, dump = memfd_create("dump", MFD_CLOEXEC);

    CHECK_EQ(weft_dump(dump, NULL), 0);
    listen_at("127.0.0.1:0");
    CHECK_EQ(weft_addr_init(&a, address), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    limit_fds((rlim_t)fd + 1);
    CHECK_EQ(connect(fd, (struct sockaddr *)a._bytes, a._len), 0);
    CHECK_EQ(weft_accept_until(listener, WEFT_NOW, &p.there), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_accept_until(listener, weft_after(WEFT_MILLISECOND), &p.there), WEFT_ETIMEDOUT);
    weft_group_go(&g, accept_result, NULL);
    wait_for_pause(dump);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
    g = (weft_group)WEFT_GROUP_INIT;
    weft_group_go(&g, accept_there, &p);
    wait_for_pause(dump);
    limit_fds(1000);
    CHECK_EQ(weft_group_join(&g), 0);
    weft_conn_close(p.there);
    close(fd);
}

TEST(connections_spread_over_processors)
{
    enum { N = 64 };
    weft_conn *c[N];
    uint32_t total = 0;

    serve_at("127.0.0.1:0");
    for (int i = 0; i < N; i++) {
        CHECK_EQ(weft_dial(address, &c[i]), 0);
        CHECK_EQ(weft_conn_write(c[i], "x", 1), 0);
        CHECK_EQ(read_result(c[i]), 1);
    }
    wait_for_waits(N + 1);
    for (int i = 0; i < weft_procs(); i++) {
        uint32_t n = weft__load(&weft__sched.procs[i].nsocks);

        total += n;
        CHECK(n >= (uint32_t)(N / weft_procs() / 2));
    }
    CHECK(total >= N + 1);
}

/* ---- dialing ---- */

TEST(dial_where_nobody_listens_is_refused)
{
    weft_conn *c = NULL;
    char at[64];

    listen_at("127.0.0.1:0");
    weft_listener_close(listener);
    CHECK_EQ(weft_dial(address, &c), -ECONNREFUSED);
    snprintf(at, sizeof(at), "unix:/tmp/weft-test-%d.sock", getpid());
    CHECK_EQ(weft_dial(at, &c), -ENOENT);
    bind_raw(at + 5);
    CHECK_EQ(weft_dial(at, &c), -ECONNREFUSED);
    unlink(at + 5);
    CHECK(!c);
}

/* Fills the accept queue of an IPv4 port, so that a task that dials it waits. */
static void jam(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(in);

    CHECK_EQ(bind(fd, (struct sockaddr *)&in, len), 0);
    CHECK_EQ(listen(fd, 0), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(in.sin_port));
    raw_dial();
}

static int dial_result(void *arg)
{
    weft_conn *c;
    int rc = weft_dial(arg, &c);

    if (rc == 0)
        weft_conn_close(c);
    return rc;
}

TEST(dial_ends_at_its_deadline_and_is_canceled)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_conn *c = NULL;

    jam();
    CHECK_EQ(weft_dial_until(address, WEFT_NOW, &c), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_dial_until(address, weft_after(WEFT_MILLISECOND), &c), WEFT_ETIMEDOUT);
    weft_group_go(&g, dial_result, address);
    wait_for_waits(1);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
    CHECK(!c);
}

TEST(other_family_is_tried_when_the_first_is_silent)
{
    weft_time start = weft_now();
    char at[32];

    jam();
    snprintf(at, sizeof(at), "[::1]%s", strrchr(address, ':'));
    CHECK_EQ(weft_listen(at, &listener), 0);
    CHECK_EQ(dial_result(strrchr(address, ':')), 0);
    CHECK(weft_now() - start >= 300 * WEFT_MILLISECOND);
    weft_listener_close(listener);
}

TEST(other_family_is_tried_when_the_first_refuses)
{
    listen_at("[::1]:0");
    CHECK_EQ(dial_result(strrchr(address, ':')), 0);
    weft_listener_close(listener);
    CHECK_EQ(dial_result(strrchr(address, ':')), -ECONNREFUSED);
}

TEST(race_of_families_is_canceled)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_conn *c;

    jam();
    CHECK_EQ(weft_dial_until(strrchr(address, ':'), weft_after(WEFT_MILLISECOND), &c),
             WEFT_ETIMEDOUT);
    weft_group_go(&g, dial_result, strrchr(address, ':'));
    wait_for_waits(1);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
}

TEST(dial_of_a_full_unix_socket_waits_for_room)
{
    enum { N = 8 };
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    weft_group g = WEFT_GROUP_INIT;
    char at[64];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at, sizeof(at), "unix:/tmp/weft-test-%d.sock", getpid());
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", at + 5);
    CHECK_EQ(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    CHECK_EQ(listen(fd, 0), 0);
    for (int i = 0; i < N; i++)
        weft_group_go(&g, dial_result, at);
    wait_for_dump("IO retry wait");
    for (int i = 0; i < N; i++)
        close(accept(fd, NULL, NULL)); /* blocks: the processor is taken meanwhile */
    CHECK_EQ(weft_group_join(&g), 0);
    unlink(at + 5);
}

static int lookup_result(void *name)
{
    weft_conn *c;

    return weft_dial(name, &c);
}

TEST(lookup_is_left_at_a_deadline_and_when_canceled)
{
    weft_conn *c;

    for (int i = 0; i < 20; i++) {
        weft_group g = WEFT_GROUP_INIT;

        CHECK_EQ(weft_dial_until("localhost:1", WEFT_NOW, &c), WEFT_ETIMEDOUT);
        for (int j = 0; j < 10; j++)
            weft_group_go(&g, lookup_result, "localhost:1");
        for (int j = 0; j < i % 5; j++)
            weft_yield();
        weft_group_cancel(&g);
        CHECK(weft_group_join(&g) < 0);
    }
}

/* ---- the end ---- */

static int leave_all_open(void *arg)
{
    struct pair p;

    (void)arg;
    listener = NULL;
    p = tcp_pair();
    weft_go(echo, p.there);
    CHECK_EQ(weft_conn_write(p.here, "x", 1), 0);
    CHECK_EQ(read_result(p.here), 1);
    weft_go(serve_echo, NULL);
    if ((uintptr_t)arg % 2)
        wait_for_waits(2);
    return 0;
}

TEST_PLAIN(runs_that_leave_all_open_leave_no_descriptors)
{
    int first = 0, fd;

    for (uintptr_t i = 0; i < 100; i++) {
        CHECK_EQ(weft_run(leave_all_open, (void *)i), 0);
        fd = dup(0);
        close(fd);
        if (i == 3)
            first = fd;
        if (i > 3)
            CHECK_EQ(fd, first);
    }
}

TEST(calls_on_a_closed_listener_return_eclosed)
{
    weft_listener *ln;
    weft_conn *c;

    CHECK_EQ(weft_listen("127.0.0.1:0", &ln), 0);
    weft_listener_close(ln);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_accept(ln, &c), WEFT_ECLOSED);
        weft_listener_shutdown(ln);
        CHECK_EQ(weft_listener_addr(ln)._len, 0);
        close_pair(tcp_pair());
    }
}

TEST_DIES(second_close_of_a_listener_panics, 2, "panic: weft: close of closed listener")
{
    weft_listener *ln;

    CHECK_EQ(weft_listen("127.0.0.1:0", &ln), 0);
    weft_listener_close(ln);
    weft_listener_close(ln);
}
