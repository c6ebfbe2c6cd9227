/* SPDX-License-Identifier: MIT */
/* test_wake.c - calls that wake many tasks: others run in between, and each waiter is woken once.
 * (close of a channel: test_chan.c) */
#include "support.h"

VIRTUAL_CLOCK;

enum { MANY = 5000, TURNS = 10 /* of a task beside, at least */ };

static weft_mutex mutex = WEFT_MUTEX_INIT;
static weft_rwmutex rwmutex = WEFT_RWMUTEX_INIT;
static weft_cond cond = WEFT_COND_INIT;
static weft_once once = WEFT_ONCE_INIT;
static weft_sema sema = WEFT_SEMA_INIT(0);
static weft_waitgroup waitgroup = WEFT_WAITGROUP_INIT;
static atomic_int awake, beside, stop;
static int before;

static void run_beside(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        atomic_fetch_add(&beside, 1);
        weft_yield();
    }
}

/* Starts the waiters, and a task that counts its turns. */
static void prepare(weft_task_fn *wait)
{
    go_many(MANY, wait, NULL);
    settle();
    CHECK_EQ(atomic_load(&awake), 0);
    weft_go(run_beside, NULL);
    wait_for(&beside, 1);
    before = atomic_load(&beside);
}

static void check_woken(void)
{
    CHECK(atomic_load(&beside) - before > TURNS);
    atomic_store(&stop, 1);
    settle();
    CHECK_EQ(atomic_load(&awake), MANY);
}

static void wait_for_cond(void *again)
{
    weft_mutex_lock(&mutex);
    CHECK_EQ(weft_cond_wait(&cond, &mutex), 0);
    atomic_fetch_add(&awake, 1);
    if (again)
        weft_cond_wait(&cond, &mutex);
    weft_mutex_unlock(&mutex);
}

TEST(broadcast_lets_others_run)
{
    prepare(wait_for_cond);
    weft_cond_broadcast(&cond);
    check_woken();
}

TEST(broadcast_wakes_no_task_that_waits_again)
{
    for (int i = 0; i < MANY; i++)
        weft_go(wait_for_cond, &cond);
    settle();
    weft_cond_broadcast(&cond);
    settle();
    CHECK_EQ(atomic_load(&awake), MANY);
    weft_cond_broadcast(&cond);
}

static void broadcast(void *arg)
{
    (void)arg;
    weft_cond_broadcast(&cond);
}

/* A signal, or another broadcast, may pop the mark of a broadcast that is under way. */
TEST(broadcasts_and_signals_at_once_wake_each_task_once)
{
    go_many(MANY, wait_for_cond, NULL);
    settle();
    go_many(3, broadcast, NULL);
    for (int i = 0; i < MANY; i++) {
        weft_cond_signal(&cond);
        if (i % 100 == 0)
            weft_yield();
    }
    settle();
    CHECK_EQ(atomic_load(&awake), MANY);
}

static void wait_for_units(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_sema_wait(&sema, 1), 0);
    atomic_fetch_add(&awake, 1);
}

TEST(units_for_many_let_others_run)
{
    prepare(wait_for_units);
    weft_sema_add(&sema, MANY);
    check_woken();
}

static void wait_for_zero(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_waitgroup_wait(&waitgroup), 0);
    atomic_fetch_add(&awake, 1);
}

TEST(end_of_a_waitgroup_lets_others_run)
{
    weft_waitgroup_add(&waitgroup, 1);
    prepare(wait_for_zero);
    weft_waitgroup_done(&waitgroup);
    check_woken();
}

/* The count rises again, and tasks wait for it, while the waiters of before are being woken. */
static void use_again(void *arg)
{
    (void)arg;
    weft_waitgroup_add(&waitgroup, 1);
    CHECK_EQ(weft_waitgroup_wait_until(&waitgroup, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_waitgroup_done(&waitgroup);
}

TEST(waitgroup_that_wakes_many_can_be_used_again)
{
    weft_waitgroup_add(&waitgroup, 1);
    go_many(MANY, wait_for_zero, NULL);
    settle();
    go_many(3, use_again, NULL);
    weft_waitgroup_done(&waitgroup);
    settle();
    CHECK_EQ(atomic_load(&awake), MANY);
}

static void read_once(void *arg)
{
    (void)arg;
    weft_rwmutex_read_lock(&rwmutex);
    atomic_fetch_add(&awake, 1);
    weft_rwmutex_read_unlock(&rwmutex);
}

TEST(unlock_for_many_readers_lets_others_run)
{
    weft_rwmutex_lock(&rwmutex);
    prepare(read_once);
    weft_rwmutex_unlock(&rwmutex);
    check_woken();
    weft_rwmutex_lock(&rwmutex);
    weft_rwmutex_unlock(&rwmutex);
}

static void wait_for_once(void *arg)
{
    (void)arg;
    weft_once_do(&once, run_beside, NULL);
    atomic_fetch_add(&awake, 1);
}

static void prepare_once(void *arg)
{
    (void)arg;
    prepare(wait_for_once);
}

TEST(end_of_a_once_lets_others_run)
{
    weft_once_do(&once, prepare_once, NULL);
    check_woken();
}
