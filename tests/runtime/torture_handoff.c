/* SPDX-License-Identifier: MIT */
/* torture_handoff.c - processors change threads hundreds of times a second, with everything under
 * way that a loop or a queue can have: sleeps, descriptors, the thread pool, children, signals,
 * foreign threads, pinned tasks, channels, locks, groups that are canceled.
 *
 * Queues, loops and heaps of timers are plain memory, so ThreadSanitizer checks that a processor
 * has one owner at a time. All tasks end by themselves; if one does not, its wake-up was lost. */
#include "torture.h"

#include "runtime/sched/scheduler.h"

#include <weft/chan.h>
#include <weft/fd.h>
#include <weft/signal.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

WEFT_CHAN_TYPE(numbers, uint64_t);

enum { ECHOES = 6, FOREIGNERS = 3, CHILDREN_A_SECOND = 50 };

static struct {
    uint64_t sleeps, spins, blocks, declared, echoes, works, children, pinned, values, groups,
        signals, foreign, spawned; /* atomic */
} done;

static struct {
    weft_mutex mutex;
    uint64_t a, b; /* guarded by mutex; equal outside it */
    numbers *values, *from_foreign;
    uint64_t sent, received; /* atomic: sums */
    weft_chan *signals;
    bool sender_stops, signals_end; /* atomic */
} shared;

/* Tasks that hold a thread ----------------------------------------------------------------------*/

static void block(uint64_t *r)
{
    unsigned us = torture_random(r, 30000);
    struct timespec ts = {0, (long)us * 1000};

    switch (torture_random(r, 3)) {
    case 0:
        usleep(us);
        break;
    case 1:
        nanosleep(&ts, NULL);
        break;
    default:
        poll(NULL, 0, (int)(us / 1000));
    }
}

static int sleeper(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        EXPECT(weft_sleep(torture_random(&r, 5000) * WEFT_MICROSECOND) == 0);
        torture_add(&done.sleeps, 1);
    }
    return 0;
}

static int spinner(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        torture_spin(torture_random(&r, 30000));
        torture_add(&done.spins, 1);
        if (torture_random(&r, 2))
            weft_yield();
        else
            weft_sleep(torture_random(&r, 20000) * WEFT_MICROSECOND);
    }
    return 0;
}

static int blocker(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        block(&r);
        torture_add(&done.blocks, 1);
        if (torture_random(&r, 4) == 0)
            weft_sleep(torture_random(&r, 2000) * WEFT_MICROSECOND);
        else
            weft_yield();
    }
    return 0;
}

static void block_task(void *arg)
{
    block(arg);
}

static int declarer(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        if (torture_random(&r, 2)) {
            weft_blocking(block_task, &r);
        } else {
            weft_blocking_begin();
            usleep(torture_random(&r, 200));
            weft_blocking_end();
        }
        torture_add(&done.declared, 1);
    }
    return 0;
}

static int pinned(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        long tid;

        weft_pin();
        tid = syscall(SYS_gettid);
        for (unsigned n = torture_random(&r, 10); n > 0; n--) {
            switch (torture_random(&r, 5)) {
            case 0:
                block(&r);
                break;
            case 1:
                torture_spin(torture_random(&r, 15000));
                break;
            case 2:
                weft_blocking(block_task, &r);
                break;
            case 3:
                weft_sleep(torture_random(&r, 1000) * WEFT_MICROSECOND);
                break;
            default:
                weft_yield();
            }
            EXPECT(syscall(SYS_gettid) == tid);
        }
        weft_unpin();
        weft_yield();
        torture_add(&done.pinned, 1);
    }
    return 0;
}

/* Sockets and descriptors -----------------------------------------------------------------------*/

struct echo {
    int fds[2];
    uint64_t seed;
};

static void nonblocking(int fd)
{
    EXPECT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static void connect_pair(int fds[2], bool tcp)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int s;

    if (!tcp) {
        EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    } else {
        s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT(s >= 0 && bind(s, (struct sockaddr *)&at, n) == 0 && listen(s, 1) == 0);
        EXPECT(getsockname(s, (struct sockaddr *)&at, &n) == 0);
        fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT(fds[0] >= 0 && connect(fds[0], (struct sockaddr *)&at, n) == 0);
        fds[1] = accept(s, NULL, NULL);
        EXPECT(fds[1] >= 0);
        close(s);
    }
    nonblocking(fds[0]);
    nonblocking(fds[1]);
}

/* errno belongs to a thread. Compilers keep its address over calls that change threads, unless it
 * is read in a function of its own. */
static __attribute__((noinline)) ssize_t read_once(int fd, void *to, size_t n)
{
    ssize_t got = read(fd, to, n);

    return got < 0 ? -errno : got;
}

/* Half of the waits have a deadline that races with the event. */
static ssize_t read_patiently(int fd, void *to, size_t n, uint64_t *r)
{
    ssize_t got;
    int rc;

    while ((got = read_once(fd, to, n)) == -EAGAIN) {
        weft_time deadline = torture_random(r, 2)
                                 ? weft_after(torture_random(r, 300) * WEFT_MICROSECOND)
                                 : WEFT_FOREVER;

        rc = weft_fd_wait_until(fd, WEFT_FD_READ, deadline);
        EXPECT(rc == WEFT_FD_READ || (rc == WEFT_ETIMEDOUT && deadline != WEFT_FOREVER));
    }
    return got;
}

static int echo_server(void *arg)
{
    struct echo *e = arg;
    uint64_t r = e->seed + 1;
    char byte;

    while (read_patiently(e->fds[1], &byte, 1, &r) == 1)
        EXPECT(write(e->fds[1], &byte, 1) == 1);
    close(e->fds[1]);
    return 0;
}

static int echo_client(void *arg)
{
    struct echo *e = arg;
    uint64_t r = e->seed;
    char byte = 0, back;

    while (!torture_stops()) {
        byte++;
        EXPECT(write(e->fds[0], &byte, 1) == 1);
        EXPECT(read_patiently(e->fds[0], &back, 1, &r) == 1 && back == byte);
        torture_add(&done.echoes, 1);
        if (torture_random(&r, 8) == 0)
            weft_sleep(torture_random(&r, 3000) * WEFT_MICROSECOND);
    }
    close(e->fds[0]);
    return 0;
}

static void work(void *arg)
{
    uint64_t *r = arg;

    if (torture_random(r, 4) == 0)
        usleep(torture_random(r, 2000));
}

static int pool_user(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        EXPECT(weft_work(work, &r) == 0);
        torture_add(&done.works, 1);
        if (torture_random(&r, 4) == 0)
            weft_sleep(torture_random(&r, 1000) * WEFT_MICROSECOND);
    }
    return 0;
}

static int parent(void *arg)
{
    static const char *const succeeds[] = {"/bin/true", NULL},
                             *const fails[] = {"/bin/false", NULL},
                             *const missing[] = {"/nowhere/to/be/found", NULL};
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        switch (torture_random(&r, 8)) {
        case 0:
            EXPECT(weft_process_run(missing) == -ENOENT);
            break;
        case 1:
            EXPECT(weft_process_run(fails) == 1);
            break;
        default:
            EXPECT(weft_process_run(succeeds) == 0);
        }
        torture_add(&done.children, 1);
        weft_sleep(WEFT_SECOND / CHILDREN_A_SECOND);
    }
    return 0;
}

/* Between tasks ---------------------------------------------------------------------------------*/

static void lock_and_count(uint64_t *r)
{
    weft_mutex_lock(&shared.mutex);
    shared.a++;
    if (torture_random(r, 16) == 0)
        torture_spin(torture_random(r, 300));
    EXPECT(shared.a == shared.b + 1);
    shared.b++;
    weft_mutex_unlock(&shared.mutex);
}

static int producer(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg), v;

    while (!torture_stops()) {
        v = torture_random(&r, 1u << 30);
        EXPECT(numbers_send(shared.values, v) == 0);
        torture_add(&shared.sent, v);
        if (torture_random(&r, 64) == 0)
            lock_and_count(&r);
        if (torture_random(&r, 256) == 0)
            weft_sleep(torture_random(&r, 2000) * WEFT_MICROSECOND);
    }
    return 0;
}

static int consumer(void *arg)
{
    uint64_t v;

    while (numbers_recv(arg, &v) == 0) {
        torture_add(&shared.received, v);
        torture_add(&done.values, 1);
    }
    return 0;
}

static int waits_for_cancel(void *arg)
{
    int rc;

    if (torture_random(arg, 2)) {
        rc = weft_sleep(100 * WEFT_SECOND);
    } else {
        numbers *never = numbers_new(0);

        rc = numbers_recv(never, NULL);
        numbers_free(never);
    }
    EXPECT(rc == WEFT_ECANCELED);
    return 0;
}

static int canceler(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg), seeds[8];

    while (!torture_stops()) {
        weft_group g = WEFT_GROUP_INIT;
        unsigned n = 1 + torture_random(&r, 8);
        bool by_deadline = torture_random(&r, 2);

        if (by_deadline)
            weft_group_deadline(&g, weft_after(torture_random(&r, 3000) * WEFT_MICROSECOND));
        for (unsigned i = 0; i < n; i++) {
            seeds[i] = r + i;
            weft_group_go(&g, waits_for_cancel, &seeds[i]);
        }
        if (torture_random(&r, 2))
            torture_spin(torture_random(&r, 500));
        if (!by_deadline)
            weft_group_cancel(&g);
        EXPECT(weft_group_join(&g) == 0);
        torture_add(&done.groups, 1);
    }
    return 0;
}

/* From outside ----------------------------------------------------------------------------------*/

static void one_more(void *arg)
{
    (void)arg;
    torture_add(&done.spawned, 1);
    weft_waitgroup_done(arg);
}

static void *foreigner(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg), v, started = 0;
    weft_waitgroup wg = WEFT_WAITGROUP_INIT;

    while (!torture_stops()) {
        switch (torture_random(&r, 5)) {
        case 0:
            v = torture_random(&r, 1u << 30);
            EXPECT(numbers_send(shared.from_foreign, v) == 0);
            torture_add(&shared.sent, v);
            break;
        case 1:
            if (numbers_recv_until(shared.from_foreign, &v,
                                   weft_after(torture_random(&r, 200) * WEFT_MICROSECOND)) == 0)
                torture_add(&shared.received, v);
            break;
        case 2:
            lock_and_count(&r);
            break;
        case 3:
            weft_waitgroup_add(&wg, 1);
            weft_go(one_more, &wg);
            started++;
            break;
        default:
            usleep(torture_random(&r, 3000));
        }
        torture_add(&done.foreign, 1);
    }
    weft_waitgroup_wait(&wg);
    return NULL;
}

static void *signal_sender(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_get(&shared.sender_stops)) {
        kill(getpid(), SIGUSR1);
        usleep(torture_random(&r, 10000));
    }
    return NULL;
}

static int signal_receiver(void *arg)
{
    int signo;

    (void)arg;
    while (!torture_get(&shared.signals_end)) {
        if (weft_chan_recv_until(shared.signals, &signo, weft_after(10 * WEFT_MILLISECOND)) == 0) {
            EXPECT(signo == SIGUSR1);
            torture_add(&done.signals, 1);
        }
    }
    return 0;
}

/* The run ---------------------------------------------------------------------------------------*/

static const struct {
    weft_main_fn *fn;
    int n;
} cast[] = {{sleeper, 6},   {spinner, 2}, {blocker, 6},  {declarer, 4}, {pinned, 3},
            {pool_user, 4}, {parent, 2},  {producer, 3}, {canceler, 2}};

static void start_threads(pthread_t *threads, pthread_t *sender)
{
    for (uintptr_t i = 0; i < FOREIGNERS; i++)
        EXPECT(pthread_create(&threads[i], NULL, foreigner, (void *)(900 + i)) == 0);
    EXPECT(pthread_create(sender, NULL, signal_sender, (void *)(uintptr_t)990) == 0);
}

static int play(void *arg)
{
    weft_group actors = WEFT_GROUP_INIT, consumers = WEFT_GROUP_INIT, signals = WEFT_GROUP_INIT;
    pthread_t threads[FOREIGNERS], sender;
    struct echo echoes[ECHOES];
    uintptr_t number = 1;

    (void)arg;
    shared.values = numbers_new(4);
    shared.from_foreign = numbers_new(1);
    shared.signals = weft_chan_new(sizeof(int), 1);
    EXPECT(weft_signal_start(shared.signals, SIGUSR1) == 0);
    start_threads(threads, &sender);
    weft_group_go(&signals, signal_receiver, NULL);
    for (int i = 0; i < 2; i++) {
        weft_group_go(&consumers, consumer, shared.values);
        weft_group_go(&consumers, consumer, shared.from_foreign);
    }
    for (int i = 0; i < ECHOES; i++) {
        echoes[i].seed = torture_seed(500 + (uint64_t)i);
        connect_pair(echoes[i].fds, i % 2);
        weft_group_go(&actors, echo_server, &echoes[i]);
        weft_group_go(&actors, echo_client, &echoes[i]);
    }
    for (unsigned i = 0; i < sizeof(cast) / sizeof(*cast); i++) {
        for (int n = 0; n < cast[i].n; n++)
            weft_group_go(&actors, cast[i].fn, (void *)number++);
    }
    EXPECT(weft_group_join(&actors) == 0);
    for (int i = 0; i < FOREIGNERS; i++)
        weft_blocking(torture_join, &threads[i]);
    torture_set(&shared.sender_stops, true);
    weft_blocking(torture_join, &sender);
    torture_set(&shared.signals_end, true);
    EXPECT(weft_group_join(&signals) == 0);
    weft_signal_stop(shared.signals, SIGUSR1);
    numbers_close(shared.values);
    numbers_close(shared.from_foreign);
    EXPECT(weft_group_join(&consumers) == 0);
    EXPECT(shared.sent == shared.received && shared.a == shared.b);
    numbers_free(shared.values);
    numbers_free(shared.from_foreign);
    weft_chan_free(shared.signals);
    return (int)torture_get(&weft__sched.taken);
}

int main(int argc, char **argv)
{
    double start, s;
    int taken;

    torture_begin(argc, argv);
    start = torture_now();
    taken = weft_run(play, NULL);
    s = torture_now() - start;
    torture_end();
    printf("hand-offs %d, %.0f/s; a second: sleeps %.0f spins %.0f blocks %.0f declared %.0f "
           "echoes %.0f works %.0f children %.0f pinned %.0f values %.0f groups %.0f signals %.0f "
           "foreign %.0f spawned %.0f\n",
           taken, taken / s, (double)done.sleeps / s, (double)done.spins / s,
           (double)done.blocks / s, (double)done.declared / s, (double)done.echoes / s,
           (double)done.works / s, (double)done.children / s, (double)done.pinned / s,
           (double)done.values / s, (double)done.groups / s, (double)done.signals / s,
           (double)done.foreign / s, (double)done.spawned / s);
    return 0;
}
