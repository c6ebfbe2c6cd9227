/* SPDX-License-Identifier: MIT */
/* test_sema.c - counting semaphores: units, order of arrival, deadline, cancellation. */
#include "support.h"

VIRTUAL_CLOCK;

static weft_sema s = WEFT_SEMA_INIT(3);
static atomic_int inside, done;

TEST(units_are_taken_and_given_back)
{
    CHECK_EQ(weft_sema_wait(&s, 1), 0);
    CHECK_EQ(weft_sema_wait(&s, 2), 0);
    CHECK_EQ(weft_sema_wait_until(&s, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_sema_add(&s, 2);
    CHECK_EQ(weft_sema_wait_until(&s, 3, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_sema_wait_until(&s, 2, WEFT_NOW), 0);
}

TEST(zeroed_semaphore_has_no_units)
{
    weft_sema zero = {0};

    CHECK_EQ(weft_sema_wait_until(&zero, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_sema_add(&zero, 5);
    CHECK_EQ(weft_sema_wait(&zero, 5), 0);
}

static void work_inside(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(weft_sema_wait(&s, 1), 0);
        CHECK(atomic_fetch_add(&inside, 1) < 3);
        weft_yield();
        atomic_fetch_sub(&inside, 1);
        weft_sema_add(&s, 1);
    }
    atomic_fetch_add(&done, 1);
}

TEST(no_more_tasks_than_units_are_inside)
{
    go_many(10, work_inside, NULL);
    settle();
    CHECK_EQ(atomic_load(&done), 10);
    CHECK_EQ(weft_sema_wait_until(&s, 3, WEFT_NOW), 0);
}

static void want(void *n)
{
    CHECK_EQ(weft_sema_wait(&s, (int)(intptr_t)n), 0);
    atomic_fetch_add(&done, (int)(intptr_t)n);
}

/* A wish for many units is not starved by wishes for few. */
TEST(nobody_overtakes_who_waits)
{
    CHECK_EQ(weft_sema_wait(&s, 2), 0);
    weft_go(want, (void *)3);
    settle();
    CHECK_EQ(weft_sema_wait_until(&s, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_go(want, (void *)1);
    settle();
    CHECK_EQ(atomic_load(&done), 0);
    weft_sema_add(&s, 2);
    settle();
    CHECK_EQ(atomic_load(&done), 3);
    weft_sema_add(&s, 1);
    settle();
    CHECK_EQ(atomic_load(&done), 4);
}

TEST(one_add_serves_several)
{
    CHECK_EQ(weft_sema_wait(&s, 3), 0);
    go_many(4, want, (void *)2);
    settle();
    weft_sema_add(&s, 7);
    settle();
    CHECK_EQ(atomic_load(&done), 6);
    weft_sema_add(&s, 1);
    settle();
    CHECK_EQ(atomic_load(&done), 8);
}

static void want_until(void *end)
{
    CHECK_EQ(weft_sema_wait_until(&s, 4, *(weft_time *)end), WEFT_ETIMEDOUT);
}

TEST(who_gives_up_lets_those_behind_in)
{
    weft_time end = weft_after(WEFT_SECOND);

    weft_go(want_until, &end);
    settle();
    weft_go(want, (void *)1);
    settle();
    CHECK_EQ(atomic_load(&done), 0);
    weft_sleep_until(end + 1);
    CHECK_EQ(atomic_load(&done), 1);
    CHECK_EQ(weft_sema_wait_until(&s, 2, WEFT_NOW), 0);
}

static int want_in_group(void *n)
{
    return weft_sema_wait(&s, (int)(intptr_t)n);
}

TEST(canceled_wait_takes_nothing_and_lets_those_behind_in)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, want_in_group, (void *)4);
    settle();
    weft_go(want, (void *)3);
    settle();
    CHECK_EQ(atomic_load(&done), 0);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    settle();
    CHECK_EQ(atomic_load(&done), 3);
}
