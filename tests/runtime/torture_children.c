/* SPDX-License-Identifier: MIT */
/* torture_children.c - the end of every child process is reported, while signals keep coming.
 *
 * Several tasks run one child after another, as fast as they can, on processors that change
 * threads. Signals are sent to the process and to each of its threads, so a handler may run on any
 * thread at any instant. Each task must get the status of its own child. */
#include "torture.h"

#include "runtime/sched/scheduler.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <weft/fd.h>
#include <weft/signal.h>
#include <weft/task.h>
#include <weft/time.h>

enum { PARENTS = 8, HOGS = 2, BLOCKERS = 3 };

static uint64_t children; /* atomic */
static bool rain_ends;    /* atomic */

static int parent(void *arg)
{
    static const char *const script[] = {"exit 0", "exit 7", "kill -9 $$"};
    static const int status[] = {0, 7, 128 + SIGKILL};
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        unsigned which = torture_random(&r, 3);
        const char *const argv[] = {"/bin/sh", "-c", script[which], NULL};

        EXPECT(weft_process_run(argv) == status[which]);
        torture_add(&children, 1);
    }
    return 0;
}

static int hog(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        torture_spin(torture_random(&r, 15000));
        weft_sleep(torture_random(&r, 30000) * WEFT_MICROSECOND);
    }
    return 0;
}

static int blocker(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        usleep(torture_random(&r, 15000));
        weft_yield();
    }
    return 0;
}

/* TSan's workers block signals. */
static void strike_threads(void)
{
#if !defined(WEFT__TSAN)
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        if (atoi(e->d_name) > 0)
            syscall(SYS_tgkill, getpid(), atoi(e->d_name), SIGUSR1);
    }
    closedir(d);
#endif
}

static void *rain(void *arg)
{
    (void)arg;
    while (!torture_get(&rain_ends)) {
        kill(getpid(), SIGUSR1);
        strike_threads();
        usleep(1000);
    }
    return NULL;
}

static int play(void *arg)
{
    weft_chan *signals = weft_chan_new(sizeof(int), 1);
    weft_group g = WEFT_GROUP_INIT;
    pthread_t thread;
    uintptr_t number = 1;

    (void)arg;
    EXPECT(weft_signal_start(signals, SIGUSR1) == 0);
    EXPECT(pthread_create(&thread, NULL, rain, NULL) == 0);
    for (int i = 0; i < PARENTS; i++)
        weft_group_go(&g, parent, (void *)number++);
    for (int i = 0; i < HOGS; i++)
        weft_group_go(&g, hog, (void *)number++);
    for (int i = 0; i < BLOCKERS; i++)
        weft_group_go(&g, blocker, (void *)number++);
    EXPECT(weft_group_join(&g) == 0);
    torture_set(&rain_ends, true);
    weft_blocking(torture_join, &thread);
    weft_signal_stop(signals, SIGUSR1);
    weft_chan_free(signals);
    return (int)torture_get(&weft__sched.taken);
}

int main(int argc, char **argv)
{
    double s;
    int taken;

    torture_begin(argc, argv);
    signal(SIGUSR1, SIG_IGN); /* when nobody listens yet, or any more */
    s = torture_now();
    taken = weft_run(play, NULL);
    s = torture_now() - s;
    torture_end();
    printf("children: %llu, %.0f/s; hand-offs %d, %.0f/s\n", (unsigned long long)children,
           (double)children / s, taken, taken / s);
    return 0;
}
