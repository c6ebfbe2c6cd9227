/* SPDX-License-Identifier: MIT */
/* torture_trace.c - short traces begin and end at random moments, while tasks wait for channels,
 * locks, connections and time, are canceled, block, compute too long, and threads that are no
 * workers call. In the end trace_check.py (TRACE_CHECK) reads all of them. The files stay if it
 * refuses one.
 *
 * TORTURE_TASKS=N has N tasks beside, each of which wakes rarely. TORTURE_TRACES=FOLDER leaves the
 * traces in the folder, unread. */
#include "torture.h"
#include "visit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <weft.h>

/* So many traces in a second: the check of one takes longer than the trace. */
enum { PAIRS = 3, LOCKERS = 3, TALKERS = 2, SPAWNERS = 2, HOGS = 2, CHANS = 4, TRACES = 4 };

static struct {
    weft_waitgroup actors;
    weft_mutex mutex;
    weft_sema sema;
    uint64_t number; /* atomic */
    int traces;
    const char *dir;
    char address[64];
} all;

static void done(void)
{
    weft_waitgroup_done(&all.actors);
}

static uint64_t seed(void)
{
    return torture_seed(torture_add(&all.number, 1));
}

static weft_time soon(uint64_t *r)
{
    return weft_after((weft_duration)torture_random(r, 500) * WEFT_MICROSECOND);
}

static void sends(void *arg)
{
    weft_chan **c = arg;
    uint64_t r = seed();

    while (!torture_stops()) {
        weft_chan_send_until(c[torture_random(&r, CHANS)], &r, soon(&r));
        if (torture_random(&r, 500) == 0)
            torture_spin(15000);
    }
    done();
}

static void selects(void *arg)
{
    weft_chan **c = arg;
    uint64_t value, r = seed();

    while (!torture_stops()) {
        weft_case cases[] = {weft_on_recv(c[0], &value), weft_on_recv(c[1], &value)};

        weft_select_until(cases, 2, soon(&r));
        if (torture_random(&r, 8) == 0)
            weft_yield();
    }
    done();
}

static void locks(void *arg)
{
    uint64_t r = seed();

    (void)arg;
    while (!torture_stops()) {
        weft_trace_region_begin(0, "lock");
        weft_mutex_lock(&all.mutex);
        weft_yield();
        weft_mutex_unlock(&all.mutex);
        weft_trace_region_end(0, "lock");
        if (torture_random(&r, 100) == 0)
            weft_sema_add(&all.sema, 1);
    }
    done();
}

/* Waits for long, in ways that change. */
static void lingers(void *arg)
{
    weft_chan **c = arg;
    uint64_t value, r = seed();

    while (!torture_stops()) {
        weft_time until = weft_after((weft_duration)torture_random(&r, 1000) * WEFT_MILLISECOND);
        weft_case cases[] = {weft_on_recv(c[2], &value), weft_on_recv(c[3], &value)};

        switch (torture_random(&r, 4)) {
        case 0:
            weft_sleep(until - weft_now());
            break;
        case 1:
            weft_chan_recv_until(c[2], &value, until);
            break;
        case 2:
            weft_select_until(cases, 2, until);
            break;
        case 3:
            weft_sema_wait_until(&all.sema, 1, until);
        }
    }
    done();
}

static void hogs(void *arg)
{
    uint64_t r = seed();

    (void)arg;
    while (!torture_stops()) {
        torture_spin(25000);
        weft_sleep((weft_duration)torture_random(&r, 100) * WEFT_MILLISECOND);
    }
    done();
}

/* Talks to itself over a socket. */
static void talks(void *arg)
{
    uint64_t r = seed();
    int ends[2];
    char byte = 'x';

    (void)arg;
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    while (!torture_stops()) {
        if (torture_random(&r, 2))
            EXPECT(write(ends[1], &byte, 1) == 1);
        if (weft_fd_wait_until(ends[0], WEFT_FD_READ, soon(&r)) > 0)
            EXPECT(read(ends[0], &byte, 1) == 1);
    }
    close(ends[0]);
    close(ends[1]);
    done();
}

static void answers(void *conn)
{
    char byte;

    while (weft_conn_read(conn, &byte, 1) == 1)
        EXPECT(weft_conn_write(conn, &byte, 1) == 0);
    weft_conn_close(conn);
    done();
}

static void accepts(void *listener)
{
    weft_conn *c;

    while (weft_accept(listener, &c) == 0) {
        weft_waitgroup_add(&all.actors, 1);
        weft_go(answers, c);
    }
    weft_listener_close(listener);
    done();
}

static void asks(void *listener)
{
    uint64_t r = seed();
    char byte = 'x';
    weft_conn *c;

    while (!torture_stops()) {
        EXPECT(weft_dial(all.address, &c) == 0);
        for (int i = 0; i < 100 && !torture_stops(); i++) {
            EXPECT(weft_conn_write(c, &byte, 1) == 0 && weft_conn_read(c, &byte, 1) == 1);
            weft_sleep((weft_duration)torture_random(&r, 500) * WEFT_MICROSECOND);
        }
        weft_conn_close(c);
    }
    weft_listener_shutdown(listener);
    done();
}

static void blocks(void *arg)
{
    usleep((useconds_t)(*(uint64_t *)arg % 1000));
}

static int child(void *arg)
{
    uint64_t task = weft_trace_task_begin("child", 0);
    weft_label label = {"pause", *(uint64_t *)arg % 2 ? "odd" : "even"};

    weft_labels_set(&label, 1);
    weft_sleep((weft_duration)(*(uint64_t *)arg % 100) * WEFT_MICROSECOND);
    weft_trace_log(task, "slept", "a while");
    weft_trace_task_end(task);
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

static void spawns(void *arg)
{
    uint64_t r = seed();

    (void)arg;
    while (!torture_stops()) {
        weft_group g = WEFT_GROUP_INIT;
        uint64_t pause = torture_random(&r, 1000); /* the children read it while r changes */

        for (int i = 0; i < 5; i++)
            weft_group_go(&g, child, &pause);
        if (torture_random(&r, 2))
            weft_group_cancel(&g);
        weft_group_wait(&g);
        if (torture_random(&r, 10) == 0)
            weft_work(nothing, NULL);
        if (torture_random(&r, 10) == 0)
            weft_blocking(blocks, &pause);
        if (torture_random(&r, 50) == 0)
            blocks(&(uint64_t){20000});
    }
    done();
}

static void invites(void *chan)
{
    while (!torture_stops()) {
        visit(chan);
        weft_sleep(WEFT_MILLISECOND);
    }
    done();
}

/* Takes CPU profiles, whose samples are in the traces. */
static void profiles(void *arg)
{
    int fd = open("/dev/null", O_WRONLY);
    uint64_t r = seed();

    (void)arg;
    while (!torture_stops()) {
        EXPECT(weft_cpu_profile_start(fd) == 0);
        weft_sleep((weft_duration)torture_random(&r, 50) * WEFT_MILLISECOND);
        EXPECT(weft_cpu_profile_stop() == 0);
        weft_sleep((weft_duration)torture_random(&r, 50) * WEFT_MILLISECOND);
    }
    close(fd);
    done();
}

static void traces(void)
{
    uint64_t r = seed();

    while (!torture_stops() && all.traces < (int)(TRACES * torture.seconds)) {
        weft_trace_options o = {.format = 1 + (int)torture_random(&r, 2)};
        char path[256];
        int fd;

        weft_sleep((weft_duration)torture_random(&r, 200) * WEFT_MILLISECOND);
        snprintf(path, sizeof(path), "%s/%d", all.dir, all.traces++);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        EXPECT(fd >= 0 && weft_trace_start(fd, &o) == 0);
        weft_sleep((weft_duration)torture_random(&r, 3000) * WEFT_MICROSECOND);
        EXPECT(weft_trace_stop() == 0);
        close(fd);
    }
}

static void actor(weft_task_fn *fn, int n, void *arg)
{
    weft_waitgroup_add(&all.actors, n);
    for (int i = 0; i < n; i++)
        weft_go(fn, arg);
}

static int program(void *tasks)
{
    weft_listener *listener;
    weft_chan *c[CHANS];

    for (size_t i = 0; i < CHANS; i++)
        c[i] = weft_chan_new(sizeof(uint64_t), i % 2 * 2);
    EXPECT(weft_listen(all.address, &listener) == 0);
    actor(lingers, *(int *)tasks, c);
    actor(sends, PAIRS, c);
    actor(selects, PAIRS, c);
    actor(locks, LOCKERS, NULL);
    actor(talks, TALKERS, NULL);
    actor(accepts, 1, listener);
    actor(asks, 1, listener);
    actor(spawns, SPAWNERS, NULL);
    actor(hogs, HOGS, NULL);
    actor(invites, 1, c[0]);
    actor(profiles, 1, NULL);
    traces();
    torture_set(&torture.stop, true);
    weft_waitgroup_wait(&all.actors);
    for (int i = 0; i < CHANS; i++)
        weft_chan_free(c[i]);
    return 0;
}

static void check(void)
{
    char command[256];

    snprintf(command, sizeof(command), "python3 '%s' %s/*", TRACE_CHECK, all.dir);
    EXPECT(system(command) == 0);
    snprintf(command, sizeof(command), "rm -r %s", all.dir);
    EXPECT(system(command) == 0);
}

int main(int argc, char **argv)
{
    const char *dir = getenv("TORTURE_TRACES"), *n = getenv("TORTURE_TASKS");
    int tasks = n ? atoi(n) : 0;
    char own[48];

    torture_begin(argc, argv);
    snprintf(own, sizeof(own), "/tmp/torture_trace_%d", (int)getpid());
    snprintf(all.address, sizeof(all.address), "unix:%s.sock", own);
    all.dir = dir ? dir : own;
    EXPECT(dir || mkdir(own, 0700) == 0);
    EXPECT(weft_run(program, &tasks) == 0);
    torture_end();
    if (!dir)
        check();
    printf("%d traces\n", all.traces);
    return 0;
}
