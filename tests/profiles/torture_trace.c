/* SPDX-License-Identifier: MIT */
/* torture_trace.c - short traces begin and end at random moments, while tasks wait for channels,
 * locks, sockets and time, are canceled, block, compute too long, and threads that are no workers
 * call. In the end trace_check.py (TRACE_CHECK) reads all of them. The files stay if it refuses
 * one. */
#include "torture.h"
#include "visit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <weft.h>

/* So many traces in a second: the check of one takes longer than the trace. */
enum { PAIRS = 3, LOCKERS = 3, TALKERS = 2, SPAWNERS = 2, TRACES = 4 };

static struct {
    weft_waitgroup actors;
    weft_mutex mutex;
    uint64_t number; /* atomic */
    int traces;
    char dir[64];
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
        weft_chan_send_until(c[torture_random(&r, 2)], &r, soon(&r));
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
    (void)arg;
    while (!torture_stops()) {
        weft_trace_region_begin(0, "lock");
        weft_mutex_lock(&all.mutex);
        weft_yield();
        weft_mutex_unlock(&all.mutex);
        weft_trace_region_end(0, "lock");
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

static void blocks(void *arg)
{
    usleep((useconds_t)(*(uint64_t *)arg % 1000));
}

static int child(void *arg)
{
    uint64_t task = weft_trace_task_begin("child", 0);

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

static void traces(void)
{
    uint64_t r = seed();

    while (!torture_stops() && all.traces < (int)(TRACES * torture.seconds)) {
        weft_trace_options o = {.format = 1 + (int)torture_random(&r, 2)};
        char path[96];
        int fd;

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

static int program(void *arg)
{
    weft_chan *c[] = {weft_chan_new(sizeof(uint64_t), 0), weft_chan_new(sizeof(uint64_t), 2)};

    (void)arg;
    actor(sends, PAIRS, c);
    actor(selects, PAIRS, c);
    actor(locks, LOCKERS, NULL);
    actor(talks, TALKERS, NULL);
    actor(spawns, SPAWNERS, NULL);
    actor(invites, 1, c[0]);
    traces();
    torture_set(&torture.stop, true);
    weft_waitgroup_wait(&all.actors);
    for (int i = 0; i < 2; i++)
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
    torture_begin(argc, argv);
    snprintf(all.dir, sizeof(all.dir), "/tmp/torture_trace_%d", (int)getpid());
    EXPECT(mkdir(all.dir, 0700) == 0);
    EXPECT(weft_run(program, NULL) == 0);
    torture_end();
    check();
    printf("%d traces\n", all.traces);
    return 0;
}
