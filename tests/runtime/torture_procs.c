/* SPDX-License-Identifier: MIT */
/* torture_procs.c - the number of processors goes up and down while everything runs.
 *
 * Tasks talk over channels, take locks, sleep, echo over sockets, hog, block and are pinned, and
 * every few hundred microseconds the number is another. Each kind of task must get on in every
 * period, whatever the number. Now and then all stay away from the processors, which then sleep, so
 * that a wake-up that gets lost stops the program. */
#include "torture.h"

#include <weft/chan.h>
#include <weft/fd.h>
#include <weft/net.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

#include <sys/socket.h>

enum { PROCS = 6, PERIOD = 20 /* ms */ };

enum kind { TALKS, LOCKS, SLEEPS, ECHOES, HOGS, BLOCKS, PINS, SPAWNS, WAITS, KINDS };
static uint64_t done[KINDS]; /* atomic */
static uint64_t changes;
static weft_mutex mutex;

static bool goes_on(enum kind k)
{
    torture_add(&done[k], 1);
    return !torture_stops();
}

static void answers(void *arg)
{
    weft_chan **c = arg;
    int v;

    while (weft_chan_recv(c[0], &v) == 0 && weft_chan_send(c[1], &v) == 0)
        continue;
}

static int talks(void *arg)
{
    weft_chan *c[2] = {weft_chan_new(sizeof(int), 0), weft_chan_new(sizeof(int), 1)};
    weft_group g = WEFT_GROUP_INIT;
    int v = 0, back;

    (void)arg;
    weft_group_go_void(&g, answers, c);
    do {
        EXPECT(weft_chan_send(c[0], &v) == 0 && weft_chan_recv(c[1], &back) == 0);
        EXPECT(back == v++);
    } while (goes_on(TALKS));
    weft_chan_close(c[0]);
    weft_group_wait(&g);
    weft_chan_free(c[0]);
    weft_chan_free(c[1]);
    return 0;
}

static int locks(void *arg)
{
    (void)arg;
    do {
        weft_mutex_lock(&mutex);
        weft_yield();
        weft_mutex_unlock(&mutex);
    } while (goes_on(LOCKS));
    return 0;
}

static int sleeps(void *arg)
{
    (void)arg;
    do
        weft_sleep(50 * WEFT_MICROSECOND);
    while (goes_on(SLEEPS));
    return 0;
}

static void echo(void *c)
{
    char buf[64];
    ssize_t n;

    while ((n = weft_conn_read(c, buf, sizeof(buf))) > 0 && weft_conn_write(c, buf, (size_t)n) == 0)
        continue;
    weft_conn_close(c);
}

static int echoes(void *arg)
{
    weft_conn *here, *there;
    char byte = 'x';
    int ends[2];

    (void)arg;
    do {
        EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        EXPECT(weft_conn_adopt(ends[0], &here) == 0 && weft_conn_adopt(ends[1], &there) == 0);
        weft_go(echo, there);
        for (int i = 0; i < 200; i++) {
            EXPECT(weft_conn_write(here, &byte, 1) == 0);
            EXPECT(weft_conn_read(here, &byte, 1) == 1);
        }
        weft_conn_close(here);
    } while (goes_on(ECHOES));
    return 0;
}

static int hogs(void *arg)
{
    (void)arg;
    do {
        torture_spin(13000);
        weft_sleep(30 * WEFT_MILLISECOND);
    } while (goes_on(HOGS));
    return 0;
}

static int blocks(void *arg)
{
    (void)arg;
    do {
        weft_blocking_begin();
        usleep(300);
        weft_blocking_end();
    } while (goes_on(BLOCKS));
    return 0;
}

static int pins(void *arg)
{
    (void)arg;
    do {
        weft_pin();
        weft_sleep(20 * WEFT_MICROSECOND);
        weft_yield();
        weft_unpin();
    } while (goes_on(PINS));
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int spawns(void *arg)
{
    (void)arg;
    do {
        weft_group g = WEFT_GROUP_INIT;

        for (int i = 0; i < 100; i++)
            weft_group_go(&g, nothing, NULL);
        weft_group_wait(&g);
        weft_sleep(100 * WEFT_MICROSECOND);
    } while (goes_on(SPAWNS));
    return 0;
}

static int waits(void *arg)
{
    int ends[2];

    (void)arg;
    EXPECT(pipe(ends) == 0);
    do {
        EXPECT(weft_fd_wait_until(ends[0], WEFT_FD_READ, weft_after(30 * WEFT_MICROSECOND)) ==
               WEFT_ETIMEDOUT);
    } while (goes_on(WAITS));
    return 0;
}

static void change(uint64_t *r, weft_duration then_wait)
{
    weft_procs_set((int)(1 + torture_random(r, PROCS)));
    changes++;
    weft_sleep(then_wait);
}

static int changes_the_number(void *arg)
{
    uint64_t r = torture_seed(1), before[KINDS] = {0};

    (void)arg;
    while (!torture_stops()) {
        weft_time until = weft_after(PERIOD * WEFT_MILLISECOND);

        do
            change(&r, torture_random(&r, 600) * WEFT_MICROSECOND);
        while (weft_now() < until);
        for (int k = 0; k < KINDS; k++) /* each kind gets on, which may take a busy machine long */
            while (torture_get(&done[k]) == before[k] && !torture_stops())
                change(&r, 5 * WEFT_MILLISECOND);
        for (int k = 0; k < KINDS; k++)
            before[k] = torture_get(&done[k]);
    }
    return 0;
}

static int play(void *arg)
{
    static weft_main_fn *const kinds[KINDS] = {talks,  locks, sleeps, echoes, hogs,
                                               blocks, pins,  spawns, waits};
    weft_group g = WEFT_GROUP_INIT;

    (void)arg;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < 3; i++)
            weft_group_go(&g, kinds[k], NULL);
    weft_group_go(&g, changes_the_number, NULL);
    EXPECT(weft_group_wait(&g) == 0);
    return 0;
}

int main(int argc, char **argv)
{
    torture_begin(argc, argv);
    EXPECT(weft_run(play, NULL) == 0);
    torture_end();
    printf("procs: %llu changes, %llu round trips\n", (unsigned long long)changes,
           (unsigned long long)done[TALKS]);
    return 0;
}
