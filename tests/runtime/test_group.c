/* SPDX-License-Identifier: MIT */
/* test_group.c - groups: results, cancellation, deadlines, nesting; Go's errgroup and context. */
#include "support.h"

#include <pthread.h>

VIRTUAL_CLOCK;

static atomic_int ran;

static int result(void *rc)
{
    atomic_fetch_add(&ran, 1);
    return (int)(intptr_t)rc;
}

static int wait_for_ever(void *arg)
{
    (void)arg;
    return weft_chan_recv(NULL, NULL);
}

static int sleep_for(void *duration)
{
    return weft_sleep((intptr_t)duration);
}

TEST(empty_group_is_done)
{
    weft_group g = WEFT_GROUP_INIT;

    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_group_join(&g), 0);
    CHECK_EQ(weft_group_wait_until(&g, WEFT_NOW), 0);
    CHECK(!weft_group_is_canceled(&g));
}

TEST(wait_returns_after_every_task)
{
    weft_group g = WEFT_GROUP_INIT;

    for (int i = 0; i < 100; i++)
        weft_group_go(&g, result, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&ran), 100);
}

TEST(first_result_that_is_not_zero_is_the_groups)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_keep_going(&g);
    weft_group_go(&g, result, NULL);
    settle();
    weft_group_go(&g, result, (void *)5);
    settle();
    weft_group_go(&g, result, (void *)6);
    weft_group_go(&g, result, NULL);
    CHECK_EQ(weft_group_wait(&g), 5);
    CHECK_EQ(atomic_load(&ran), 4);
}

TEST(error_and_cancellation_stay_after_the_wait)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, result, (void *)5);
    CHECK_EQ(weft_group_wait(&g), 5);
    weft_group_go(&g, result, NULL);
    CHECK_EQ(weft_group_wait(&g), 5);
    weft_group_cancel(&g);
    CHECK(weft_group_is_canceled(&g));
    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait(&g), 5);
    CHECK(weft_group_is_canceled(&g));
}

TEST(group_may_be_used_again)
{
    weft_group g = WEFT_GROUP_INIT;

    for (int round = 1; round <= 100; round++) {
        weft_group_go(&g, result, NULL);
        weft_group_go(&g, result, NULL);
        CHECK_EQ(weft_group_wait(&g), 0);
        CHECK_EQ(atomic_load(&ran), 2 * round);
    }
}

/* ---- errors ---- */

TEST(first_error_cancels_the_others)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_go(&g, sleep_for, (void *)WEFT_SECOND);
    weft_group_go(&g, result, (void *)-5);
    CHECK_EQ(weft_group_wait(&g), -5);
    CHECK_EQ(weft_now(), start);
    CHECK_EQ(weft_group_cause(&g), -5);
}

TEST(group_that_keeps_going_lets_the_others_end)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_keep_going(&g);
    weft_group_go(&g, sleep_for, (void *)WEFT_SECOND);
    weft_group_go(&g, result, (void *)-5);
    CHECK_EQ(weft_group_wait(&g), -5);
    CHECK_EQ(weft_now(), start + WEFT_SECOND);
    CHECK(!weft_group_is_canceled(&g));
}

static atomic_int counted;

static void count(void *arg)
{
    (void)arg;
    atomic_fetch_add(&counted, 1);
}

TEST(both_kinds_of_function_are_started)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, count, NULL);
    weft_group_go(&g, result, NULL);
    weft_go(count, &(struct weft_go_options){"a comma", 0});
    weft_go(result, (void *)7);
    CHECK_EQ(weft_group_wait(&g), 0);
    wait_for(&counted, 2);
    wait_for(&ran, 2);
}

/* ---- cancellation ---- */

static int tell_cause(void *cause)
{
    int rc = weft_chan_recv(NULL, NULL);

    CHECK(weft_task_is_canceled());
    atomic_store((atomic_int *)cause, weft_task_cause());
    return rc;
}

TEST(cause_is_told_to_task_and_waiter)
{
    weft_group g[3] = {WEFT_GROUP_INIT, WEFT_GROUP_INIT, WEFT_GROUP_INIT};
    atomic_int told[3];
    int expected[] = {WEFT_ECANCELED, WEFT_ETIMEDOUT, 7};

    CHECK_EQ(weft_task_cause(), 0);
    CHECK(!weft_task_is_canceled());
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_group_cause(&g[i]), 0);
        weft_group_go(&g[i], tell_cause, &told[i]);
    }
    settle();
    weft_group_cancel(&g[0]);
    weft_group_deadline(&g[1], weft_after(WEFT_SECOND));
    weft_group_go(&g[2], result, (void *)7);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_group_wait(&g[i]), expected[i]);
        CHECK_EQ(weft_group_cause(&g[i]), expected[i]);
        CHECK_EQ(atomic_load(&told[i]), expected[i]);
    }
}

TEST(first_cause_stays)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_cancel(&g);
    weft_group_deadline(&g, WEFT_NOW);
    weft_group_go(&g, result, (void *)5);
    CHECK_EQ(weft_group_wait(&g), 5);
    CHECK_EQ(weft_group_cause(&g), WEFT_ECANCELED);
}

/* There are more tasks than are canceled in one go. Each kind of canceler is tried. */
static int wait_in_crowd(void *arg)
{
    int rc = weft_chan_recv(NULL, NULL);

    atomic_fetch_add(&ran, 1);
    (void)arg;
    return rc;
}

enum { CROWD = 5000 };

static void crowd(weft_group *g)
{
    for (int i = 0; i < CROWD; i++)
        weft_group_go(g, wait_in_crowd, NULL);
    settle();
}

TEST(cancel_of_a_crowd_reaches_all)
{
    weft_group g[3] = {WEFT_GROUP_INIT, WEFT_GROUP_INIT, WEFT_GROUP_INIT};

    for (int i = 0; i < 3; i++)
        crowd(&g[i]);
    weft_group_cancel(&g[0]);
    CHECK_EQ(weft_group_wait(&g[0]), WEFT_ECANCELED);
    weft_group_deadline(&g[1], weft_after(WEFT_SECOND));
    CHECK_EQ(weft_group_wait(&g[1]), WEFT_ETIMEDOUT);
    weft_group_go(&g[2], result, (void *)3);
    CHECK_EQ(weft_group_wait(&g[2]), 3);
    CHECK_EQ(atomic_load(&ran), 3 * CROWD + 1);
}

TEST(cancel_ends_every_wait)
{
    weft_group g = WEFT_GROUP_INIT;

    for (int i = 0; i < 50; i++)
        weft_group_go(&g, wait_for_ever, NULL);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
}

static int every_wait_again_and_again(void *arg)
{
    weft_chan *c = weft_chan_new(sizeof(int), 0);
    weft_case on[] = {weft_on_recv(c, NULL)};
    weft_sema s = WEFT_SEMA_INIT(0);
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_cond cond = WEFT_COND_INIT;
    int v = 0;

    (void)arg;
    CHECK_EQ(weft_sleep(WEFT_SECOND), WEFT_ECANCELED);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_chan_recv(c, &v), WEFT_ECANCELED);
        CHECK_EQ(weft_chan_send(c, &v), WEFT_ECANCELED);
        CHECK_EQ(weft_select(on, 1), WEFT_ECANCELED);
        CHECK_EQ(weft_select_until(on, 1, WEFT_NOW), WEFT_ECANCELED);
        CHECK_EQ(weft_sema_wait(&s, 1), WEFT_ECANCELED);
        CHECK_EQ(weft_sleep(WEFT_SECOND), WEFT_ECANCELED);
        weft_mutex_lock(&m);
        CHECK_EQ(weft_cond_wait(&cond, &m), WEFT_ECANCELED);
        weft_mutex_unlock(&m);
    }
    weft_chan_free(c);
    return 0;
}

TEST(canceled_task_waits_no_more_now_and_later)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_go(&g, every_wait_again_and_again, NULL);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_now(), start);
}

TEST(task_started_in_a_canceled_group_is_born_canceled)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_cancel(&g);
    weft_group_go(&g, every_wait_again_and_again, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
}

TEST(cancel_twice_is_once)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_cancel(&g);
    weft_group_cancel(&g);
    CHECK(weft_group_is_canceled(&g));
    CHECK_EQ(weft_group_wait(&g), 0);
}

static int cancel_own_group(void *g)
{
    weft_group_cancel(g);
    return weft_sleep(WEFT_SECOND);
}

TEST(task_may_cancel_its_own_group)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, wait_for_ever, NULL);
    weft_group_go(&g, cancel_own_group, &g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
}

static int work_on_ready_channels(void *arg)
{
    weft_chan *c = arg;
    int v = 3;

    CHECK_EQ(weft_sleep(1), WEFT_ECANCELED);
    CHECK_EQ(weft_chan_send(c, &v), 0);
    v = 0;
    CHECK_EQ(weft_chan_recv(c, &v), 0);
    CHECK_EQ(v, 3);
    return 0;
}

/* Cancellation ends waits. Calls that need not wait succeed as before. */
TEST(canceled_task_may_still_do_what_needs_no_wait)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_chan *c = weft_chan_new(sizeof(int), 1);

    weft_group_go(&g, work_on_ready_channels, c);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_chan_free(c);
}

static weft_group crowded = WEFT_GROUP_INIT;

static void *cancel_crowded(void *arg)
{
    weft_group_cancel(&crowded);
    return arg;
}

static void cancel_on_a_thread(void *arg)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, cancel_crowded, arg), 0);
    pthread_join(thread, NULL);
}

TEST(thread_cancels_a_crowd)
{
    crowd(&crowded);
    weft_blocking(cancel_on_a_thread, NULL);
    CHECK_EQ(weft_group_wait(&crowded), WEFT_ECANCELED);
    CHECK_EQ(atomic_load(&ran), CROWD);
}

/* With one processor, none of them did so before the cancel returned. */
TEST(others_run_while_a_crowd_is_canceled)
{
    weft_group g = WEFT_GROUP_INIT;

    crowd(&g);
    weft_group_cancel(&g);
    CHECK(atomic_load(&ran) >= CROWD / 10);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
}

/* ---- deadlines ---- */

TEST(group_is_canceled_at_its_deadline)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time end = weft_after(WEFT_SECOND);

    weft_group_deadline(&g, end);
    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
    CHECK(weft_group_is_canceled(&g));
}

TEST(second_call_moves_the_deadline)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time end = weft_after(WEFT_SECOND);

    weft_group_deadline(&g, end + 10);
    weft_group_deadline(&g, end);
    weft_group_deadline(&g, end + 5);
    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end + 5);
}

static int move_deadline(void *g)
{
    for (int i = 0; i < 5000; i++)
        weft_group_deadline(g, weft_after(WEFT_SECOND + i));
    return 0;
}

/* The last of the moves counts, for the tasks that are left. */
TEST(deadline_may_be_moved_by_many_at_once)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++)
            weft_group_go(&g, move_deadline, &g);
        CHECK_EQ(weft_group_wait(&g), 0);
    }
    CHECK(!weft_group_is_canceled(&g));
    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
    CHECK(weft_now() >= start + WEFT_SECOND);
}

TEST(deadline_in_the_past_cancels_at_once)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_go(&g, wait_for_ever, NULL);
    weft_group_deadline(&g, WEFT_NOW);
    CHECK(weft_group_is_canceled(&g));
    CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), start);
}

TEST(deadline_stays_after_the_wait)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time end = weft_after(WEFT_SECOND);

    weft_group_deadline(&g, end);
    weft_group_go(&g, result, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
}

TEST(deadline_passes_while_no_task_is_there)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_deadline(&g, weft_after(WEFT_SECOND));
    weft_group_go(&g, result, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_sleep(2 * WEFT_SECOND);
    CHECK_EQ(weft_group_cause(&g), WEFT_ETIMEDOUT);
    weft_group_go(&g, every_wait_again_and_again, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_group_cause(&g), WEFT_ETIMEDOUT);
}

TEST(deadline_may_be_taken_back)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_deadline(&g, weft_after(WEFT_SECOND));
    weft_group_go(&g, sleep_for, (void *)(2 * WEFT_SECOND));
    weft_group_deadline(&g, WEFT_FOREVER);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK(!weft_group_is_canceled(&g));
}

TEST(wait_until_ends_at_its_own_deadline_with_tasks_left)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time end = weft_after(WEFT_SECOND);

    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait_until(&g, WEFT_NOW), WEFT_EPENDING);
    CHECK_EQ(weft_group_wait_until(&g, end), WEFT_EPENDING);
    CHECK_EQ(weft_now(), end);
    CHECK(!weft_group_is_canceled(&g));
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
}

TEST(no_result_of_a_task_is_taken_for_tasks_left)
{
    weft_group g = WEFT_GROUP_INIT, h = WEFT_GROUP_INIT;

    weft_group_go(&g, result, (void *)WEFT_ETIMEDOUT);
    CHECK_EQ(weft_group_wait_until(&g, weft_after(WEFT_SECOND)), WEFT_ETIMEDOUT);
    weft_group_go(&h, result, (void *)WEFT_EPENDING);
    CHECK_EQ(weft_group_wait_until(&h, weft_after(WEFT_SECOND)), WEFT_ETIMEDOUT);
}

/* ---- limit ---- */

static atomic_int inside, most_inside;

static int be_inside(void *arg)
{
    int n = atomic_fetch_add(&inside, 1) + 1;

    (void)arg;
    if (n > atomic_load(&most_inside))
        atomic_store(&most_inside, n);
    CHECK_EQ(weft_sleep(WEFT_SECOND), 0);
    atomic_fetch_sub(&inside, 1);
    return 0;
}

TEST(limit_bounds_the_tasks_at_once)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_limit(&g, 3);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_group_go(&g, be_inside, NULL), 0);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_now(), start + 4 * WEFT_SECOND);
    CHECK_EQ(atomic_load(&most_inside), 3);
}

static int start_one_inside(void *g)
{
    int rc = weft_group_go(g, be_inside, NULL);

    atomic_fetch_add(&ran, 1);
    return rc;
}

TEST(starters_come_in_when_the_limit_is_raised)
{
    weft_group g = WEFT_GROUP_INIT, starters = WEFT_GROUP_INIT;

    weft_group_limit(&g, 1);
    for (int i = 0; i < 6; i++)
        weft_group_go(&starters, start_one_inside, &g);
    settle();
    CHECK_EQ(atomic_load(&inside), 1);
    weft_group_limit(&g, 3);
    settle();
    CHECK_EQ(atomic_load(&inside), 3);
    weft_group_limit(&g, 0);
    settle();
    CHECK_EQ(atomic_load(&inside), 6);
    CHECK_EQ(weft_group_wait(&starters), 0);
    CHECK_EQ(weft_group_wait(&g), 0);
}

/* A starter that waits for a place counts: a wait for the group waits for its task, too. */
TEST(wait_returns_after_the_tasks_of_starters_that_wait)
{
    weft_group g = WEFT_GROUP_INIT, starters = WEFT_GROUP_INIT;

    weft_group_limit(&g, 1);
    for (int i = 0; i < 3; i++)
        weft_group_go(&starters, start_one_inside, &g);
    settle();
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&ran), 3);
    CHECK_EQ(weft_group_wait(&starters), 0);
}

TEST(canceled_group_with_a_limit_starts_nothing)
{
    weft_group g = WEFT_GROUP_INIT, starters = WEFT_GROUP_INIT;

    weft_group_limit(&g, 1);
    weft_group_go(&g, wait_for_ever, NULL);
    for (int i = 0; i < 500; i++)
        weft_group_go(&starters, start_one_inside, &g);
    settle();
    CHECK_EQ(atomic_load(&ran), 0);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&starters), WEFT_ECANCELED);
    CHECK_EQ(atomic_load(&ran), 500);
    CHECK_EQ(weft_group_go(&g, result, NULL), WEFT_ECANCELED);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    CHECK_EQ(atomic_load(&ran), 500);
}

TEST(canceled_starter_starts_nothing)
{
    weft_group g = WEFT_GROUP_INIT, starters = WEFT_GROUP_INIT;

    weft_group_limit(&g, 1);
    weft_group_go(&g, be_inside, NULL);
    weft_group_go(&starters, start_one_inside, &g);
    settle();
    weft_group_cancel(&starters);
    CHECK_EQ(weft_group_wait(&starters), WEFT_ECANCELED);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK(!weft_group_is_canceled(&g));
    CHECK_EQ(atomic_load(&most_inside), 1);
}
