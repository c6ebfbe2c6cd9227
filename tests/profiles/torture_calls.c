/* SPDX-License-Identifier: MIT */
/* torture_calls.c - no dump and no profile ends a system call early or short: `torture_calls
 * SECONDS SEED`.
 *
 * Tasks make calls that a signal would cut short in spite of SA_RESTART, declared and undeclared.
 * So do threads of the program, some of which have called weft. Each computes for a random time
 * before a call, so that it often enters the call just after it was seen to compute. A call must
 * have its full result, or time out, but not before its time. Meanwhile dumps of all forms and
 * fgprof profiles are taken without a pause. */
#include "torture.h"

#include <weft/dump.h>
#include <weft/profile.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum { LARGE = 1 << 20, PIECE = 1 << 15 };
enum how { UNDECLARED, DECLARED, THREAD, KNOWN_THREAD, HOWS };

/* A task or thread that makes calls, and what it needs for them. */
struct actor {
    const struct kind *kind;
    enum how how;
    uint64_t random;
    int fds[2];
    struct sockaddr_un at;
    pthread_t thread, other;
    uint64_t calls;
};

struct kind {
    const char *name;
    void (*prepare)(struct actor *a);
    void (*call)(struct actor *a, long us); /* which waits for so many microseconds */
};

static uint64_t dumps, profiles; /* atomic */
static uint32_t left;            /* atomic: actors that are tasks */
static int null;

/* ---- calls that time out ---- */

static struct timespec after_us(long us)
{
    return (struct timespec){0, us * 1000};
}

/* Returns the instant of the clock so many microseconds from now. */
static struct timespec until_us(clockid_t clock, long us)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    ts.tv_nsec += us * 1000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return ts;
}

static int ms_of(long us)
{
    return (int)(us / 1000) + 1;
}

static void call_nanosleep(struct actor *a, long us)
{
    struct timespec time = after_us(us);

    (void)a;
    EXPECT(nanosleep(&time, NULL) == 0);
}

static void call_clock_nanosleep(struct actor *a, long us)
{
    struct timespec until = until_us(CLOCK_MONOTONIC, us);

    (void)a;
    EXPECT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
}

static void call_poll(struct actor *a, long us)
{
    struct pollfd fd = {.fd = a->fds[0], .events = POLLIN};

    EXPECT(poll(&fd, 1, ms_of(us)) == 0);
}

static void call_ppoll(struct actor *a, long us)
{
    struct pollfd fd = {.fd = a->fds[0], .events = POLLIN};
    struct timespec time = after_us(us);
    sigset_t none;

    sigemptyset(&none);
    EXPECT(ppoll(&fd, 1, &time, &none) == 0);
}

static void call_select(struct actor *a, long us)
{
    struct timeval time = {0, us};

    (void)a;
    EXPECT(select(0, NULL, NULL, NULL, &time) == 0);
}

static void prepare_epoll(struct actor *a)
{
    a->fds[0] = epoll_create1(EPOLL_CLOEXEC);
    EXPECT(a->fds[0] >= 0);
}

static void call_epoll(struct actor *a, long us)
{
    struct epoll_event event;

    EXPECT(epoll_wait(a->fds[0], &event, 1, ms_of(us)) == 0);
}

static void prepare_semaphores(struct actor *a)
{
    a->fds[0] = semget(IPC_PRIVATE, 1, 0600);
    EXPECT(a->fds[0] >= 0);
}

static void call_semtimedop(struct actor *a, long us)
{
    struct sembuf down = {.sem_op = -1};
    struct timespec time = after_us(us);

    EXPECT(semtimedop(a->fds[0], &down, 1, &time) == -1 && errno == EAGAIN);
}

static void call_sem_timedwait(struct actor *a, long us)
{
    struct timespec until = until_us(CLOCK_REALTIME, us);
    sem_t sem;

    (void)a;
    EXPECT(sem_init(&sem, 0, 0) == 0);
    EXPECT(sem_timedwait(&sem, &until) == -1 && errno == ETIMEDOUT);
    sem_destroy(&sem);
}

static void call_futex(struct actor *a, long us)
{
    struct timespec time = after_us(us);
    uint32_t word = 0;

    (void)a;
    EXPECT(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time) == -1 && errno == ETIMEDOUT);
}

static void call_sigtimedwait(struct actor *a, long us)
{
    struct timespec time = after_us(us);
    sigset_t set;

    (void)a;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMAX);
    EXPECT(sigtimedwait(&set, NULL, &time) == -1 && errno == EAGAIN);
}

/* ---- sockets with a timeout ---- */

static void set_timeout(int fd, int option, long us)
{
    struct timeval time = {us / 1000000, us % 1000000};

    EXPECT(setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time)) == 0);
}

static void prepare_pair(struct actor *a)
{
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a->fds) == 0);
}

static void call_recv(struct actor *a, long us)
{
    char byte;

    set_timeout(a->fds[0], SO_RCVTIMEO, us);
    EXPECT(read(a->fds[0], &byte, 1) == -1 && errno == EAGAIN);
}

/* A listener whose queue is full. */
static void prepare_listener(struct actor *a)
{
    static uint32_t n;
    socklen_t size = sizeof(a->at);

    a->at = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(a->at.sun_path + 1, sizeof(a->at.sun_path) - 1, "weft-torture-calls-%d-%u", getpid(),
             torture_add(&n, 1));
    a->fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a->fds[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(bind(a->fds[0], (struct sockaddr *)&a->at, size) == 0 && listen(a->fds[0], 0) == 0);
}

static void call_accept(struct actor *a, long us)
{
    set_timeout(a->fds[0], SO_RCVTIMEO, us);
    EXPECT(accept(a->fds[0], NULL, NULL) == -1 && errno == EAGAIN);
}

static void prepare_full_listener(struct actor *a)
{
    prepare_listener(a);
    EXPECT(connect(a->fds[1], (struct sockaddr *)&a->at, sizeof(a->at)) == 0);
    a->fds[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void call_connect(struct actor *a, long us)
{
    set_timeout(a->fds[1], SO_SNDTIMEO, us);
    EXPECT(connect(a->fds[1], (struct sockaddr *)&a->at, sizeof(a->at)) == -1 && errno == EAGAIN);
}

/* ---- calls that others end ---- */

/* Writes a byte now and then, until the other end is closed. */
static void *feed(void *arg)
{
    struct actor *a = arg;
    uint64_t r = torture_seed((uintptr_t)a);

    do {
        usleep(torture_random(&r, 2000));
    } while (send(a->fds[1], "x", 1, MSG_NOSIGNAL) == 1);
    return NULL;
}

static void prepare_fed(struct actor *a)
{
    prepare_pair(a);
    set_timeout(a->fds[0], SO_RCVTIMEO, 60000000);
    EXPECT(pthread_create(&a->other, NULL, feed, a) == 0);
}

static void call_fed(struct actor *a, long us)
{
    char byte;

    (void)us;
    EXPECT(read(a->fds[0], &byte, 1) == 1);
}

/* Reads slowly, until the other end is closed. */
static void *drain(void *arg)
{
    struct actor *a = arg;
    char *piece = malloc(PIECE);

    while (read(a->fds[0], piece, PIECE) > 0)
        usleep(200);
    free(piece);
    return NULL;
}

static void prepare_pipe(struct actor *a)
{
    EXPECT(pipe2(a->fds, O_CLOEXEC) == 0);
    EXPECT(pthread_create(&a->other, NULL, drain, a) == 0);
}

static void prepare_socket(struct actor *a)
{
    prepare_pair(a);
    EXPECT(pthread_create(&a->other, NULL, drain, a) == 0);
}

static void call_write(struct actor *a, long us)
{
    static char large[LARGE];

    (void)us;
    EXPECT(write(a->fds[1], large, LARGE) == LARGE);
}

static void prepare_nothing(struct actor *a)
{
    EXPECT(pipe2(a->fds, O_CLOEXEC) == 0);
}

static const struct kind kinds[] = {
    {"nanosleep", prepare_nothing, call_nanosleep},
    {"clock_nanosleep", prepare_nothing, call_clock_nanosleep},
    {"poll", prepare_nothing, call_poll},
    {"ppoll", prepare_nothing, call_ppoll},
    {"select", prepare_nothing, call_select},
    {"epoll_wait", prepare_epoll, call_epoll},
    {"semtimedop", prepare_semaphores, call_semtimedop},
    {"sem_timedwait", prepare_nothing, call_sem_timedwait},
    {"futex", prepare_nothing, call_futex},
    {"sigtimedwait", prepare_nothing, call_sigtimedwait},
    {"read with a timeout", prepare_pair, call_recv},
    {"accept with a timeout", prepare_listener, call_accept},
    {"connect with a timeout", prepare_full_listener, call_connect},
    {"read with a long timeout", prepare_fed, call_fed},
    {"write to a slow pipe", prepare_pipe, call_write},
    {"write to a slow socket", prepare_socket, call_write},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

static struct actor actors[KINDS * HOWS];

/* ---- actors ---- */

static void call(void *arg)
{
    struct actor *a = arg;
    long us = 50 + (long)torture_random(&a->random, 1000);
    double began;

    if (torture_random(&a->random, 2))
        torture_spin(torture_random(&a->random, 300));
    began = torture_now();
    a->kind->call(a, us);
    if (a->kind->call != call_fed && a->kind->call != call_write)
        EXPECT(torture_now() - began >= (double)us * 1e-6 - 1e-6);
    a->calls++;
}

/* At least one call: on a machine short of CPU an actor may begin after the end of the time. */
static void act(struct actor *a)
{
    do {
        if (a->how == DECLARED)
            weft_blocking(call, a);
        else
            call(a);
        if (a->how == KNOWN_THREAD && a->calls % 16 == 0)
            weft_yield();
    } while (!torture_stops());
}

static void task(void *arg)
{
    act(arg);
    torture_add(&left, -1u);
}

static void *thread(void *arg)
{
    act(arg);
    return NULL;
}

static void begin(struct actor *a, const struct kind *kind, enum how how)
{
    a->kind = kind;
    a->how = how;
    a->random = torture_seed((uint64_t)(a - actors));
    kind->prepare(a);
    if (how < THREAD) {
        torture_add(&left, 1);
        weft_go(task, a);
    } else {
        EXPECT(pthread_create(&a->thread, NULL, thread, a) == 0);
    }
}

static void end(struct actor *a)
{
    if (a->how >= THREAD)
        pthread_join(a->thread, NULL);
    if (a->kind->prepare == prepare_semaphores) {
        semctl(a->fds[0], 0, IPC_RMID);
        return;
    }
    if (a->kind->call == call_fed)
        close(a->fds[0]);
    if (a->kind->call == call_write)
        close(a->fds[1]);
    if (a->other)
        pthread_join(a->other, NULL);
}

/* ---- dumps and profiles ---- */

static int dump(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        weft_dump_options o = {.form = torture_random(&r, WEFT_DUMP_PPROF_EACH + 1)};

        EXPECT(weft_dump(null, &o) == 0);
        torture_add(&dumps, 1);
        weft_sleep(torture_random(&r, 300) * WEFT_MICROSECOND);
    }
    return 0;
}

static void *dump_on_a_thread(void *arg)
{
    dump(arg);
    return NULL;
}

static int profile(void *arg)
{
    (void)arg;
    while (!torture_stops()) {
        EXPECT(weft_profile_write(null, "fgprof",
                                  &(weft_profile_options){.over = 50 * WEFT_MILLISECOND}) == 0);
        torture_add(&profiles, 1);
    }
    return 0;
}

static int run(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;
    uint64_t least = UINT64_MAX, all = 0;
    pthread_t dumper;

    for (int i = 0; i < KINDS * HOWS; i++)
        begin(&actors[i], &kinds[i / HOWS], (enum how)(i % HOWS));
    weft_group_go(&g, dump, NULL);
    weft_group_go(&g, profile, NULL);
    weft_group_go(&g, profile, NULL);
    EXPECT(pthread_create(&dumper, NULL, dump_on_a_thread, &null) == 0);
    EXPECT(weft_group_wait(&g) == 0);
    while (torture_get(&left) > 0)
        weft_sleep(WEFT_MILLISECOND);
    weft_blocking_begin();
    pthread_join(dumper, NULL);
    for (int i = 0; i < KINDS * HOWS; i++)
        end(&actors[i]);
    weft_blocking_end();
    for (int i = 0; i < KINDS * HOWS; i++) {
        const struct actor *a = &actors[i];

        least = a->calls < least ? a->calls : least;
        all += a->calls;
    }
    printf("torture_calls: %llu calls, of each at least %llu, %llu dumps, %llu profiles\n",
           (unsigned long long)all, (unsigned long long)least,
           (unsigned long long)torture_get(&dumps), (unsigned long long)torture_get(&profiles));
    (void)arg;
    return 0;
}

int main(int argc, char **argv)
{
    int rc;

    torture_begin(argc, argv);
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    rc = weft_run(run, NULL);
    torture_end();
    return rc;
}
