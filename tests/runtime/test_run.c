/* SPDX-License-Identifier: MIT */
/* test_run.c - weft_run as its caller sees it: results, repetition, what it leaves behind, misuse.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

/* The kernel shows a thread for a moment after it was joined. */
static void wait_for_no_thread(void)
{
    while (count_threads(true) != 0)
        usleep(1000);
}

/* ---- run after run ---- */

static int give_back(void *arg)
{
    return *(int *)arg;
}

static int own_id(void *arg)
{
    (void)arg;
    return (int)weft_task_id();
}

TEST_PLAIN(main_task_of_the_first_run_is_1)
{
    CHECK_EQ(weft_run(own_id, NULL), 1);
    CHECK(weft_run(own_id, NULL) > 1);
}

TEST_PLAIN(run_returns_what_its_function_returned)
{
    CHECK_EQ(weft_run(give_back, &(int){0}), 0);
    CHECK_EQ(weft_run(give_back, &(int){5}), 5);
    CHECK_EQ(weft_run(give_back, &(int){-7}), -7);
}

TEST_PLAIN(run_leaves_no_thread)
{
    CHECK_EQ(weft_run(give_back, &(int){0}), 0);
    wait_for_no_thread();
}

static atomic_int ran;

static void count(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static void wait_for_ever(void *c)
{
    weft_chan_recv(c, NULL);
    FAIL("woken after the end of its run");
}

static void sleep_long(void *arg)
{
    (void)arg;
    weft_sleep(1000 * WEFT_SECOND);
    FAIL("woken after the end of its run");
}

static void yield_for_ever(void *arg)
{
    for (;;) {
        (void)arg;
        weft_yield();
    }
}

static int leave_tasks_behind(void *c)
{
    int before = atomic_load(&ran);
    weft_go_options named = {.name = "left behind", .stack_size = 100000};

    go_many(20, count, NULL);
    wait_for(&ran, before + 20);
    go_many(20, wait_for_ever, c);
    go_many(20, sleep_long, NULL);
    go_many(5, yield_for_ever, NULL);
    weft_go_with(&named, wait_for_ever, c);
    weft_yield();
    weft_yield();
    go_many(100, yield_for_ever, NULL);
    return 3;
}

/* LeakSanitizer checks memory at the end of this one. */
TEST_PLAIN(hundred_runs_in_a_row_discard_their_tasks)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(weft_run(leave_tasks_behind, NULL), 3);
    CHECK_EQ(atomic_load(&ran), 2000);
    wait_for_no_thread();
}

static weft_local key;
static atomic_int destroyed;

static void destroy(void *value)
{
    (void)value;
    atomic_fetch_add(&destroyed, 1);
}

static int set_local(void *arg)
{
    CHECK(weft_local_get(key) == NULL);
    weft_local_set(key, arg);
    return 0;
}

/* ---- timers, from run to run and beside busy tasks ---- */

enum { BUSY = 8 };

static weft_timer *timers[BUSY];
static atomic_int armed;

/* Does not yield before all tasks are here, so each has a processor of its own. */
static int arm_on_own_processor(void *timer)
{
    atomic_fetch_add(&armed, 1);
    while (atomic_load(&armed) < BUSY)
        ;
    weft_timer_start(timer, weft_after(3600 * WEFT_SECOND));
    return 0;
}

static int arm_everywhere(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;

    (void)arg;
    for (int i = 0; i < BUSY; i++) {
        timers[i] = weft_timer_new();
        weft_group_go(&g, arm_on_own_processor, timers[i]);
    }
    return weft_group_wait(&g);
}

static int stop_and_start_again(void *arg)
{
    (void)arg;
    for (int i = 0; i < BUSY; i++) {
        CHECK(!weft_timer_stop(timers[i]));
        CHECK(!weft_timer_start(timers[i], weft_after(0)));
        CHECK_EQ(weft_chan_recv(weft_timer_chan(timers[i]), &(weft_time){0}), 0);
        weft_timer_free(timers[i]);
    }
    return 0;
}

TEST_PLAIN(timer_of_an_earlier_run_with_more_processors_may_be_used)
{
    weft_run_options many = {.procs = BUSY, .no_handoff = true}, one = {.procs = 1};

    CHECK_EQ(weft_run_with(&many, arm_everywhere, NULL), 0);
    CHECK_EQ(weft_run_with(&one, stop_and_start_again, NULL), 0);
}

static atomic_int turns, over;

static void burn_and_yield(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        struct timespec from, now;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        do {
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        } while ((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec < 3000000);
        atomic_fetch_add(&turns, 1);
        weft_yield();
    }
}

static int sleep_beside_them(void *arg)
{
    (void)arg;
    go_many(BUSY, burn_and_yield, NULL);
    for (int i = 0; i < 6; i++)
        weft_sleep(WEFT_MILLISECOND);
    atomic_store(&over, 1);
    return 0;
}

/* Each sleep lasts for about a task's turn. It once lasted for 64. */
TEST_PLAIN(timer_waits_for_few_turns_of_busy_tasks)
{
    weft_run_options one = {.procs = 1};

    CHECK_EQ(weft_run_with(&one, sleep_beside_them, NULL), 0);
    CHECK(atomic_load(&turns) < 120);
}

TEST_PLAIN(main_task_ends_as_any_other)
{
    CHECK_EQ(weft_local_new(&key, destroy), 0);
    for (int i = 1; i <= 10; i++) {
        CHECK_EQ(weft_run(set_local, &key), 0);
        CHECK_EQ(atomic_load(&destroyed), i);
    }
}

/* Computes for so long that the monitor takes the processor, and a thread that it makes goes on
 * with the others. */
static int rounds_up(void *arg)
{
    (void)arg;
    for (weft_time end = weft_now() + 15 * WEFT_MILLISECOND; weft_now() < end;)
        CHECK_EQ(_MM_GET_ROUNDING_MODE(), _MM_ROUND_UP);
    weft_yield();
    CHECK_EQ(_MM_GET_ROUNDING_MODE(), _MM_ROUND_UP);
    return 0;
}

static int all_round_up(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;

    for (int i = 0; i < 4; i++)
        weft_group_go(&g, rounds_up, arg);
    return weft_group_join(&g);
}

TEST_PLAIN(rounding_mode_set_before_the_run_holds_in_all_tasks)
{
    _MM_SET_ROUNDING_MODE(_MM_ROUND_UP);
    CHECK_EQ(weft_run(all_round_up, NULL), 0);
}

/* ---- options ---- */

static int procs(void *arg)
{
    (void)arg;
    return weft_procs();
}

TEST_PLAIN(options_come_before_the_environment)
{
    weft_run_options three = {.procs = 3};

    CHECK_EQ(weft_run_with(&three, procs, NULL), 3);
    CHECK_EQ(weft_run_with(NULL, procs, NULL), atoi(getenv("WEFT_PROCS")));
    CHECK_EQ(weft_run(procs, NULL), atoi(getenv("WEFT_PROCS")));
}

/* ---- calls into C that are under way at the end ---- */

static int hole[2];
static atomic_int read_done, came_back, reader;

static void read_hole(void *arg)
{
    char byte;

    (void)arg;
    atomic_store(&reader, (int)syscall(SYS_gettid));
    CHECK_EQ(read(hole[0], &byte, 1), 1);
    atomic_store(&read_done, 1);
}

static void read_declared(void *arg)
{
    weft_blocking(read_hole, arg);
    atomic_store(&came_back, 1);
}

static int write_hole_and_end(void *arg)
{
    (void)arg;
    weft_go(read_declared, NULL);
    while (atomic_load(&reader) == 0)
        weft_yield();
    CHECK_EQ(write(hole[1], "x", 1), 1);
    return 0;
}

TEST_PLAIN(call_under_way_is_waited_for)
{
    CHECK_EQ(pipe(hole), 0);
    CHECK_EQ(weft_run(write_hole_and_end, NULL), 0);
    CHECK_EQ(atomic_load(&read_done), 1);
}

static int end_amid_the_call(void *arg)
{
    (void)arg;
    weft_go(read_declared, NULL);
    while (atomic_load(&reader) == 0)
        weft_yield();
    return 0;
}

static bool reader_lives(void)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d", atomic_load(&reader));
    return access(path, F_OK) == 0;
}

TEST_PLAIN(call_without_end_is_left_to_its_thread)
{
    CHECK_EQ(pipe(hole), 0);
    CHECK_EQ(weft_run(end_amid_the_call, NULL), 0);
    CHECK(reader_lives());
    CHECK_EQ(write(hole[1], "x", 1), 1);
    while (reader_lives())
        ;
    CHECK_EQ(atomic_load(&read_done), 1);
    CHECK_EQ(atomic_load(&came_back), 0);
}

static int let_the_old_call_end(void *arg)
{
    (void)arg;
    CHECK_EQ(write(hole[1], "x", 1), 1);
    while (reader_lives())
        weft_yield();
    go_many(10, count, NULL);
    wait_for(&ran, 10);
    return 0;
}

TEST_PLAIN(call_left_by_one_run_may_end_in_the_next)
{
    CHECK_EQ(pipe(hole), 0);
    CHECK_EQ(weft_run(end_amid_the_call, NULL), 0);
    CHECK_EQ(weft_run(let_the_old_call_end, NULL), 0);
    CHECK_EQ(atomic_load(&read_done), 1);
    CHECK_EQ(atomic_load(&came_back), 0);
    CHECK_EQ(weft_run(give_back, &(int){4}), 4);
}

/* ---- before, after and without a run ---- */

static int free_timer(void *t)
{
    weft_timer_free(t);
    return 0;
}

TEST_PLAIN(constructors_work_before_the_run_and_start_no_thread)
{
    int before = count_threads(false), v = 0;
    weft_chan *c = weft_chan_new(sizeof(int), 1);
    weft_timer *t = weft_timer_new();

    CHECK_EQ(weft_chan_send(c, &(int){5}), 0);
    CHECK_EQ(weft_chan_recv(c, &v), 0);
    CHECK_EQ(v, 5);
    CHECK_EQ(weft_chan_cap(c), 1);
    CHECK_EQ(weft_local_new(&key, NULL), 0);
    CHECK(weft_after(WEFT_SECOND) > weft_now());
    CHECK_EQ(count_threads(false), before);
    CHECK_EQ(weft_run(free_timer, t), 0);
    weft_chan_free(c);
}

static weft_mutex mu = WEFT_MUTEX_INIT;
static weft_rwmutex rw = WEFT_RWMUTEX_INIT;
static weft_cond cond = WEFT_COND_INIT;
static weft_once once = WEFT_ONCE_INIT;
static weft_sema sema = WEFT_SEMA_INIT(1);
static weft_waitgroup wg = WEFT_WAITGROUP_INIT;
static weft_group group = WEFT_GROUP_INIT;

#define CALLS(XX)                                                                                  \
    XX(weft_go, weft_go(count, NULL))                                                              \
    XX(weft_go_with, weft_go_with(NULL, count, NULL))                                              \
    XX(weft_yield, weft_yield())                                                                   \
    XX(weft_task_id, weft_task_id())                                                               \
    XX(weft_task_name, weft_task_name("x"))                                                        \
    XX(weft_labels_set, weft_labels_set(NULL, 0))                                                  \
    XX(weft_labels_add, weft_labels_add(NULL, 0))                                                  \
    XX(weft_labels_do, weft_labels_do(NULL, 0, count, NULL))                                       \
    XX(weft_label_get, weft_label_get("x"))                                                        \
    XX(weft_pin, weft_pin())                                                                       \
    XX(weft_unpin, weft_unpin())                                                                   \
    XX(weft_blocking_begin, weft_blocking_begin())                                                 \
    XX(weft_blocking_end, weft_blocking_end())                                                     \
    XX(weft_sleep, weft_sleep(1))                                                                  \
    XX(weft_chan_send, weft_chan_send(NULL, NULL))                                                 \
    XX(weft_chan_recv, weft_chan_recv(weft_chan_new(1, 0), NULL))                                  \
    XX(weft_select, weft_select(NULL, 0))                                                          \
    XX(weft_mutex_lock, weft_mutex_lock(&mu))                                                      \
    XX(weft_rwmutex_lock, weft_rwmutex_lock(&rw))                                                  \
    XX(weft_rwmutex_read_lock, weft_rwmutex_read_lock(&rw))                                        \
    XX(weft_cond_wait, weft_cond_wait(&cond, &mu))                                                 \
    XX(weft_once_do, weft_once_do(&once, count, NULL))                                             \
    XX(weft_sema_wait, weft_sema_wait(&sema, 1))                                                   \
    XX(weft_waitgroup_wait, weft_waitgroup_wait(&wg))                                              \
    XX(weft_group_go, weft_group_go(&group, give_back, NULL))                                      \
    XX(weft_group_wait, weft_group_wait(&group))                                                   \
    XX(weft_group_wait_until, weft_group_wait_until(&group, WEFT_NOW))                             \
    XX(weft_group_cancel, weft_group_cancel(&group))                                               \
    XX(weft_group_deadline, weft_group_deadline(&group, WEFT_NOW))                                 \
    XX(weft_group_limit, weft_group_limit(&group, 1))                                              \
    XX(weft_task_cause, weft_task_cause())                                                         \
    XX(weft_task_is_canceled, weft_task_is_canceled())                                             \
    XX(weft_shield_begin, weft_shield_begin())                                                     \
    XX(weft_shield_end, weft_shield_end())                                                         \
    XX(weft_timer_start, weft_timer_start(weft_timer_new(), 1))                                    \
    XX(weft_ticker_new, weft_ticker_new(1))                                                        \
    XX(weft_debug_serve, weft_debug_serve("127.0.0.1:0"))                                          \
    XX(weft_call, weft_call(give_back, NULL))                                                      \
    XX(weft_http_serve, weft_http_serve("127.0.0.1:0", NULL))                                      \
    XX(weft_http_server_stop,                                                                      \
       weft_http_server_stop(weft_http_server_new(weft_http_mux_new(), NULL)))                     \
    XX(weft_fd_wait, weft_fd_wait(0, WEFT_FD_READ))                                                \
    XX(weft_work, weft_work(count, NULL))                                                          \
    XX(weft_process_run, weft_process_run((const char *[]){"true", NULL}))                         \
    XX(weft_signal_start, weft_signal_start(weft_chan_new(4, 1), 15))

#define XX(name, call)                                                                             \
    static void outside_##name(void)                                                               \
    {                                                                                              \
        (void)(call);                                                                              \
    }
CALLS(XX)
#undef XX

static void each_call_panics(void)
{
    static const struct {
        const char *name;
        void (*call)(void);
    } calls[] = {
#define XX(name, call) {#name, outside_##name},
        CALLS(XX)
#undef XX
    };
    char err[4096], want[128];

    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        snprintf(want, sizeof(want), "panic: weft: %s called outside weft_run\n", calls[i].name);
        CHECK_EQ(in_child(calls[i].call, err, sizeof(err)), 2);
        CHECK_CONTAINS(err, want);
    }
}

TEST_PLAIN(calls_before_any_run_panic_and_name_the_call)
{
    each_call_panics();
}

TEST_PLAIN(dump_outside_a_run_is_invalid)
{
    CHECK_EQ(weft_dump(STDERR_FILENO, NULL), WEFT_EINVAL);
    CHECK_EQ(weft_run(give_back, &(int){0}), 0);
    CHECK_EQ(weft_dump(STDERR_FILENO, NULL), WEFT_EINVAL);
}

static void yield_after_a_run(void)
{
    weft_run(give_back, &(int){0});
    weft_yield();
}

TEST_PLAIN(calls_after_the_run_panic_too)
{
    char err[4096];

    CHECK_EQ(in_child(yield_after_a_run, err, sizeof(err)), 2);
    CHECK_CONTAINS(err, "panic: weft: weft_yield called outside weft_run\n");
}

TEST_DIES(run_inside_a_run_panics, 2, "panic: weft: weft_run called while a run is under way\n")
{
    weft_run(give_back, &(int){0});
}
