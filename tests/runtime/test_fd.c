/* SPDX-License-Identifier: MIT */
/* test_fd.c - waits on descriptors, the thread pool, child processes. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static void make_pipe(void)
{
    CHECK_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
}

static void fill(int fd)
{
    static const char bytes[4096];

    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
}

static void write_byte(void *arg)
{
    (void)arg;
    CHECK_EQ(write(ends[1], "x", 1), 1);
}

/* ---- descriptors ---- */

TEST(ready_descriptor_is_reported)
{
    make_pipe();
    CHECK_EQ(weft_fd_wait(ends[1], WEFT_FD_WRITE), WEFT_FD_WRITE);
    write_byte(NULL);
    CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ), WEFT_FD_READ);
    CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, weft_after(WEFT_SECOND)), WEFT_FD_READ);
}

TEST(ready_descriptor_is_reported_by_a_try)
{
    make_pipe();
    CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_fd_wait_until(ends[1], WEFT_FD_WRITE, WEFT_NOW), WEFT_FD_WRITE);
    write_byte(NULL);
    CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, WEFT_NOW), WEFT_FD_READ);
}

TEST(reader_waits_for_the_writer)
{
    char byte;

    make_pipe();
    for (int i = 0; i < 200; i++) {
        weft_go(write_byte, NULL);
        CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ), WEFT_FD_READ);
        CHECK_EQ(read(ends[0], &byte, 1), 1);
    }
}

static void empty(void *arg)
{
    static char bytes[1 << 20];

    (void)arg;
    CHECK(read(ends[0], bytes, sizeof(bytes)) > 0);
}

TEST(writer_waits_for_the_reader)
{
    make_pipe();
    fill(ends[1]);
    CHECK_EQ(weft_fd_wait_until(ends[1], WEFT_FD_WRITE, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_go(empty, NULL);
    CHECK_EQ(weft_fd_wait(ends[1], WEFT_FD_WRITE), WEFT_FD_WRITE);
}

TEST(socket_may_be_ready_for_both)
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ | WEFT_FD_WRITE), WEFT_FD_WRITE);
    write_byte(NULL);
    CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ | WEFT_FD_WRITE), WEFT_FD_READ | WEFT_FD_WRITE);
}

static void close_writer(void *arg)
{
    (void)arg;
    close(ends[1]);
}

TEST(closed_peer_makes_readable)
{
    char byte;

    make_pipe();
    weft_go(close_writer, NULL);
    CHECK(weft_fd_wait(ends[0], WEFT_FD_READ) > 0);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(wait_ends_at_its_deadline_and_the_descriptor_is_free_again)
{
    make_pipe();
    for (int i = 0; i < 100; i++) {
        weft_time end = weft_after(i * 10000);

        CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, end), WEFT_ETIMEDOUT);
        CHECK(weft_now() >= end);
    }
    write_byte(NULL);
    CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ), WEFT_FD_READ);
    close(ends[0]);
    close(ends[1]);
    make_pipe();
    weft_go(write_byte, NULL);
    CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ), WEFT_FD_READ);
}

static int wait_result(void *arg)
{
    (void)arg;
    return weft_fd_wait(ends[0], WEFT_FD_READ);
}

TEST(canceled_wait_returns)
{
    make_pipe();
    for (int i = 0; i < 100; i++) {
        weft_group g = WEFT_GROUP_INIT;

        weft_group_go(&g, wait_result, NULL);
        for (int j = 0; j < i % 5; j++)
            weft_yield();
        weft_group_cancel(&g);
        CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    }
    write_byte(NULL);
    CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ), WEFT_FD_READ);
}

TEST(what_cannot_be_waited_for_is_refused)
{
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    make_pipe();
    CHECK_EQ(weft_fd_wait(-1, WEFT_FD_READ), WEFT_EINVAL);
    CHECK_EQ(weft_fd_wait(ends[0], 0), WEFT_EINVAL);
    CHECK_EQ(weft_fd_wait(ends[0], 4), WEFT_EINVAL);
    CHECK_EQ(weft_fd_wait(12345, WEFT_FD_READ), -EBADF);
    CHECK_EQ(weft_fd_wait(file, WEFT_FD_READ), -EPERM);
}

/* ---- several tasks and one descriptor ---- */

enum { BULK = 4 << 20 };

static atomic_int done_tasks;

/* The byte number i of a stream. */
static char byte_of(int i)
{
    return (char)(i * 7 + i / 256);
}

static void write_bulk(void *fd)
{
    char bytes[3000];
    int n = 0;

    while (n < BULK) {
        int some = BULK - n < (int)sizeof(bytes) ? BULK - n : (int)sizeof(bytes);
        ssize_t put;

        for (int i = 0; i < some; i++)
            bytes[i] = byte_of(n + i);
        put = write(*(int *)fd, bytes, (size_t)some);
        n += put > 0 ? (int)put : 0;
        if (put < 0)
            CHECK_EQ(weft_fd_wait(*(int *)fd, WEFT_FD_WRITE), WEFT_FD_WRITE);
    }
    atomic_fetch_add(&done_tasks, 1);
}

static void read_bulk(void *fd)
{
    char bytes[5000];
    int n = 0;

    while (n < BULK) {
        ssize_t got = read(*(int *)fd, bytes, sizeof(bytes));

        for (int i = 0; i < got; i++)
            CHECK_EQ(bytes[i], byte_of(n + i));
        n += got > 0 ? (int)got : 0;
        if (got < 0)
            CHECK_EQ(weft_fd_wait(*(int *)fd, WEFT_FD_READ), WEFT_FD_READ);
    }
    atomic_fetch_add(&done_tasks, 1);
}

TEST(one_task_reads_while_another_writes)
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    for (int i = 0; i < 2; i++) {
        weft_go(write_bulk, &ends[i]);
        weft_go(read_bulk, &ends[i]);
    }
    wait_for(&done_tasks, 4);
}

static void await_either(void *events)
{
    CHECK_EQ(weft_fd_wait(ends[0], *(int *)events), WEFT_FD_READ);
    atomic_fetch_add(&done_tasks, 1);
}

static int wait_a_while(void *events)
{
    return weft_fd_wait_until(ends[0], *(int *)events, weft_after(WEFT_MILLISECOND));
}

/* Tasks that give up take nothing from the others. */
TEST(all_that_wait_are_told)
{
    static int events[] = {WEFT_FD_READ, WEFT_FD_READ | WEFT_FD_WRITE, WEFT_FD_WRITE};
    weft_group writers = WEFT_GROUP_INIT, late = WEFT_GROUP_INIT;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    fill(ends[0]);
    for (int i = 0; i < 9; i++) {
        weft_go(await_either, &events[i % 2]);
        weft_group_go(&writers, wait_a_while, &events[2]);
        weft_group_go(&late, wait_a_while, &events[i % 3]);
    }
    CHECK_EQ(weft_group_join(&late), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_group_join(&writers), WEFT_ETIMEDOUT);
    write_byte(NULL);
    wait_for(&done_tasks, 9);
}

/* ---- what else is readiness, and what stays as it was ---- */

static void close_reader(void *arg)
{
    (void)arg;
    close(ends[0]);
}

TEST(writer_is_told_that_the_reader_went)
{
    make_pipe();
    fill(ends[1]);
    weft_go(close_reader, NULL);
    CHECK_EQ(weft_fd_wait(ends[1], WEFT_FD_WRITE), WEFT_FD_WRITE);
    CHECK_EQ(weft_fd_wait(ends[1], WEFT_FD_WRITE), WEFT_FD_WRITE);
    CHECK_EQ(weft_fd_wait_until(ends[1], WEFT_FD_WRITE, WEFT_NOW), WEFT_FD_WRITE);
}

TEST(refused_connect_makes_writable)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int bound = socket(AF_INET, SOCK_STREAM, 0),
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(in);
    int error = 0;

    CHECK_EQ(bind(bound, (struct sockaddr *)&in, len), 0); /* and nobody listens */
    CHECK_EQ(getsockname(bound, (struct sockaddr *)&in, &len), 0);
    connect(fd, (struct sockaddr *)&in, len);
    CHECK_EQ(weft_fd_wait(fd, WEFT_FD_WRITE), WEFT_FD_WRITE);
    len = sizeof(error);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    CHECK_EQ(error, ECONNREFUSED);
}

TEST(flags_of_the_descriptor_stay)
{
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, weft_after(1)), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_fd_wait(ends[1], WEFT_FD_WRITE), WEFT_FD_WRITE);
    weft_go(write_byte, NULL);
    CHECK_EQ(weft_fd_wait(ends[0], WEFT_FD_READ), WEFT_FD_READ);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(fcntl(ends[i], F_GETFL) & O_NONBLOCK, 0);
}

/* A wait that gave up left no trace on the file, which is still open under another number. */
TEST(number_of_a_closed_descriptor_is_another_ones)
{
    int other[2], kept;
    char byte;

    make_pipe();
    CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, weft_after(1)), WEFT_ETIMEDOUT);
    kept = dup(ends[0]);
    close(ends[0]);
    CHECK_EQ(pipe2(other, O_NONBLOCK | O_CLOEXEC), 0);
    CHECK_EQ(other[0], ends[0]);
    write_byte(NULL);
    CHECK_EQ(weft_fd_wait_until(other[0], WEFT_FD_READ, weft_after(WEFT_MILLISECOND)),
             WEFT_ETIMEDOUT);
    CHECK_EQ(read(kept, &byte, 1), 1);
}

/* Returns the time of the shortest of some runs, in ns, since other programs use the machine, too.
 */
static int64_t shortest_run(bool ours)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    int64_t best = INT64_MAX;

    for (int run = 0; run < 50; run++) {
        weft_time began = weft_now();

        for (int i = 0; i < 200; i++) {
            if (ours)
                CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, WEFT_NOW), WEFT_ETIMEDOUT);
            else
                CHECK_EQ(poll(&p, 1, 0), 0);
        }
        best = weft_now() - began < best ? weft_now() - began : best;
    }
    return best;
}

TEST(a_try_costs_little_more_than_poll)
{
    if (under_tsan() || under_asan())
        SKIP("timing");
    make_pipe();
    CHECK(shortest_run(true) < 2 * shortest_run(false));
}

struct pair {
    int fd[2];
    atomic_int *done;
};

static void bounce(void *arg)
{
    struct pair *p = arg;
    char byte;

    for (int i = 0; i < 100; i++) {
        CHECK(weft_fd_wait(p->fd[0], WEFT_FD_READ) > 0);
        CHECK_EQ(read(p->fd[0], &byte, 1), 1);
        CHECK_EQ(write(p->fd[0], &byte, 1), 1);
    }
    atomic_fetch_add(p->done, 1);
}

static void serve(void *arg)
{
    struct pair *p = arg;
    char byte = 'x';

    for (int i = 0; i < 100; i++) {
        CHECK_EQ(write(p->fd[1], &byte, 1), 1);
        CHECK(weft_fd_wait(p->fd[1], WEFT_FD_READ) > 0);
        CHECK_EQ(read(p->fd[1], &byte, 1), 1);
    }
    atomic_fetch_add(p->done, 1);
}

TEST(many_tasks_talk_over_sockets)
{
    enum { N = 20 };
    static struct pair p[N];
    static atomic_int done;

    for (int i = 0; i < N; i++) {
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p[i].fd), 0);
        p[i].done = &done;
        weft_go(bounce, &p[i]);
        weft_go(serve, &p[i]);
    }
    wait_for(&done, 2 * N);
}

/* ---- the thread pool ---- */

static atomic_int worked;

static void work(void *arg)
{
    CHECK((int)syscall(SYS_gettid) != *(int *)arg);
    atomic_fetch_add(&worked, 1);
}

static void work_a_while(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int mine = (int)syscall(SYS_gettid), before;

        CHECK_EQ(weft_work(work, &mine), 0);
        before = atomic_load(&worked);
        CHECK(before > i);
    }
}

TEST(work_is_done_elsewhere_and_waited_for)
{
    work_a_while(NULL);
    CHECK_EQ(atomic_load(&worked), 20);
}

TEST(many_tasks_have_work_done)
{
    go_many(20, work_a_while, NULL);
    wait_for(&worked, 400);
}

/* ---- child processes ---- */

TEST(status_of_a_child_is_returned)
{
    CHECK_EQ(weft_process_run((const char *[]){"true", NULL}), 0);
    CHECK_EQ(weft_process_run((const char *[]){"sh", "-c", "exit 7", NULL}), 7);
    CHECK_EQ(weft_process_run((const char *[]){"sh", "-c", "exit \"$1\"", "sh", "9", NULL}), 9);
}

TEST(child_ended_by_a_signal_is_128_and_the_signal)
{
    CHECK_EQ(weft_process_run((const char *[]){"sh", "-c", "kill -TERM $$", NULL}), 128 + SIGTERM);
    CHECK_EQ(weft_process_run((const char *[]){"sh", "-c", "kill -KILL $$", NULL}), 128 + SIGKILL);
}

TEST(program_that_is_not_there_is_enoent)
{
    CHECK_EQ(weft_process_run((const char *[]){"/no/such/program", NULL}), -ENOENT);
    CHECK_EQ(weft_process_run((const char *[]){"/no/such/program", NULL}), -ENOENT);
    CHECK_EQ(weft_process_run((const char *[]){"true", NULL}), 0);
}

static void run_children(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(weft_process_run((const char *[]){"sh", "-c", "exit 3", NULL}), 3);
    atomic_fetch_add(&worked, 1);
}

TEST(many_tasks_run_children)
{
    go_many(8, run_children, NULL);
    wait_for(&worked, 8);
}

static int run_for_a_while(void)
{
    return weft_process_run((const char *[]){"sleep", "0.05", NULL});
}

static void end_the_reaper(void *thread)
{
    pthread_join(*(pthread_t *)thread, NULL);
}

static atomic_bool reaper_ends;

static void *take_every_status(void *arg)
{
    while (!atomic_load(&reaper_ends)) {
        if (waitpid(-1, NULL, 0) < 0)
            usleep(100);
    }
    return arg;
}

TEST(child_whose_status_another_thread_takes_is_no_wait_for_ever)
{
    pthread_t thread;
    int rc;

    CHECK_EQ(pthread_create(&thread, NULL, take_every_status, NULL), 0);
    for (int i = 0; i < 5; i++) {
        rc = run_for_a_while();
        CHECK(rc == -ECHILD || rc == 0); /* the thread may be the second */
    }
    atomic_store(&reaper_ends, true);
    weft_blocking(end_the_reaper, &thread);
}

TEST(child_whose_status_nobody_keeps_is_an_error)
{
    signal(SIGCHLD, SIG_IGN);
    CHECK_EQ(run_for_a_while(), -ECHILD);
}

TEST(child_without_a_descriptor_for_it_is_waited_for)
{
    struct rlimit few = {64, 64};

    weft_sleep(1); /* by now the runtime has opened its descriptors */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        ;
    CHECK_EQ(weft_process_run((const char *[]){"sh", "-c", "exit 3", NULL}), 3);
    CHECK_EQ(run_for_a_while(), 0);
}

static void run_longer_than_the_run(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    weft_process_run((const char *[]){"sleep", "2", NULL});
}

static int leave_a_child_behind(void *arg)
{
    weft_go(run_longer_than_the_run, arg);
    wait_for(arg, 1);
    wait_for_dump("[process wait]");
    return 0;
}

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

TEST_PLAIN(end_of_the_run_closes_what_a_child_was_waited_for_with)
{
    atomic_int begun = 0;
    int before;

    CHECK_EQ(weft_run(leave_a_child_behind, &begun), 0);
    before = descriptors();
    for (int i = 0; i < 3; i++) {
        begun = 0;
        CHECK_EQ(weft_run(leave_a_child_behind, &begun), 0);
    }
    CHECK_EQ(descriptors(), before);
}

static void run_one(void *arg)
{
    CHECK_EQ(run_for_a_while(), 0);
    atomic_fetch_add((atomic_int *)arg, 1);
}

TEST(sigchld_is_received_beside_children)
{
    weft_chan *c = weft_chan_new(sizeof(int), 1);
    atomic_int ended = 0;
    int signo = 0;

    CHECK_EQ(run_for_a_while(), 0);
    CHECK_EQ(weft_signal_start(c, SIGCHLD), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(run_for_a_while(), 0);
        CHECK_EQ(weft_chan_recv(c, &signo), 0);
        CHECK_EQ(signo, SIGCHLD);
    }
    weft_go(run_one, &ended);
    weft_yield();
    weft_signal_stop(c, SIGCHLD);
    wait_for(&ended, 1);
    CHECK_EQ(run_for_a_while(), 0);
    weft_chan_free(c);
}
