/* SPDX-License-Identifier: MIT */
/* test_supply.c - many calls that block, and the time when there are no more threads. A test hangs
 * if all its processors are stuck. */
#include "support.h"

#include "runtime/sched/lane.h"
#include "runtime/sched/scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STORM = 200, MANY = 40, CAP = 8 };

static int hole[2];
static atomic_int begun, ended;

static void read_hole(void *arg)
{
    char byte;

    (void)arg;
    atomic_fetch_add(&begun, 1);
    CHECK_EQ(read(hole[0], &byte, 1), 1);
    atomic_fetch_add(&ended, 1);
}

static void read_declared(void *arg)
{
    weft_blocking(read_hole, arg);
}

static void fill_hole(int n)
{
    while (n-- > 0)
        CHECK_EQ(write(hole[1], "x", 1), 1);
}

static void count(void *n)
{
    atomic_fetch_add((atomic_int *)n, 1);
}

/* ---- storms ---- */

/* Within seconds each call has a thread, though the monitor has to find each call. */
static void others_run_beside_a_storm(weft_task_fn *reader)
{
    CHECK_EQ(pipe(hole), 0);
    go_many(STORM, reader, NULL);
    wait_for(&begun, STORM);
    fill_hole(STORM);
    wait_for(&ended, STORM);
}

TEST(storm_of_undeclared_calls_leaves_processors_to_others)
{
    others_run_beside_a_storm(read_hole);
}

TEST(storm_of_declared_calls_leaves_processors_to_others)
{
    others_run_beside_a_storm(read_declared);
}

/* ---- the debug endpoints ---- */

static char dir[] = "/tmp/weft-supply-XXXXXX", address[64];

static void serve_debug(void)
{
    CHECK(mkdtemp(dir) != NULL);
    snprintf(address, sizeof(address), "unix:%s/debug", dir);
    CHECK_EQ(weft_debug_serve(address), 0);
}

static void remove_socket(void)
{
    CHECK_EQ(unlink(strchr(address, '/')), 0);
    CHECK_EQ(rmdir(dir), 0);
}

/* The answer's body begins behind its head; the caller frees it. */
static char *ask(const char *path)
{
    static const size_t most = 1 << 20;
    char *text = malloc(most), request[128];
    weft_conn *c;
    ssize_t n;
    size_t all = 0;

    CHECK_EQ(weft_dial(address, &c), 0);
    snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
    CHECK_EQ(weft_conn_write(c, request, strlen(request)), 0);
    while (all < most - 1 && (n = weft_conn_read(c, text + all, most - 1 - all)) > 0)
        all += (size_t)n;
    text[all] = '\0';
    weft_conn_close(c);
    CHECK(strncmp(text, "HTTP/1.0 200", 12) == 0 || strncmp(text, "HTTP/1.1 200", 12) == 0);
    return text;
}

static bool vars_say(const char *what)
{
    char *text = ask("/debug/vars");
    bool found = strstr(text, what) != NULL;

    free(text);
    return found;
}

/* ---- no more threads ---- */

static atomic_int threads_left = 1 << 20;

int __real_weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);
int __wrap_weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);

int __wrap_weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
    if (atomic_fetch_sub(&threads_left, 1) <= 0)
        return EAGAIN;
    return __real_weft__thread_start_user(thread, stack, fn, arg);
}

/* Counts how often the text is in the file. */
static int times(int fd, const char *text)
{
    static char all[65536];
    ssize_t n = pread(fd, all, sizeof(all) - 1, 0);
    int found = 0;

    all[n > 0 ? n : 0] = '\0';
    for (const char *at = all; (at = strstr(at, text)) != NULL; at++)
        found++;
    return found;
}

static int said;

static struct shortage {
    weft_task_fn *reader;
    bool kernel; /* refuses threads */
    const char *word;
} shortage;

/* Tasks that do not block go on until the calls end, also those of the debug endpoints. Then all
 * tasks that waited for a thread have their turn. */
static int live_with_few_threads(void *arg)
{
    atomic_int quick = 0;

    (void)arg;
    serve_debug();
    CHECK(vars_say("\"threads_short\":false"));
    if (shortage.kernel && atomic_load(&threads_left) > CAP)
        atomic_store(&threads_left, CAP);
    go_many(MANY, shortage.reader, NULL);
    while (!vars_say("\"threads_short\":true") || vars_say("\"waiting_for_thread\":0,"))
        weft_sleep(WEFT_MILLISECOND);
    for (int i = 0; i < 20; i++) {
        weft_go(count, &quick);
        weft_sleep(WEFT_MILLISECOND);
        free(ask("/debug/pprof/goroutine?debug=2"));
        free(ask("/debug/pprof/goroutine?debug=3"));
        free(ask("/debug/pprof/"));
    }
    CHECK_EQ(atomic_load(&quick), 20);
    CHECK(atomic_load(&begun) < MANY);
    CHECK_EQ(atomic_load(&ended), 0);
    wait_for_dump("[thread wait");
    fill_hole(MANY);
    wait_for(&ended, MANY);
    CHECK_EQ(times(said, shortage.word), 1);
    remove_socket();
    return 0;
}

static void run_short(weft_task_fn *reader, bool kernel)
{
    weft_run_options options = {.max_threads = kernel ? 0 : CAP};

    shortage = (struct shortage){reader, kernel,
                                 kernel ? "weft: the kernel gives no more threads than "
                                        : "weft: 8 threads sit in calls or loops without a "
                                          "processor"};
    CHECK_EQ(pipe(hole), 0);
    said = memfd_create("said", MFD_CLOEXEC);
    dup2(said, STDERR_FILENO);
    CHECK_EQ(weft_run_with(&options, live_with_few_threads, NULL), 0);
}

TEST_PLAIN(others_run_on_where_undeclared_calls_have_all_threads)
{
    run_short(read_hole, false);
}

TEST_PLAIN(others_run_on_where_declared_calls_have_all_threads)
{
    run_short(read_declared, false);
}

TEST_PLAIN(others_run_on_where_the_kernel_gives_no_thread_for_undeclared_calls)
{
    run_short(read_hole, true);
}

TEST_PLAIN(others_run_on_where_the_kernel_gives_no_thread_for_declared_calls)
{
    run_short(read_declared, true);
}

/* ---- tasks behind one function ---- */

struct act {
    weft_task_fn *fn;
};

static void call(void *act)
{
    ((const struct act *)act)->fn(act);
}

static atomic_int tame_ticks;

static void tick(void *arg)
{
    (void)arg;
    while (atomic_load(&ended) == 0) {
        atomic_fetch_add(&tame_ticks, 1);
        weft_sleep(WEFT_MILLISECOND);
    }
}

/* The ticker is judged by what it did itself, though its function has all threads in calls. */
static int tick_beside_calls(void *arg)
{
    static struct act reads = {read_hole}, ticks = {tick};
    int before;

    (void)arg;
    weft_go(call, &ticks);
    wait_for(&tame_ticks, 3);
    go_many(MANY, call, &reads);
    wait_for_dump("[thread wait");
    before = atomic_load(&tame_ticks);
    while (atomic_load(&tame_ticks) < before + 50)
        weft_sleep(WEFT_MILLISECOND);
    fill_hole(MANY);
    wait_for(&ended, MANY);
    return 0;
}

TEST_PLAIN(task_that_never_sat_in_a_call_goes_on_though_its_function_did)
{
    weft_run_options options = {.max_threads = CAP};

    CHECK_EQ(pipe(hole), 0);
    CHECK_EQ(weft_run_with(&options, tick_beside_calls, NULL), 0);
}

/* There is one thread beside the processors' threads. A call has it, and the others go on with at
 * least one processor. */
TEST_PLAIN(others_run_on_with_one_thread_beside_the_processors)
{
    int procs = atoi(getenv("WEFT_PROCS"));

    atomic_store(&threads_left, procs + 1);
    run_short(read_hole, true);
}

static void nap(void *arg)
{
    (void)arg;
    usleep(2000);
}

static void nap_declared(void *arg)
{
    for (int i = 0; i < 3; i++)
        weft_blocking(nap, arg);
    atomic_fetch_add(&ended, 1);
}

static int nap_many(void *arg)
{
    (void)arg;
    go_many(MANY, nap_declared, NULL);
    wait_for(&ended, MANY);
    return 0;
}

/* When a call ends, no more threads are free than before: all the same the next one begins. */
TEST_PLAIN(declared_calls_go_on_with_one_thread_beside_the_processors)
{
    atomic_store(&threads_left, atoi(getenv("WEFT_PROCS")) + 1);
    CHECK_EQ(weft_run(nap_many, NULL), 0);
}

static int nap_and_have_threads(void *arg)
{
    go_many(MANY, nap_declared, arg);
    wait_for_dump("[thread wait");
    atomic_store(&threads_left, 1 << 20);
    while (weft__held_count() > 0)
        weft_sleep(WEFT_MILLISECOND);
    CHECK(!weft__threads_short());
    wait_for(&ended, MANY);
    return 0;
}

TEST_PLAIN(threads_that_the_kernel_gives_again_are_used)
{
    atomic_store(&threads_left, atoi(getenv("WEFT_PROCS")) + 1);
    CHECK_EQ(weft_run(nap_and_have_threads, NULL), 0);
}

static void sit_pinned(void *ended_too)
{
    weft_pin();
    usleep(20000);
    weft_yield();
    weft_blocking(count, ended_too);
    weft_unpin();
    atomic_fetch_add(&ended, 1);
}

static int pin_many(void *arg)
{
    atomic_int calls = 0;

    (void)arg;
    go_many(MANY, sit_pinned, &calls);
    wait_for(&ended, MANY);
    CHECK_EQ(atomic_load(&calls), MANY);
    return 0;
}

/* A pinned task that waited for a thread would keep its own thread meanwhile. That goes on until
 * all tasks have a thread. */
TEST_PLAIN(pinned_tasks_do_not_wait_for_threads)
{
    weft_run_options options = {.max_threads = 1};

    CHECK_EQ(weft_run_with(&options, pin_many, NULL), 0);
}

static int no_task(void *arg)
{
    (void)arg;
    FAIL("a task runs");
    return 0;
}

TEST_DIES_PLAIN(no_task_runs_without_a_thread_beside_the_processors, 2,
                "fatal error: cannot start a thread beside 2 (ulimit -u")
{
    weft_run_options options = {.procs = 2};

    atomic_store(&threads_left, 2);
    weft_run_with(&options, no_task, NULL);
}

static atomic_bool no_thread;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    if (atomic_load(&no_thread))
        return EAGAIN;
    return __real_pthread_create(thread, attr, fn, arg);
}

TEST_DIES(quit_without_a_thread_shows_the_names_of_functions, 2, "\nread_hole(...)\n")
{
    CHECK_EQ(pipe(hole), 0);
    atomic_store(&no_thread, true);
    go_many(2, read_hole, NULL);
    wait_for(&begun, 1);
    CHECK_EQ(kill(getpid(), SIGQUIT), 0);
    weft_sleep(60 * WEFT_SECOND);
}

/* ---- short calls ---- */

static void nothing(void *arg)
{
    (void)arg;
}

/* Each of these calls would have been a hand-off. */
TEST(short_declared_calls_keep_their_processor)
{
    enum { CALLS = 20000 };
    uint32_t before = weft__load(&weft__sched.taken);

    for (int i = 0; i < CALLS; i++)
        weft_blocking(nothing, NULL);
    for (int i = 0; i < CALLS; i++) {
        weft_blocking_begin();
        weft_blocking_end();
    }
    CHECK(weft__load(&weft__sched.taken) - before < CALLS / 10);
}

/* ---- timers of a processor that is stuck ---- */

static void sleep_once(void *n)
{
    atomic_fetch_add(&begun, 1);
    weft_sleep(WEFT_MILLISECOND);
    atomic_fetch_add((atomic_int *)n, 1);
}

/* Most of the sleepers fell asleep on the processor of this task, which makes no call. */
static int compute_until_all_woke(void *arg)
{
    atomic_int woke = 0;

    (void)arg;
    go_many(MANY, sleep_once, &woke);
    while (atomic_load(&begun) < MANY)
        weft_yield();
    while (atomic_load(&woke) < MANY)
        ;
    return 0;
}

TEST_PLAIN(timers_of_a_stuck_processor_are_run_by_others)
{
    weft_run_options options = {.procs = 2, .no_handoff = true};

    CHECK_EQ(weft_run_with(&options, compute_until_all_woke, NULL), 0);
}
