/* SPDX-License-Identifier: MIT */
/* test_end.c - threads that are late at the end of a run: a worker in the runtime, or a task's
 * thread that comes back from a call into C while the runtime is torn down. They must not touch the
 * next run. weft__global_push is wrapped, and holds such a thread up until the run is over, or
 * until it is certain that the end of the run waits for it. */
#include "runtime/sched/lane.h"
#include "runtime/sched/scheduler.h"
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

enum { PATIENCE = 200, AN_END = 3000 /* ms: an end waits one second for calls into C */ };

static atomic_int held, let_go, late; /* callers */
static atomic_bool armed, reached;

void __real_weft__global_push(weft__task *t);
void __wrap_weft__global_push(weft__task *t);

/* The end of the run has reached w: it has told a foreign thread to go, and has given a worker up.
 */
static bool is_reached(weft__worker *w)
{
    if (w->foreign ? weft__load_acq(&w->take) != 0 : weft__load_acq(&w->end) != WEFT__ALIVE)
        atomic_store(&reached, true);
    return atomic_load(&reached);
}

/* The end may not get there: it joins the monitor, which may need a lock that w holds. */
static void hold_up(weft__worker *w)
{
    atomic_fetch_add(&held, 1);
    for (int i = 0; i < AN_END && !is_reached(w); i++)
        usleep(1000);
    for (int i = 0; i < PATIENCE && weft__load_acq(&weft__sched.running); i++)
        usleep(1000);
    atomic_fetch_add(&late, !weft__load_acq(&weft__sched.running));
    atomic_fetch_add(&let_go, 1);
}

static void check_nobody_late(void)
{
    CHECK(atomic_load(&held) > 0);
    while (atomic_load(&let_go) < atomic_load(&held))
        usleep(1000);
    CHECK_EQ(atomic_load(&late), 0);
}

void __wrap_weft__global_push(weft__task *t)
{
    weft__worker *w = weft__self();

    if (atomic_load(&armed) && w && !weft__load(&w->p))
        hold_up(w);
    __real_weft__global_push(t);
}

/* ---- tasks ---- */

static atomic_int sits, ended;

static void nothing(void *arg)
{
    (void)arg;
}

/* ---- foreign threads ---- */

static void *start_a_task(void *arg)
{
    weft_go(nothing, arg);
    return NULL;
}

static int end_amid_a_call(void *thread)
{
    atomic_store(&armed, true);
    CHECK_EQ(pthread_create(thread, NULL, start_a_task, NULL), 0);
    wait_for(&held, 1);
    return 0;
}

TEST_PLAIN(call_of_a_thread_is_waited_for)
{
    pthread_t thread;

    CHECK_EQ(weft_run(end_amid_a_call, &thread), 0);
    pthread_join(thread, NULL);
    check_nobody_late();
}

static void *call_when_it_ends(void *arg)
{
    weft_task_id();
    atomic_fetch_add(&sits, 1);
    while (!is_reached(weft__self()))
        usleep(100);
    weft_go(nothing, arg);
    atomic_store(&ended, 1);
    return NULL;
}

/* Runs on the thread pool. The end of the run waits for it last, and for a second at most. */
static void wait_for_the_caller(void *arg)
{
    (void)arg;
    atomic_fetch_add(&sits, 1);
    for (int i = 0; i < PATIENCE && !atomic_load(&ended); i++)
        usleep(1000);
}

static void work(void *arg)
{
    weft_work(wait_for_the_caller, arg);
}

static int end_beside_a_caller(void *thread)
{
    CHECK_EQ(pthread_create(thread, NULL, call_when_it_ends, NULL), 0);
    weft_go(work, NULL);
    wait_for(&sits, 2);
    return 0;
}

TEST_DIES_PLAIN(call_begun_at_the_end_panics, 2, "panic: weft: weft_go called outside weft_run")
{
    pthread_t thread;

    CHECK_EQ(weft_run(end_beside_a_caller, &thread), 0);
    pthread_join(thread, NULL);
}

static void *dump_all_the_time(void *arg)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC), n = 0;

    while (!atomic_load(&ended)) {
        int rc = weft_dump(fd, arg);

        CHECK(rc == 0 || rc == WEFT_EINVAL);
        n += rc == 0;
    }
    CHECK(n > 0);
    close(fd);
    return NULL;
}

static int yield_for_a_while(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        weft_yield();
    return 0;
}

static int dump_once(void *arg)
{
    wait_for_dump(arg);
    return 0;
}

TEST_PLAIN(thread_may_dump_before_amid_and_after_runs)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, dump_all_the_time, NULL), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(weft_run(yield_for_a_while, NULL), 0);
    CHECK_EQ(weft_run(dump_once, "locked to thread"), 0);
    atomic_store(&ended, 1);
    pthread_join(thread, NULL);
}

static weft_local key;

/* The destructor of a thread's value: user code that calls weft as its thread ends. */
static void end_slowly(void *value)
{
    atomic_store(&sits, 1);
    while (!is_reached(weft__self()))
        usleep(100);
    weft_go(nothing, value);
    CHECK_EQ(weft_chan_recv(NULL, NULL), WEFT_ECANCELED);
    atomic_store(&ended, 1);
}

static void *have_a_value(void *arg)
{
    weft_local_set(key, &key);
    return arg;
}

static int end_amid_a_threads_end(void *thread)
{
    CHECK_EQ(weft_local_new(&key, end_slowly), 0);
    atomic_store(&armed, true);
    CHECK_EQ(pthread_create(thread, NULL, have_a_value, NULL), 0);
    wait_for(&sits, 1);
    return 0;
}

TEST_PLAIN(end_of_a_thread_is_waited_for)
{
    pthread_t thread;

    CHECK_EQ(weft_run(end_amid_a_threads_end, &thread), 0);
    pthread_join(thread, NULL);
    check_nobody_late();
    CHECK_EQ(atomic_load(&ended), 1);
}
