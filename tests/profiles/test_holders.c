/* SPDX-License-Identifier: MIT */
/* test_holders.c - deadlock reports and SIGQUIT say who holds what, and where it was taken. */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEADLOCK "fatal error: all goroutines are asleep - deadlock!\n\n"

static char err[1 << 16];

static weft_mutex a, b;
static weft_rwmutex rw;
static atomic_int locked;

static void take_a_then_b(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    atomic_fetch_add(&locked, 1);
    wait_for(&locked, 2);
    weft_mutex_lock(&b);
}

static void take_b_then_a(void *arg)
{
    (void)arg;
    weft_mutex_trylock(&b);
    atomic_fetch_add(&locked, 1);
    wait_for(&locked, 2);
    weft_mutex_lock(&a);
}

static int run_cycle(void *arg)
{
    (void)arg;
    weft_go(take_a_then_b, NULL);
    weft_go(take_b_then_a, NULL);
    return weft_chan_recv(NULL, NULL);
}

static weft_main_fn *to_run;

static void run_it(void)
{
    weft_run(to_run, NULL);
}

static void deadlock_of(weft_main_fn *fn)
{
    to_run = fn;
    CHECK_EQ(in_child(run_it, err, sizeof(err)), 2);
    CHECK_EQ(strncmp(err, DEADLOCK, strlen(DEADLOCK)), 0);
}

static void check_line(const char *format, const void *object)
{
    char line[200];

    snprintf(line, sizeof(line), format, object);
    CHECK_CONTAINS(err, line);
}

TEST_PLAIN(deadlock_begins_with_its_cycle)
{
    deadlock_of(run_cycle);
    CHECK_EQ(strncmp(err + strlen(DEADLOCK), "weft: 2 tasks wait for each other:\n", 35), 0);
    check_line(
        "weft: goroutine 3 waits for mutex %p, held by goroutine 2, taken in take_a_then_b (", &a);
    check_line(
        "weft: goroutine 2 waits for mutex %p, held by goroutine 3, taken in take_b_then_a (", &b);
    CHECK_CONTAINS(err, "/test_holders.c:");
    CHECK_CONTAINS(err, "\n\ngoroutine 1 [chan receive (nil chan)]:\n");
}

static int lock_twice(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    weft_mutex_lock(&a);
    return 0;
}

TEST_PLAIN(lock_taken_twice_is_a_cycle_of_one)
{
    deadlock_of(lock_twice);
    CHECK_CONTAINS(err,
                   DEADLOCK "weft: a task waits for itself:\nweft: goroutine 1 waits for mutex ");
    CHECK_CONTAINS(err, ", held by goroutine 1, taken in lock_twice (");
}

static weft_group group, other;

static int lock_a_in_group(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    return 0;
}

static int wait_for_group_with_lock(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    for (int i = 0; i < 12; i++)
        weft_group_go(&group, lock_a_in_group, NULL);
    return weft_group_wait(&group);
}

TEST_PLAIN(group_whose_tasks_wait_for_its_waiter_is_a_cycle)
{
    deadlock_of(wait_for_group_with_lock);
    CHECK_EQ(strncmp(err + strlen(DEADLOCK), "weft: 2 tasks wait for each other:\n", 35), 0);
    check_line("weft: goroutine 1 waits for group %p, whose goroutine ", &group);
    check_line(" waits for mutex %p, held by goroutine 1, taken in wait_for_group_with_lock (", &a);
    CHECK(!strstr(strstr(err, "wait for each other") + 1, "wait for each other")); /* told once */
    CHECK_CONTAINS(err, " and 4 more wait for it\n\ngoroutine 1 ");
}

static int wait_for_other(void *arg)
{
    (void)arg;
    return weft_group_wait(&other);
}

static int wait_for_group(void *arg)
{
    (void)arg;
    return weft_group_wait(&group);
}

static int run_groups(void *arg)
{
    (void)arg;
    weft_group_go(&group, wait_for_other, NULL);
    weft_group_go(&other, wait_for_group, NULL);
    return weft_chan_recv(NULL, NULL);
}

TEST_PLAIN(groups_whose_tasks_wait_for_each_other_are_a_cycle)
{
    deadlock_of(run_groups);
    CHECK_EQ(strncmp(err + strlen(DEADLOCK), "weft: 2 tasks wait for each other:\n", 35), 0);
    check_line("weft: goroutine 2 waits for group %p, whose goroutine 3 has not ended\n", &other);
    check_line("weft: goroutine 3 waits for group %p, whose goroutine 2 has not ended\n", &group);
}

static int wait_in_vain(void *arg)
{
    (void)arg;
    return weft_chan_recv(NULL, NULL);
}

static int wait_without_cycle(void *arg)
{
    weft_group_go(&group, wait_in_vain, arg);
    return weft_group_wait(&group);
}

TEST_PLAIN(groups_without_a_cycle_are_not_told)
{
    deadlock_of(wait_without_cycle);
    CHECK_EQ(strncmp(err + strlen(DEADLOCK), "goroutine 1 [", 13), 0);
}

static weft_once once;

static void call_that_locks(void *arg)
{
    (void)arg;
    atomic_store(&locked, 1);
    weft_mutex_lock(&a);
}

static void do_once(void *arg)
{
    weft_once_do(&once, call_that_locks, arg);
}

static int lock_then_once(void *arg)
{
    weft_mutex_lock(&a);
    weft_go(do_once, arg);
    wait_for(&locked, 1);
    do_once(arg);
    return 0;
}

TEST_PLAIN(once_whose_call_waits_for_its_waiter_is_a_cycle)
{
    deadlock_of(lock_then_once);
    CHECK_EQ(strncmp(err + strlen(DEADLOCK), "weft: 2 tasks wait for each other:\n", 35), 0);
    check_line("weft: goroutine 1 waits for once %p, begun by goroutine 2\n", &once);
    check_line(
        "weft: goroutine 2 waits for mutex %p, held by goroutine 1, taken in lock_then_once (", &a);
}

static void call_in_vain(void *arg)
{
    (void)arg;
    atomic_store(&locked, 1);
    weft_chan_recv(NULL, NULL);
}

static void do_in_vain(void *arg)
{
    weft_once_do(&once, call_in_vain, arg);
}

static int wait_for_once(void *arg)
{
    weft_go(do_in_vain, arg);
    wait_for(&locked, 1);
    do_in_vain(arg);
    return 0;
}

TEST_PLAIN(task_that_began_a_once_is_named)
{
    deadlock_of(wait_for_once);
    check_line(DEADLOCK "weft: once %p was begun by goroutine 2; goroutine 1 waits for it\n\n",
               &once);
}

static void begin_again(void *arg)
{
    weft_once_do(&once, begin_again, arg);
}

static int run_again(void *arg)
{
    begin_again(arg);
    return 0;
}

TEST_PLAIN(once_begun_in_its_own_call_is_a_cycle_of_one)
{
    deadlock_of(run_again);
    CHECK_CONTAINS(err,
                   DEADLOCK "weft: a task waits for itself:\nweft: goroutine 1 waits for once ");
}

static void take_and_end(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    atomic_store(&locked, 1);
}

static int wait_for_ended(void *arg)
{
    (void)arg;
    weft_go(take_and_end, NULL);
    wait_for(&locked, 1);
    weft_mutex_lock(&a);
    return 0;
}

TEST_PLAIN(holder_that_ended_is_said_to_have)
{
    deadlock_of(wait_for_ended);
    check_line("weft: mutex %p is held by goroutine 2, which has ended, taken in take_and_end (",
               &a);
    CHECK_CONTAINS(err, "; goroutine 1 waits for it\n");
}

static void write_lock(void *arg)
{
    (void)arg;
    weft_rwmutex_lock(&rw);
    weft_chan_recv(NULL, NULL);
}

static int wait_for_writer(void *arg)
{
    (void)arg;
    weft_go(write_lock, NULL);
    while (weft_rwmutex_read_trylock(&rw)) {
        weft_rwmutex_read_unlock(&rw);
        weft_yield();
    }
    weft_rwmutex_read_lock(&rw);
    return 0;
}

TEST_PLAIN(writer_of_a_rwmutex_is_named)
{
    deadlock_of(wait_for_writer);
    check_line("weft: rwmutex %p is held by goroutine 2, taken in write_lock (", &rw);
}

static int wait_for_readers(void *arg)
{
    (void)arg;
    weft_rwmutex_read_lock(&rw);
    weft_rwmutex_read_lock(&rw);
    weft_rwmutex_lock(&rw);
    return 0;
}

TEST_PLAIN(readers_of_a_rwmutex_are_counted)
{
    deadlock_of(wait_for_readers);
    check_line("weft: rwmutex %p is held by 2 readers; goroutine 1 waits for it\n", &rw);
}

static weft_cond cond;
static bool signaled;

/* The task has the mutex because the condition's wait took it, not weft_mutex_lock. */
static void wait_for_signal(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    while (!signaled)
        weft_cond_wait(&cond, &a);
    weft_chan_recv(NULL, NULL);
}

static int wait_for_waiter(void *arg)
{
    (void)arg;
    weft_go(wait_for_signal, NULL);
    wait_for_dump("[sync.Cond.Wait]");
    weft_mutex_lock(&a);
    signaled = true;
    weft_cond_signal(&cond);
    weft_mutex_unlock(&a);
    while (weft_mutex_trylock(&a)) {
        weft_mutex_unlock(&a);
        weft_yield();
    }
    weft_mutex_lock(&a);
    return 0;
}

TEST_PLAIN(mutex_of_a_condition_is_taken_in_its_wait)
{
    deadlock_of(wait_for_waiter);
    CHECK_CONTAINS(err, " is held by goroutine 2, taken in wait_for_signal (");
}

static void lock_a(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
}

static int quit_with_waiters(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    go_many(12, lock_a, NULL);
    wait_for_dump("goroutine 13 [sync.Mutex.Lock]");
    kill(getpid(), SIGQUIT);
    while (weft_procs() > 0)
        weft_yield();
    return 0;
}

TEST_PLAIN(sigquit_says_who_holds_what)
{
    to_run = quit_with_waiters;
    CHECK_EQ(in_child(run_it, err, sizeof(err)), 2);
    check_line("weft: mutex %p is held by goroutine 1, taken in quit_with_waiters (", &a);
    CHECK_CONTAINS(err, " more wait for it\n\ngoroutine ");
}
