/* SPDX-License-Identifier: MIT */
/* test_storm.c - a task that sleeps wakes up in time while many clients connect at once. */
#include "support.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 2000, DESCRIPTORS = 2 * CLIENTS + 200 };

static struct {
    struct sockaddr_in to;
    atomic_int served, over;
    int64_t worst; /* ns of CPU that the thread burnt between two ticks */
} storm;

/* Returns the thread's CPU time, which does not count what other programs take. */
static int64_t cpu_of_thread(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * WEFT_SECOND + ts.tv_nsec;
}

static void tick(void *arg)
{
    pid_t thread = gettid();
    int64_t last = cpu_of_thread(), now;

    (void)arg;
    while (!atomic_load(&storm.over)) {
        weft_sleep(WEFT_MILLISECOND);
        now = cpu_of_thread();
        if (gettid() == thread && now - last > storm.worst)
            storm.worst = now - last;
        thread = gettid();
        last = now;
    }
}

static void echo(void *c)
{
    char byte;

    while (weft_conn_read(c, &byte, 1) == 1)
        CHECK_EQ(weft_conn_write(c, &byte, 1), 0);
    weft_conn_close(c);
    atomic_fetch_add(&storm.served, 1);
}

static void accept_all(void *ln)
{
    weft_conn *c;

    while (weft_accept(ln, &c) == 0)
        weft_go(echo, c);
}

static void *clients(void *arg)
{
    static int fd[CLIENTS];
    char byte = 'x';

    for (int i = 0; i < CLIENTS; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fd[i], (struct sockaddr *)&storm.to, sizeof(storm.to));
    }
    for (int i = 0; i < CLIENTS; i++) {
        poll(&(struct pollfd){.fd = fd[i], .events = POLLOUT}, 1, -1);
        CHECK_EQ(write(fd[i], &byte, 1), 1);
    }
    for (int i = 0; i < CLIENTS; i++) {
        poll(&(struct pollfd){.fd = fd[i], .events = POLLIN}, 1, -1);
        CHECK_EQ(read(fd[i], &byte, 1), 1);
        close(fd[i]);
    }
    return arg;
}

TEST(sleeper_does_not_wait_behind_all_that_one_poll_found)
{
    char at[WEFT_ADDR_TEXT];
    struct rlimit files;
    weft_listener *ln;
    weft_addr addr;
    pthread_t thread;

    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < DESCRIPTORS)
        SKIP("not enough descriptors");
    files.rlim_cur = DESCRIPTORS;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    CHECK_EQ(weft_listen("127.0.0.1:0", &ln), 0);
    addr = weft_listener_addr(ln);
    CHECK(weft_addr_name(&addr, at, sizeof(at)) > 0);
    storm.to = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)atoi(strchr(at, ':') + 1)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    weft_go(accept_all, ln);
    weft_go(tick, NULL);
    CHECK_EQ(pthread_create(&thread, NULL, clients, NULL), 0);
    while (atomic_load(&storm.served) < CLIENTS)
        weft_sleep(5 * WEFT_MILLISECOND);
    pthread_join(thread, NULL);
    atomic_store(&storm.over, 1);
    weft_sleep(5 * WEFT_MILLISECOND);
    weft_listener_close(ln);
    if (!under_asan() && !under_tsan() && storm.worst > 15 * WEFT_MILLISECOND)
        FAIL("%lld us of CPU between two ticks", (long long)(storm.worst / WEFT_MICROSECOND));
}

/* ---- an operation that never waits ---- */

static atomic_int ticked;

static void tick_once(void *arg)
{
    (void)arg;
    weft_sleep(WEFT_MILLISECOND);
    atomic_store(&ticked, 1);
}

/* Sends to itself. Data for which its buffer has no room is dropped, so no send waits. */
static int send_until_the_tick(void *arg)
{
    enum { ENOUGH = 5000000 };
    weft_udp *u;
    weft_addr to;
    int sent = 0;

    (void)arg;
    CHECK_EQ(weft_udp_listen("127.0.0.1:0", &u), 0);
    to = weft_udp_local(u);
    weft_go(tick_once, NULL);
    weft_yield();
    while (!atomic_load(&ticked) && sent++ < ENOUGH)
        CHECK_EQ(weft_udp_send(u, "a", 1, &to), 0);
    CHECK(atomic_load(&ticked));
    weft_udp_close(u);
    return 0;
}

TEST_PLAIN(socket_that_is_always_ready_keeps_no_timer_waiting)
{
    weft_run_options options = {.procs = 1, .no_handoff = true};

    CHECK_EQ(weft_run_with(&options, send_until_the_tick, NULL), 0);
}

/* ---- the kernel's table of descriptors ---- */

static int table_size(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[128];
    int size = 0;

    CHECK(f);
    while (size == 0 && fgets(line, sizeof(line), f))
        sscanf(line, "FDSize: %d", &size);
    fclose(f);
    return size;
}

TEST(table_of_descriptors_has_grown_before_there_are_threads)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur > 16384)
        files.rlim_cur = 16384;
    CHECK((rlim_t)table_size() >= files.rlim_cur);
}
