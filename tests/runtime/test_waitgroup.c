/* SPDX-License-Identifier: MIT */
/* test_waitgroup.c - Go's sync.WaitGroup, with a deadline. */
#include "support.h"

VIRTUAL_CLOCK;

static weft_waitgroup wg = WEFT_WAITGROUP_INIT;
static atomic_int done, waited;

TEST(wait_at_zero_returns_at_once)
{
    CHECK_EQ(weft_waitgroup_wait(&wg), 0);
    CHECK_EQ(weft_waitgroup_wait_until(&wg, WEFT_NOW), 0);
    weft_waitgroup_add(&wg, 2);
    weft_waitgroup_add(&wg, -2);
    CHECK_EQ(weft_waitgroup_wait(&wg), 0);
}

static void do_and_say(void *arg)
{
    (void)arg;
    weft_yield();
    atomic_fetch_add(&done, 1);
    weft_waitgroup_done(&wg);
}

TEST(wait_returns_after_the_last_done)
{
    for (int round = 1; round <= 20; round++) {
        weft_waitgroup_add(&wg, 50);
        go_many(50, do_and_say, NULL);
        CHECK_EQ(weft_waitgroup_wait(&wg), 0);
        CHECK_EQ(atomic_load(&done), 50 * round);
    }
}

static void wait_for_it(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_waitgroup_wait(&wg), 0);
    atomic_fetch_add(&waited, 1);
}

TEST(all_waiters_wake_together)
{
    weft_waitgroup_add(&wg, 2);
    go_many(10, wait_for_it, NULL);
    settle();
    weft_waitgroup_done(&wg);
    settle();
    CHECK_EQ(atomic_load(&waited), 0);
    weft_waitgroup_done(&wg);
    settle();
    CHECK_EQ(atomic_load(&waited), 10);
}

TEST(wait_ends_at_its_deadline)
{
    weft_time end = weft_after(WEFT_SECOND);

    weft_waitgroup_add(&wg, 1);
    CHECK_EQ(weft_waitgroup_wait_until(&wg, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_waitgroup_wait_until(&wg, end), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
    weft_waitgroup_done(&wg);
    CHECK_EQ(weft_waitgroup_wait_until(&wg, end), 0);
}

static int wait_in_group(void *arg)
{
    (void)arg;
    return weft_waitgroup_wait(&wg);
}

TEST(canceled_wait_returns)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_waitgroup_add(&wg, 1);
    weft_group_go(&g, wait_in_group, NULL);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    weft_waitgroup_done(&wg);
}
