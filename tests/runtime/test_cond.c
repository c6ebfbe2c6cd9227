/* SPDX-License-Identifier: MIT */
/* test_cond.c - condition variables: signal, broadcast, order, deadline, no spurious wakes. */
#include "support.h"

VIRTUAL_CLOCK;

static struct {
    weft_mutex mu; /* guards woken and order */
    weft_cond cond;
    int woken, order[10];
} s = {.mu = WEFT_MUTEX_INIT, .cond = WEFT_COND_INIT};

static void wait_once(void *number)
{
    weft_mutex_lock(&s.mu);
    CHECK_EQ(weft_cond_wait(&s.cond, &s.mu), 0);
    weft_mutex_assert_held(&s.mu);
    s.order[s.woken++] = (int)(intptr_t)number;
    weft_mutex_unlock(&s.mu);
}

static int woken(void)
{
    int n;

    weft_mutex_lock(&s.mu);
    n = s.woken;
    weft_mutex_unlock(&s.mu);
    return n;
}

static void start_waiters(int n)
{
    for (intptr_t i = 0; i < n; i++) {
        weft_go(wait_once, (void *)i);
        settle();
    }
}

TEST(signal_wakes_the_longest_waiter_and_no_other)
{
    start_waiters(5);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(woken(), i);
        weft_cond_signal(&s.cond);
        settle();
        CHECK_EQ(woken(), i + 1);
        CHECK_EQ(s.order[i], i);
    }
    weft_cond_signal(&s.cond);
    CHECK_EQ(woken(), 5);
}

TEST(broadcast_wakes_all_that_wait_now)
{
    start_waiters(10);
    weft_cond_broadcast(&s.cond);
    settle();
    CHECK_EQ(woken(), 10);
}

TEST(signal_without_waiter_is_not_kept)
{
    weft_cond_signal(&s.cond);
    weft_cond_broadcast(&s.cond);
    start_waiters(1);
    CHECK_EQ(woken(), 0);
    weft_cond_signal(&s.cond);
    settle();
    CHECK_EQ(woken(), 1);
}

TEST(wait_ends_at_its_deadline_with_the_mutex_held)
{
    weft_time end = weft_after(WEFT_SECOND);

    weft_mutex_lock(&s.mu);
    CHECK_EQ(weft_cond_wait_until(&s.cond, &s.mu, end), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
    weft_mutex_assert_held(&s.mu);
    CHECK_EQ(weft_cond_wait_until(&s.cond, &s.mu, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_mutex_assert_held(&s.mu);
    weft_mutex_unlock(&s.mu);
}

TEST(timed_out_waiter_takes_no_signal)
{
    weft_mutex_lock(&s.mu);
    CHECK_EQ(weft_cond_wait_until(&s.cond, &s.mu, weft_after(1)), WEFT_ETIMEDOUT);
    weft_mutex_unlock(&s.mu);
    start_waiters(1);
    weft_cond_signal(&s.cond);
    settle();
    CHECK_EQ(woken(), 1);
}

static int wait_result(void *arg)
{
    int rc;

    (void)arg;
    weft_mutex_lock(&s.mu);
    rc = weft_cond_wait(&s.cond, &s.mu);
    weft_mutex_assert_held(&s.mu);
    weft_mutex_unlock(&s.mu);
    return rc;
}

TEST(canceled_wait_returns_with_the_mutex_held)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, wait_result, NULL);
    settle();
    weft_mutex_lock(&s.mu);
    weft_group_cancel(&g);
    settle();
    weft_mutex_unlock(&s.mu);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
}

/* Go's TestCondRace: x goes 0, 1, 2, 0 ... among three tasks; each waits for its turn. */
static struct {
    int turn, rounds[3]; /* guarded by s.mu */
    atomic_int done;
} race;

static void take_turns(void *number)
{
    int me = (int)(intptr_t)number;

    weft_mutex_lock(&s.mu);
    for (int i = 0; i < 300; i++) {
        while (race.turn != me)
            CHECK_EQ(weft_cond_wait(&s.cond, &s.mu), 0);
        race.turn = (me + 1) % 3;
        race.rounds[me]++;
        weft_cond_broadcast(&s.cond);
    }
    weft_mutex_unlock(&s.mu);
    atomic_fetch_add(&race.done, 1);
}

TEST(tasks_that_wait_for_their_turn_take_turns)
{
    for (intptr_t i = 0; i < 3; i++)
        weft_go(take_turns, (void *)i);
    settle();
    CHECK_EQ(atomic_load(&race.done), 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(race.rounds[i], 300);
}

/* There must be as many wakes as signals; a spurious one would be one too many. */
static atomic_int wakes, deadlines;

static void count_wakes(void *arg)
{
    (void)arg;
    weft_mutex_lock(&s.mu);
    for (int i = 0; i < 200; i++) {
        int rc = weft_cond_wait_until(&s.cond, &s.mu, weft_after(10));

        atomic_fetch_add(rc == 0 ? &wakes : &deadlines, 1);
    }
    weft_mutex_unlock(&s.mu);
}

TEST(wakes_are_never_more_than_signals)
{
    go_many(4, count_wakes, NULL);
    for (int i = 1; i <= 50; i++) {
        weft_sleep(7);
        weft_cond_signal(&s.cond);
        CHECK(atomic_load(&wakes) <= i);
    }
    while (atomic_load(&wakes) + atomic_load(&deadlines) < 800)
        weft_sleep(WEFT_SECOND);
    CHECK(atomic_load(&wakes) <= 50);
}
