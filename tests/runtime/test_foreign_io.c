/* SPDX-License-Identifier: MIT */
/* test_foreign_io.c - threads that are no tasks use sockets, descriptors, processes and servers.
 *
 * The main thread of each test is such a thread, beside a run of weft_start. */
#include "runtime/io/sock.h"
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

/* Returns whether the thread runs, or has not called yet. */
static bool not_parked(const weft__worker *w, const void *arg)
{
    (void)arg;
    return w != weft__self() && weft__load_acq(&w->task->state) != WEFT__PARKED;
}

static bool is_other(const weft__worker *w, const void *arg)
{
    (void)arg;
    return w != weft__self();
}

/* Returns when another foreign thread is known, and all others wait. */
static void wait_for_waiters(void)
{
    while (!weft__foreign_any(is_other, NULL) || weft__foreign_any(not_parked, NULL))
        sched_yield();
}

static pthread_t start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, fn, arg), 0);
    return thread;
}

static intptr_t joined(pthread_t thread)
{
    void *rc;

    CHECK_EQ(pthread_join(thread, &rc), 0);
    return (intptr_t)rc;
}

static void run_begins(void)
{
    CHECK_EQ(weft_start(NULL), 0);
}

/* ---- sockets ---- */

static void *accepts_and_echoes(void *arg)
{
    weft_conn *c;

    (void)arg;
    CHECK_EQ(weft_accept(listener, &c), 0);
    echo(c);
    return NULL;
}

TEST_PLAIN(two_threads_talk)
{
    char buf[6] = "";
    pthread_t thread;
    weft_conn *c;

    run_begins();
    listen_at("127.0.0.1:0");
    thread = start_thread(accepts_and_echoes, NULL);
    CHECK_EQ(weft_dial_until(address, weft_after(60 * WEFT_SECOND), &c), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_conn_write(c, "hello", 5), 0);
        CHECK_EQ(read_full(c, buf, 5), 5);
        CHECK_STR(buf, "hello");
    }
    CHECK(weft_conn_local(c)._len > 0);
    CHECK(weft_conn_peer(c)._len > 0);
    weft_conn_close(c);
    joined(thread);
    weft_listener_close(listener);
    weft_stop();
}

TEST_PLAIN(thread_talks_to_a_task)
{
    static char sent[300000], got[sizeof(sent)];
    struct pair p;

    run_begins();
    p = tcp_pair();
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 7);
    weft_go(echo, p.there);
    for (size_t at = 0; at < sizeof(sent); at += sizeof(sent) / 10)
        CHECK_EQ(weft_conn_write(p.here, sent + at, sizeof(sent) / 10), 0);
    CHECK_EQ(read_full(p.here, got, sizeof(got)), sizeof(got));
    CHECK_EQ(memcmp(sent, got, sizeof(got)), 0);
    weft_conn_close(p.here);
    weft_stop();
}

TEST_PLAIN(deadline_ends_the_read_of_a_thread)
{
    struct pair p;
    weft_conn *c;

    run_begins();
    p = tcp_pair();
    weft_conn_set_deadline(p.here, weft_after(10 * WEFT_MILLISECOND));
    CHECK_EQ(read_result(p.here), WEFT_ETIMEDOUT);
    CHECK_EQ(write_bulk_result(p.here), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_accept_until(listener, weft_after(WEFT_MILLISECOND), &c), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_accept_until(listener, WEFT_NOW, &c), WEFT_ETIMEDOUT);
    close_pair(p);
    weft_stop();
}

static void *reads(void *conn)
{
    return (void *)(intptr_t)read_result(conn);
}

TEST_PLAIN(close_and_deadline_by_another_thread_end_a_read)
{
    struct pair p, q;
    pthread_t one, other;

    run_begins();
    p = tcp_pair();
    q = tcp_pair();
    one = start_thread(reads, p.here);
    other = start_thread(reads, q.here);
    wait_for_waits(2);
    weft_conn_close(p.here);
    weft_conn_set_read_deadline(q.here, weft_after(-WEFT_SECOND));
    CHECK_EQ(joined(one), WEFT_ECLOSED);
    CHECK_EQ(joined(other), WEFT_ETIMEDOUT);
    weft_conn_close(p.there);
    close_pair(q);
    weft_stop();
}

TEST_PLAIN(datagrams_pass_between_a_thread_and_a_task)
{
    char name[WEFT_ADDR_TEXT], buf[4];
    weft_udp *a, *b;
    weft_addr at;

    run_begins();
    CHECK_EQ(weft_udp_listen("127.0.0.1:0", &a), 0);
    at = weft_udp_local(a);
    weft_addr_name(&at, name, sizeof(name));
    CHECK_EQ(weft_udp_dial(name, &b), 0);
    CHECK_EQ(weft_udp_send(b, "abc", 3, NULL), 0);
    CHECK_EQ(weft_udp_recv(a, buf, sizeof(buf), NULL), 3);
    weft_udp_set_deadline(a, weft_after(WEFT_MILLISECOND));
    CHECK_EQ(weft_udp_recv(a, buf, sizeof(buf), NULL), WEFT_ETIMEDOUT);
    weft_udp_close(a);
    weft_udp_close(b);
    weft_stop();
}

TEST_PLAIN(thread_dials_a_name)
{
    char name[WEFT_ADDR_TEXT + 16];
    pthread_t thread;
    weft_conn *c;

    run_begins();
    listen_at("127.0.0.1:0");
    snprintf(name, sizeof(name), "localhost%s", strchr(address, ':'));
    thread = start_thread(accepts_and_echoes, NULL);
    CHECK_EQ(weft_dial(name, &c), 0); /* two families, if localhost has both */
    weft_conn_close(c);
    joined(thread);
    CHECK_EQ(weft_dial("no port here", &c), WEFT_EINVAL);
    weft_stop();
}

/* ---- descriptors, work, processes, time ---- */

static void *waits_for_input(void *fd)
{
    return (void *)(intptr_t)weft_fd_wait(*(int *)fd, WEFT_FD_READ);
}

TEST_PLAIN(threads_wait_for_descriptors)
{
    pthread_t threads[3];
    int ends[2], file;

    run_begins();
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(weft_fd_wait(ends[1], WEFT_FD_WRITE), WEFT_FD_WRITE);
    CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_fd_wait_until(ends[0], WEFT_FD_READ, weft_after(5 * WEFT_MILLISECOND)),
             WEFT_ETIMEDOUT);
    CHECK_EQ(weft_fd_wait(1000, WEFT_FD_READ), -EBADF);
    file = open("/proc/self/exe", O_RDONLY);
    CHECK_EQ(weft_fd_wait(file, WEFT_FD_READ), -EPERM);
    for (int i = 0; i < 3; i++)
        threads[i] = start_thread(waits_for_input, &ends[0]);
    wait_for_waits(3);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(joined(threads[i]), WEFT_FD_READ);
    weft_stop();
}

static void notes_its_thread(void *self)
{
    *(pthread_t *)self = pthread_self();
    weft_sleep(WEFT_MICROSECOND);
}

TEST_PLAIN(work_of_a_thread_runs_there)
{
    pthread_t at;

    run_begins();
    CHECK_EQ(weft_work(notes_its_thread, &at), 0);
    CHECK(pthread_equal(at, pthread_self()));
    weft_stop();
}

TEST_PLAIN(thread_runs_programs)
{
    static const char *const ends_well[] = {"true", NULL}, *const ends_badly[] = {"false", NULL};
    static const char *const is_killed[] = {"sh", "-c", "kill -9 $$", NULL};
    static const char *const is_none[] = {"/no/such/program", NULL};

    run_begins();
    CHECK_EQ(weft_process_run(ends_well), 0);
    CHECK_EQ(weft_process_run(ends_badly), 1);
    CHECK_EQ(weft_process_run(is_killed), 128 + 9);
    CHECK_EQ(weft_process_run(is_none), -ENOENT);
    weft_stop();
}

TEST_PLAIN(thread_has_timers)
{
    weft_timer *t;
    weft_time at;

    run_begins();
    t = weft_timer_new();
    weft_timer_start(t, weft_after(WEFT_MILLISECOND));
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
    weft_timer_free(t);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_stop();
}

/* ---- loops and servers ---- */

static int eventful;

static void tells_the_loop(void *conn)
{
    CHECK_EQ(read_result(conn), 4);
    CHECK_EQ(write(eventful, "!", 1), 1);
}

/* A loop of poll() that calls as it goes. */
TEST_PLAIN(loop_of_poll_uses_sockets)
{
    int ends[2], told = 0;
    struct pair p[10];
    char c;

    CHECK_EQ(pipe(ends), 0);
    eventful = ends[1];
    run_begins();
    for (int i = 0; i < 10; i++) {
        p[i] = tcp_pair();
        weft_go(tells_the_loop, p[i].there);
    }
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_conn_write(p[i].here, "ping", 4), 0);
    while (told < 10) {
        struct pollfd fd = {.fd = ends[0], .events = POLLIN};

        CHECK_EQ(poll(&fd, 1, -1), 1);
        told += (int)read(ends[0], &c, 1);
    }
    for (int i = 0; i < 10; i++)
        close_pair(p[i]);
    weft_stop();
}

static void answers(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    weft_http_printf(w, "hello");
}

static void *serves(void *s)
{
    return (void *)(intptr_t)weft_http_server_serve(s, listener);
}

TEST_PLAIN(threads_serve_and_stop_a_server)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    weft_http_mux *mux = weft_http_mux_new();
    weft_http_server *s;
    char answer[1000] = "";
    pthread_t thread;
    weft_conn *c;

    run_begins();
    weft_http_mux_add(mux, "/", answers, NULL);
    s = weft_http_server_new(mux, NULL);
    listen_at("127.0.0.1:0");
    thread = start_thread(serves, s);
    CHECK_EQ(weft_dial(address, &c), 0);
    CHECK_EQ(weft_conn_write(c, request, sizeof(request) - 1), 0);
    read_full(c, answer, sizeof(answer) - 1);
    CHECK_CONTAINS(answer, "\r\n\r\nhello");
    weft_conn_close(c);
    CHECK_EQ(weft_http_server_stop(s), 0);
    CHECK_EQ(joined(thread), 0);
    weft_http_server_free(s);
    weft_http_mux_free(mux);
    weft_stop();
}

static void *serves_alone(void *mux)
{
    return (void *)(intptr_t)weft_http_serve(address, mux);
}

TEST_PLAIN(server_of_a_thread_ends_with_the_run)
{
    weft_http_mux *mux = weft_http_mux_new();
    pthread_t thread;
    weft_conn *c;

    run_begins();
    snprintf(address, sizeof(address), "unix:@weft-test-%d", (int)getpid());
    thread = start_thread(serves_alone, mux);
    while (weft_dial(address, &c) < 0)
        continue;
    wait_for_waiters();
    weft_stop();
    CHECK_EQ(joined(thread), WEFT_ECANCELED);
}

/* ---- the end of a run ---- */

static void *accepts(void *arg)
{
    weft_conn *c;

    (void)arg;
    return (void *)(intptr_t)weft_accept(listener, &c);
}

TEST_PLAIN(end_of_the_run_ends_the_waits_of_threads)
{
    pthread_t threads[4];
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 3; i++) {
        struct pair p;

        listener = NULL;
        run_begins();
        p = tcp_pair();
        threads[0] = start_thread(reads, p.here);
        threads[1] = start_thread(reads, p.here); /* waits for its turn */
        threads[2] = start_thread(accepts, NULL);
        threads[3] = start_thread(waits_for_input, &ends[0]);
        wait_for_waits(4);
        wait_for_waiters();
        weft_stop();
        for (int j = 0; j < 4; j++)
            CHECK_EQ(joined(threads[j]), WEFT_ECANCELED);
    }
}

static atomic_int hogs_now, may_end;

/* Has the listener watched by its own processor, and then keeps that from reading its mail. */
static void hogs_the_home(void *arg)
{
    weft_conn *c;

    (void)arg;
    do
        CHECK_EQ(weft_accept_until(listener, weft_after(WEFT_MILLISECOND), &c), WEFT_ETIMEDOUT);
    while (((weft__sock *)weft__sock_at(listener))->home != weft__self()->p);
    atomic_store(&hogs_now, 1);
    while (!atomic_load(&may_end))
        continue;
}

static void *closes(void *arg)
{
    (void)arg;
    weft_listener_close(listener);
    return NULL;
}

TEST_PLAIN(close_that_waits_is_over_at_the_end_of_the_run)
{
    weft_run_options o = {.procs = 2, .no_handoff = true};
    pthread_t thread;

    CHECK_EQ(weft_start(&o), 0);
    listen_at("127.0.0.1:0");
    weft_go(hogs_the_home, NULL);
    while (!atomic_load(&hogs_now))
        sched_yield();
    thread = start_thread(closes, NULL);
    wait_for_waiters();
    weft_stop();
    joined(thread);
    atomic_store(&may_end, 1);
}
