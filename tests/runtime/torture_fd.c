/* SPDX-License-Identifier: MIT */
/* torture_fd.c - readers and writers that share descriptors lose no byte and no wake-up.
 *
 * Each end of a socketpair has a reader task and a writer task. They wait through whatever
 * processor they are on; some wait until a near deadline, some in a group that is canceled. Each
 * byte read must be the next of its stream. Meanwhile pipes are opened and closed, so that
 * descriptor numbers are used again and again. A wait for such a pipe must get events of that pipe
 * alone. */
#include "torture.h"

#include "runtime/sched/scheduler.h"

#include <weft/fd.h>
#include <weft/task.h>
#include <weft/time.h>

#include <fcntl.h>
#include <sys/socket.h>

enum { PAIRS = 6, OPENERS = 4 };

struct stream {
    int out, in;      /* ends of one pair */
    uint64_t written; /* the writer's own; the reader looks once that has ended */
    bool ended;       /* atomic: the writer's last word */
};

static struct stream streams[2 * PAIRS];
static uint64_t moved, gave_up; /* atomic */

/* Waits in one of several ways. */
static void wait_somehow(int fd, int events, uint64_t *r)
{
    weft_time until =
        torture_random(r, 3) ? WEFT_FOREVER : weft_after(torture_random(r, 200) * WEFT_MICROSECOND);
    int rc = weft_fd_wait_until(fd, events, until);

    EXPECT(rc == events || rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED);
    if (rc < 0)
        torture_add(&gave_up, 1);
}

static int canceled_wait(void *fd)
{
    return weft_fd_wait(*(int *)fd, WEFT_FD_READ | WEFT_FD_WRITE);
}

/* Other tasks that wait for the same number come and go. */
static void have_another_wait(int fd)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, canceled_wait, &fd);
    weft_yield();
    weft_group_cancel(&g);
    weft_group_join(&g);
}

static int writer(void *arg)
{
    struct stream *s = arg;
    uint64_t r = torture_seed((uintptr_t)(s - streams));
    unsigned char bytes[4096];

    while (!torture_stops()) {
        size_t n = 1 + torture_random(&r, sizeof(bytes));
        ssize_t put;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (unsigned char)((s->written + i) % 251);
        put = write(s->out, bytes, n);
        s->written += put > 0 ? (uint64_t)put : 0;
        if (put < 0)
            wait_somehow(s->out, WEFT_FD_WRITE, &r);
        if (torture_random(&r, 50) == 0)
            have_another_wait(s->out);
    }
    torture_set(&s->ended, true);
    shutdown(s->out, SHUT_WR);
    return 0;
}

static int reader(void *arg)
{
    struct stream *s = arg;
    uint64_t r = torture_seed(1000 + (uintptr_t)(s - streams)), n = 0;
    unsigned char bytes[4096];
    ssize_t got;

    while ((got = read(s->in, bytes, 1 + torture_random(&r, sizeof(bytes)))) != 0) {
        for (ssize_t i = 0; i < got; i++)
            EXPECT(bytes[i] == (n + (uint64_t)i) % 251);
        n += got > 0 ? (uint64_t)got : 0;
        if (got < 0)
            wait_somehow(s->in, WEFT_FD_READ, &r);
    }
    EXPECT(__atomic_load_n(&s->ended, __ATOMIC_ACQUIRE) && n == s->written);
    torture_add(&moved, n);
    return 0;
}

static int opener(void *arg)
{
    uint64_t r = torture_seed(2000 + (uintptr_t)arg);

    while (!torture_stops()) {
        bool full = torture_random(&r, 2);
        int ends[2], rc;

        EXPECT(pipe2(ends, O_CLOEXEC) == 0); /* it blocks, so a false word hangs */
        EXPECT(!full || write(ends[1], "x", 1) == 1);
        rc = weft_fd_wait_until(ends[0], WEFT_FD_READ,
                                weft_after(torture_random(&r, 300) * WEFT_MICROSECOND));
        EXPECT(full ? rc == WEFT_FD_READ || rc == WEFT_ETIMEDOUT : rc == WEFT_ETIMEDOUT);
        close(ends[0]);
        close(ends[1]);
    }
    return 0;
}

static int play(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;

    (void)arg;
    for (int i = 0; i < PAIRS; i++) {
        int ends[2];

        EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        streams[2 * i] = (struct stream){.out = ends[0], .in = ends[1]};
        streams[2 * i + 1] = (struct stream){.out = ends[1], .in = ends[0]};
    }
    for (int i = 0; i < 2 * PAIRS; i++) {
        weft_group_go(&g, writer, &streams[i]);
        weft_group_go(&g, reader, &streams[i]);
    }
    for (uintptr_t i = 0; i < OPENERS; i++)
        weft_group_go(&g, opener, (void *)i);
    EXPECT(weft_group_join(&g) == 0);
    return 0;
}

int main(int argc, char **argv)
{
    torture_begin(argc, argv);
    EXPECT(weft_run(play, NULL) == 0);
    torture_end();
    printf("fd: %llu MB, %llu waits given up\n", (unsigned long long)(moved >> 20),
           (unsigned long long)gave_up);
    return 0;
}
