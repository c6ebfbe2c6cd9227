/* SPDX-License-Identifier: MIT */
/* torture_foreign.c - threads that are no tasks use sockets and descriptors, run after run.
 *
 * In each run threads and tasks share a listener, connections and pipes. They write and read whole
 * lines, with deadlines that strike, and close what others use. Then each thread ends in a wait
 * that only the end of the run ends. Each byte read is the next of its stream, every wait ends, and
 * no descriptor is left at the end. */
#include "torture.h"

#include "runtime/sched/scheduler.h"

#include <weft/chan.h>
#include <weft/embed.h>
#include <weft/fd.h>
#include <weft/net.h>
#include <weft/task.h>
#include <weft/time.h>

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

enum { THREADS = 6, ROUNDS = 20 };

static struct {
    weft_listener *ln, *quiet; /* no peer dials the latter */
    char address[WEFT_ADDR_TEXT];
    weft_chan *silent;      /* nothing is ever sent */
    int pipe[2];            /* nothing is ever written */
    int pair[2];            /* bytes pass between any two callers */
    uint64_t rounds, waits; /* atomic, as last: threads that do nothing any more but wait */
    uint32_t last;
} all;

/* ---- servers: tasks ---- */

static void serve(void *c)
{
    char buf[512];
    ssize_t n;

    while ((n = weft_conn_read(c, buf, sizeof(buf))) > 0 && weft_conn_write(c, buf, (size_t)n) == 0)
        continue;
    weft_conn_close(c);
}

static void accept_all(void *arg)
{
    weft_conn *c;

    (void)arg;
    while (weft_accept(all.ln, &c) == 0)
        weft_go(serve, c);
}

/* ---- what threads do ---- */

/* Sends a stream of bytes and reads it back, each read with a deadline that may strike. */
static void talk(uint64_t *r)
{
    unsigned char out[300], in[300];
    size_t n = 1 + torture_random(r, sizeof(out)), got = 0;
    weft_conn *c;

    EXPECT(weft_dial(all.address, &c) == 0);
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)(i + n);
    EXPECT(weft_conn_write(c, out, n) == 0);
    while (got < n) {
        ssize_t rc;

        weft_conn_set_read_deadline(c, torture_random(r, 2)
                                           ? WEFT_FOREVER
                                           : weft_after(torture_random(r, 300) * WEFT_MICROSECOND));
        rc = weft_conn_read(c, in + got, n - got);
        EXPECT(rc > 0 || rc == WEFT_ETIMEDOUT);
        if (rc > 0)
            got += (size_t)rc;
    }
    EXPECT(memcmp(in, out, n) == 0);
    weft_conn_close(c);
}

static void *read_until_closed(void *c)
{
    char byte;
    ssize_t rc = weft_conn_read(c, &byte, 1);

    EXPECT(rc == WEFT_ECLOSED || rc == WEFT_ETIMEDOUT);
    return NULL;
}

static void reads_until_closed(void *c)
{
    read_until_closed(c);
}

/* Closes a connection that a task and another thread are about to read from. */
static void close_under(uint64_t *r)
{
    pthread_t reader;
    weft_conn *c;

    EXPECT(weft_dial(all.address, &c) == 0);
    weft_go(reads_until_closed, c);
    EXPECT(pthread_create(&reader, NULL, read_until_closed, c) == 0);
    torture_spin(torture_random(r, 100));
    if (torture_random(r, 2))
        weft_conn_set_deadline(c, weft_after(0));
    torture_spin(torture_random(r, 100));
    weft_conn_close(c);
    pthread_join(reader, NULL);
}

static void wait_for_bytes(uint64_t *r)
{
    weft_time until = weft_after(torture_random(r, 300) * WEFT_MICROSECOND);
    int rc = weft_fd_wait_until(all.pair[0], WEFT_FD_READ, until);
    char byte;

    EXPECT(rc == WEFT_FD_READ || rc == WEFT_ETIMEDOUT);
    if (rc == WEFT_FD_READ && read(all.pair[0], &byte, 1) == 1)
        torture_add(&all.waits, 1);
}

static void send_a_byte(void)
{
    int rc = weft_fd_wait_until(all.pair[1], WEFT_FD_WRITE, weft_after(100 * WEFT_MICROSECOND));

    EXPECT(rc == WEFT_FD_WRITE || rc == WEFT_ETIMEDOUT); /* there is no room */
    if (write(all.pair[1], "x", 1) == 1)
        weft_sleep(20 * WEFT_MICROSECOND);
}

/* A wait for a pipe that nobody else knows; its number is used again. */
static void wait_for_own(uint64_t *r)
{
    int ends[2];

    EXPECT(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    EXPECT(weft_fd_wait_until(ends[0], WEFT_FD_READ,
                              weft_after(torture_random(r, 50) * WEFT_MICROSECOND)) ==
           WEFT_ETIMEDOUT);
    EXPECT(write(ends[1], "x", 1) == 1);
    EXPECT(weft_fd_wait(ends[0], WEFT_FD_READ) == WEFT_FD_READ);
    close(ends[0]);
    close(ends[1]);
}

static void listen_and_close(void)
{
    weft_listener *ln;
    weft_conn *c;

    EXPECT(weft_listen("127.0.0.1:0", &ln) == 0);
    EXPECT(weft_accept_until(ln, weft_after(50 * WEFT_MICROSECOND), &c) == WEFT_ETIMEDOUT);
    weft_listener_close(ln);
}

static void do_something(uint64_t *r)
{
    switch (torture_random(r, 6)) {
    case 0:
        talk(r);
        break;
    case 1:
        close_under(r);
        break;
    case 2:
        wait_for_bytes(r);
        break;
    case 3:
        send_a_byte();
        break;
    case 4:
        wait_for_own(r);
        break;
    default:
        listen_and_close();
    }
    torture_add(&all.rounds, 1);
}

/* Waits for the end of the run. */
static int wait_for_end(unsigned way, weft_conn *c)
{
    weft_conn *other;
    char byte;

    switch (way) {
    case 0:
        return (int)weft_conn_read(c, &byte, 1);
    case 1:
        return weft_fd_wait(all.pipe[0], WEFT_FD_READ);
    case 2:
        return weft_chan_recv(all.silent, NULL);
    case 3:
        return weft_accept(all.quiet, &other);
    default:
        return weft_sleep(1000 * WEFT_SECOND);
    }
}

static void *thread_main(void *arg)
{
    uint64_t r = torture_seed((uint64_t)(uintptr_t)arg);
    weft_conn *c;
    int rc;

    for (int i = 0; i < ROUNDS; i++)
        do_something(&r);
    EXPECT(weft_dial(all.address, &c) == 0);
    torture_add(&all.last, 1);
    rc = wait_for_end(torture_random(&r, 5), c);
    EXPECT(rc == WEFT_ECANCELED);
    return NULL;
}

/* ---- runs ---- */

static bool is_busy(const weft__worker *w, const void *arg)
{
    (void)arg;
    return w != weft__self() && weft__load_acq(&w->task->state) != WEFT__PARKED;
}

/* Returns when every thread is in its last wait. */
static void wait_for_last_waits(void)
{
    while (torture_get(&all.last) < THREADS || weft__foreign_any(is_busy, NULL))
        sched_yield();
}

static void run(uint64_t number)
{
    pthread_t threads[THREADS];
    weft_addr a;

    torture_set(&all.last, 0);
    EXPECT(weft_start(NULL) == 0);
    all.silent = weft_chan_new(0, 0);
    EXPECT(weft_listen("127.0.0.1:0", &all.ln) == 0);
    EXPECT(weft_listen("127.0.0.1:0", &all.quiet) == 0);
    a = weft_listener_addr(all.ln);
    weft_addr_name(&a, all.address, sizeof(all.address));
    for (int i = 0; i < 2; i++)
        weft_go(accept_all, NULL);
    for (uint64_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, thread_main,
                              (void *)(uintptr_t)(number * THREADS + i)) == 0);
    wait_for_last_waits();
    weft_stop();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    weft_chan_free(all.silent);
}

/* Returns the lowest free descriptor. */
static int lowest(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

int main(int argc, char **argv)
{
    uint64_t runs = 0;
    int before;

    torture_begin(argc, argv);
    EXPECT(pipe2(all.pipe, O_CLOEXEC) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, all.pair) == 0);
    before = lowest();
    do
        run(runs++);
    while (!torture_stops());
    EXPECT(lowest() == before);
    printf("%llu runs, %llu rounds, %llu bytes waited for\n", (unsigned long long)runs,
           (unsigned long long)all.rounds, (unsigned long long)all.waits);
    torture_end();
    return 0;
}
