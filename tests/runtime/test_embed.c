/* SPDX-License-Identifier: MIT */
/* test_embed.c - a run beside a program's own loop, and threads that will call. */
#include "support.h"

#include <weft/net.h>

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <unistd.h>
#include <uv.h>

WEFT_CHAN_TYPE(ints, int);

static int squared(void *arg)
{
    int n = *(int *)arg;

    weft_yield();
    return n * n;
}

TEST_PLAIN(call_runs_a_task_and_returns_its_result)
{
    int n = 7;

    CHECK_EQ(weft_start(NULL), 0);
    CHECK_EQ(weft_call(squared, &n), 49);
    weft_stop();
}

static int calls_in_a_task(void *arg)
{
    return weft_call(squared, arg);
}

TEST_PLAIN(call_in_a_task_calls)
{
    int n = 5;

    CHECK_EQ(weft_start(NULL), 0);
    CHECK_EQ(weft_call(calls_in_a_task, &n), 25);
    weft_stop();
}

TEST_PLAIN(runs_follow_each_other_with_their_options)
{
    for (int i = 1; i <= 3; i++) {
        weft_run_options o = {.procs = i};

        CHECK_EQ(weft_start(&o), 0);
        CHECK_EQ(weft_procs(), i);
        CHECK_EQ(weft_call(squared, &i), i * i);
        weft_stop();
    }
}

static sem_t may_end; /* the run */

static int ends_the_run(void *arg)
{
    (void)arg;
    sem_post(&may_end);
    return 7;
}

static void *calls(void *arg)
{
    int rc = weft_call(ends_the_run, arg);

    CHECK(rc == 7 || rc == WEFT_ECANCELED);
    return NULL;
}

static void *dials(void *arg)
{
    weft_conn *c;
    int rc = weft_dial("localhost:1", &c);

    CHECK(rc == -ECONNREFUSED || rc == WEFT_ECANCELED);
    return arg;
}

/* In place of libc's: libuv calls it in a lookup. Finds addresses of IPv4 only: two families race
 * in tasks (dial.c), and one dial is enough here. */
__attribute__((visibility("default"))) int getaddrinfo(const char *host, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **found)
{
    static __typeof__(getaddrinfo) *real;
    struct addrinfo one = *hints;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    one.ai_family = AF_INET;
    sem_post(&may_end);
    return real(host, service, &one, found);
}

/* Runs a thread beside a run that ends as soon as the thread's call is under way. */
static void meet_the_end(void *(*call)(void *))
{
    pthread_t thread;

    sem_init(&may_end, 0, 0);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(weft_start(NULL), 0);
        CHECK_EQ(pthread_create(&thread, NULL, call, NULL), 0);
        while (sem_wait(&may_end) != 0)
            continue;
        usleep((unsigned)i); /* the end comes at another moment of the call each time */
        weft_stop();
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}

TEST_PLAIN(call_that_meets_the_end_of_the_run_ends)
{
    meet_the_end(calls);
}

TEST_PLAIN(dial_that_meets_the_end_of_the_run_ends)
{
    meet_the_end(dials);
}

static void receives_for_ever(void *c)
{
    weft_chan_recv(c, NULL);
}

TEST_PLAIN(host_that_sleeps_is_not_taken_for_a_deadlock)
{
    weft_chan *c = weft_chan_new(0, 0);

    CHECK_EQ(weft_start(NULL), 0);
    for (int i = 0; i < 10; i++)
        weft_go(receives_for_ever, c);
    wait_until_idle();
    CHECK_EQ(weft_chan_send(c, NULL), 0);
    weft_stop();
}

/* Threads that will call ----------------------------------------------------------------------- */

static ints *in;
static pthread_barrier_t up;

static int sums(void *arg)
{
    int v, sum = 0;

    (void)arg;
    weft_blocking_begin();
    pthread_barrier_wait(&up);
    weft_blocking_end();
    while (ints_recv(in, &v) == 0)
        sum += v;
    return sum;
}

static void *runs(void *arg)
{
    *(int *)arg = weft_run(sums, NULL);
    return NULL;
}

/* Starts a run on another thread, whose main task receives, and returns when every task sleeps. */
static pthread_t run_beside(int *result)
{
    pthread_t thread;

    in = ints_new(0);
    pthread_barrier_init(&up, NULL, 2);
    CHECK_EQ(pthread_create(&thread, NULL, runs, result), 0);
    pthread_barrier_wait(&up);
    wait_until_idle();
    return thread;
}

TEST_PLAIN(attached_thread_may_call_late)
{
    pthread_t thread;
    int sum = 0;

    weft_attach();
    thread = run_beside(&sum);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(ints_send(in, i), 0);
    ints_close(in);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(sum, 10);
    weft_detach();
}

TEST_DIES_PLAIN(detached_thread_wakes_nobody, 2, "all goroutines are asleep - deadlock!")
{
    pthread_t thread;
    int sum = 0;

    weft_attach();
    weft_attach();
    thread = run_beside(&sum);
    CHECK_EQ(ints_send(in, 1), 0);
    weft_detach();
    wait_until_idle();
    CHECK_EQ(ints_send(in, 1), 0); /* the inner detach changed nothing */
    weft_detach();
    pthread_join(thread, NULL);
}

static void *attaches(void *arg)
{
    weft_attach();
    return arg;
}

TEST_DIES_PLAIN(thread_that_ends_is_detached, 2, "all goroutines are asleep - deadlock!")
{
    pthread_t thread, other;
    int sum = 0;

    weft_attach();
    CHECK_EQ(pthread_create(&other, NULL, attaches, NULL), 0);
    pthread_join(other, NULL);
    thread = run_beside(&sum);
    weft_detach();
    pthread_join(thread, NULL);
}

/* Loops of hosts ------------------------------------------------------------------------------- */

static void writes(void *arg)
{
    int *fd = arg;

    for (int i = 0; i < 100; i++) {
        weft_sleep(10 * WEFT_MICROSECOND);
        CHECK_EQ(write(*fd, "x", 1), 1);
    }
}

TEST_PLAIN(tasks_wake_a_loop_of_poll)
{
    char buffer[64];
    int ends[2], n = 0;

    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(weft_start(NULL), 0);
    for (int i = 0; i < 10; i++)
        weft_go(writes, &ends[1]);
    while (n < 1000) {
        struct pollfd p = {.fd = ends[0], .events = POLLIN};

        if (poll(&p, 1, -1) == 1)
            n += (int)read(ends[0], buffer, sizeof(buffer));
    }
    weft_stop();
    CHECK_EQ(n, 1000);
}

static atomic_int sent;
static uv_async_t async;
static int wakes;

static void sends(void *arg)
{
    (void)arg;
    weft_yield();
    atomic_fetch_add(&sent, 1);
    uv_async_send(&async);
}

static void woken(uv_async_t *a)
{
    wakes++;
    if (atomic_load(&sent) == 50)
        uv_close((uv_handle_t *)a, NULL);
}

static void starts(uv_timer_t *t)
{
    for (int i = 0; i < 50; i++)
        weft_go(sends, NULL);
    uv_close((uv_handle_t *)t, NULL);
}

TEST_PLAIN(tasks_wake_a_loop_of_libuv)
{
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t timer;

    CHECK_EQ(weft_start(NULL), 0);
    CHECK_EQ(uv_async_init(loop, &async, woken), 0);
    CHECK_EQ(uv_timer_init(loop, &timer), 0);
    CHECK_EQ(uv_timer_start(&timer, starts, 1, 0), 0);
    CHECK_EQ(uv_run(loop, UV_RUN_DEFAULT), 0);
    weft_stop();
    CHECK_EQ(atomic_load(&sent), 50);
    CHECK(wakes >= 1);
    CHECK_EQ(uv_loop_close(loop), 0);
}

/* The end -------------------------------------------------------------------------------------- */

static int waits(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return weft_chan_recv(NULL, NULL);
}

static void *is_cut_off(void *arg)
{
    return (void *)(intptr_t)weft_call(waits, arg);
}

TEST_PLAIN(call_ends_with_the_run)
{
    atomic_int begun = 0;
    pthread_t thread;
    void *rc;

    CHECK_EQ(weft_start(NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, is_cut_off, &begun), 0);
    while (!atomic_load(&begun))
        sched_yield();
    weft_stop();
    CHECK_EQ(pthread_join(thread, &rc), 0);
    CHECK_EQ((intptr_t)rc, WEFT_ECANCELED);
}

TEST_DIES_PLAIN(second_start_panics, 2, "weft: weft_start called while a run is under way")
{
    weft_start(NULL);
    weft_start(NULL);
}

TEST_DIES(start_in_a_task_panics, 2, "weft: weft_start called in a task")
{
    weft_start(NULL);
}

TEST_DIES(stop_in_a_task_panics, 2, "weft: weft_stop called in a task")
{
    weft_stop();
}

TEST_DIES_PLAIN(stop_without_start_panics, 2, "weft: weft_stop without a weft_start")
{
    weft_stop();
}

TEST_DIES(attach_in_a_task_panics, 2, "weft: weft_attach called in a task")
{
    weft_attach();
}

TEST_DIES_PLAIN(detach_without_attach_panics, 2,
                "weft: weft_detach of a thread that is not attached")
{
    weft_detach();
}
