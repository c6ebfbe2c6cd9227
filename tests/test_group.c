/* SPDX-License-Identifier: MIT */
/* test_group.c - groups: results, cancellation, deadlines, nesting; Go's errgroup and context. */
#include "support.h"

#include <string.h>

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

/* ---- cancellation ---- */

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

/* Cancellation ends waits; what needs no wait is done as ever. */
TEST(canceled_task_may_still_do_what_needs_no_wait)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_chan *c = weft_chan_new(sizeof(int), 1);

    weft_group_go(&g, work_on_ready_channels, c);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_chan_free(c);
}

/* ---- deadlines ---- */

TEST(group_is_canceled_at_its_deadline)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time end = weft_after(WEFT_SECOND);

    weft_group_deadline(&g, end);
    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
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
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    CHECK_EQ(weft_now(), end + 5);
}

static int move_deadline(void *g)
{
    for (int i = 0; i < 5000; i++)
        weft_group_deadline(g, weft_after(WEFT_SECOND + i));
    return 0;
}

/* One deadline is left of them all, and none after the wait. */
TEST(deadline_may_be_moved_by_many_at_once)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    for (int i = 0; i < 8; i++)
        weft_group_go(&g, move_deadline, &g);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_sleep(2 * WEFT_SECOND);
    CHECK(!weft_group_is_canceled(&g));
    for (int i = 0; i < 8; i++)
        weft_group_go(&g, move_deadline, &g);
    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    CHECK(weft_now() >= start + 3 * WEFT_SECOND);
}

TEST(deadline_in_the_past_cancels_at_once)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_go(&g, wait_for_ever, NULL);
    weft_group_deadline(&g, WEFT_NOW);
    CHECK(weft_group_is_canceled(&g));
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    CHECK_EQ(weft_now(), start);
}

TEST(deadline_of_a_group_that_is_done_cancels_nothing)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_deadline(&g, weft_after(WEFT_SECOND));
    weft_group_go(&g, result, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_sleep(2 * WEFT_SECOND);
    CHECK(!weft_group_is_canceled(&g));
}

TEST(wait_ends_at_its_own_deadline_with_tasks_left)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time end = weft_after(WEFT_SECOND);

    weft_group_go(&g, wait_for_ever, NULL);
    CHECK_EQ(weft_group_wait_until(&g, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_group_wait_until(&g, end), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
    CHECK(!weft_group_is_canceled(&g));
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
}

/* ---- nesting ---- */

static atomic_int inner_canceled;

static int run_inner_group(void *arg)
{
    weft_group inner = WEFT_GROUP_INIT;
    int rc;

    weft_group_go(&inner, wait_for_ever, arg);
    rc = weft_group_wait(&inner);
    CHECK_EQ(rc, WEFT_ECANCELED);
    rc = weft_group_join(&inner);
    CHECK_EQ(rc, WEFT_ECANCELED);
    if (weft_group_is_canceled(&inner))
        atomic_fetch_add(&inner_canceled, 1);
    return 0;
}

TEST(cancel_reaches_groups_below)
{
    weft_group g = WEFT_GROUP_INIT;

    for (int i = 0; i < 10; i++)
        weft_group_go(&g, run_inner_group, NULL);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&inner_canceled), 10);
}

TEST(group_begun_below_a_canceled_one_is_canceled)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_cancel(&g);
    weft_group_go(&g, run_inner_group, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&inner_canceled), 1);
}

static int cancel_inner_group(void *arg)
{
    weft_group inner = WEFT_GROUP_INIT;

    (void)arg;
    weft_group_go(&inner, wait_for_ever, NULL);
    weft_group_cancel(&inner);
    CHECK_EQ(weft_group_join(&inner), WEFT_ECANCELED);
    return weft_sleep(WEFT_SECOND);
}

TEST(cancel_does_not_reach_the_group_above)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_go(&g, cancel_inner_group, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_now(), start + WEFT_SECOND);
    CHECK(!weft_group_is_canceled(&g));
}

static int join_slow_inner(void *arg)
{
    weft_group inner = WEFT_GROUP_INIT;
    weft_mutex *gate = arg;

    CHECK_EQ(weft_sleep(WEFT_SECOND), WEFT_ECANCELED);
    weft_group_go(&inner, result, NULL);
    weft_mutex_lock(gate);
    weft_mutex_unlock(gate);
    return weft_group_join(&inner);
}

TEST(join_waits_to_the_end_though_canceled)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_mutex gate = WEFT_MUTEX_INIT;

    weft_mutex_lock(&gate);
    weft_group_go(&g, join_slow_inner, &gate);
    settle();
    weft_group_cancel(&g);
    settle();
    CHECK_EQ(atomic_load(&ran), 1);
    weft_mutex_unlock(&gate);
    CHECK_EQ(weft_group_join(&g), 0);
}

/* A tree of groups that is canceled while it grows and shrinks. */
static int grow(void *depth)
{
    weft_group g = WEFT_GROUP_INIT;
    intptr_t left = (intptr_t)depth;

    for (int i = 0; left > 0 && i < 3; i++)
        weft_group_go(&g, grow, (void *)(left - 1));
    weft_yield();
    atomic_fetch_add(&ran, 1);
    weft_group_join(&g);
    return 0;
}

TEST(cancel_amid_growth_leaves_no_task_behind)
{
    for (int i = 0; i < 50; i++) {
        weft_group g = WEFT_GROUP_INIT;

        weft_group_go(&g, grow, (void *)4);
        for (int j = 0; j < i; j++)
            weft_yield();
        weft_group_cancel(&g);
        CHECK_EQ(weft_group_join(&g), 0);
        CHECK_EQ(atomic_exchange(&ran, 0), 1 + 3 + 9 + 27 + 81);
    }
}

static void wait_for_group(void *g)
{
    CHECK_EQ(weft_group_wait(g), 0);
    atomic_fetch_add(&ran, 1);
}

static int recv_one(void *c)
{
    return weft_chan_recv(c, NULL);
}

TEST(several_tasks_may_wait_for_one_group)
{
    for (int i = 0; i < 100; i++) {
        weft_group g = WEFT_GROUP_INIT;
        weft_chan *c = weft_chan_new(0, 0);

        weft_group_deadline(&g, weft_after(WEFT_SECOND));
        weft_group_go(&g, recv_one, c);
        go_many(4, wait_for_group, &g);
        settle();
        CHECK_EQ(weft_chan_send(c, NULL), 0);
        settle();
        CHECK_EQ(atomic_exchange(&ran, 0), 4);
        weft_chan_free(c);
    }
}

static int end_after_recv(void *c)
{
    return weft_chan_recv(c, NULL);
}

struct heir {
    weft_group g;
    weft_chan *c;
};

static int begin_group_that_stays(void *heir)
{
    struct heir *h = heir;

    weft_group_go(&h->g, end_after_recv, h->c);
    return 0;
}

TEST(group_may_outlive_the_one_above)
{
    struct heir h = {WEFT_GROUP_INIT, weft_chan_new(0, 0)};
    weft_group above = WEFT_GROUP_INIT;

    weft_group_go(&above, begin_group_that_stays, &h);
    CHECK_EQ(weft_group_wait(&above), 0);
    memset(&above, 0xff, sizeof(above)); /* its memory is somebody else's now */
    CHECK_EQ(weft_chan_send(h.c, NULL), 0);
    CHECK_EQ(weft_group_wait(&h.g), 0);
    CHECK_EQ(((unsigned char *)&above)[0], 0xff);
    weft_chan_free(h.c);
}
