/* SPDX-License-Identifier: MIT */
/* test_mutex.c - mutexes: exclusion, trylock, owner, starvation, cancellation. */
#include "support.h"

#include <stdlib.h>

VIRTUAL_CLOCK;

static struct {
    weft_mutex mu; /* guards n */
    int n;
    atomic_int inside, done;
} s = {.mu = WEFT_MUTEX_INIT};

static void count_alone(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_mutex_lock(&s.mu);
        CHECK_EQ(atomic_fetch_add(&s.inside, 1), 0);
        s.n++;
        if (i % 7 == 0)
            weft_yield();
        CHECK_EQ(atomic_fetch_sub(&s.inside, 1), 1);
        weft_mutex_unlock(&s.mu);
    }
    atomic_fetch_add(&s.done, 1);
}

TEST(one_task_at_a_time_is_inside)
{
    go_many(10, count_alone, NULL);
    settle();
    CHECK_EQ(atomic_load(&s.done), 10);
    CHECK_EQ(s.n, 10000);
}

static void count_by_trying(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        while (!weft_mutex_trylock(&s.mu))
            weft_yield();
        CHECK_EQ(atomic_fetch_add(&s.inside, 1), 0);
        s.n++;
        CHECK_EQ(atomic_fetch_sub(&s.inside, 1), 1);
        weft_mutex_unlock(&s.mu);
    }
    atomic_fetch_add(&s.done, 1);
}

TEST(trylock_excludes_too)
{
    go_many(4, count_by_trying, NULL);
    go_many(4, count_alone, NULL);
    settle();
    CHECK_EQ(atomic_load(&s.done), 8);
    CHECK_EQ(s.n, 8000);
}

TEST(trylock_fails_while_locked_and_never_waits)
{
    weft_mutex m = WEFT_MUTEX_INIT;

    CHECK(weft_mutex_trylock(&m));
    CHECK(!weft_mutex_trylock(&m));
    weft_mutex_unlock(&m);
    weft_mutex_lock(&m);
    CHECK(!weft_mutex_trylock(&m));
    weft_mutex_unlock(&m);
    CHECK(weft_mutex_trylock(&m));
    weft_mutex_unlock(&m);
}

TEST(zeroed_mutex_is_unlocked)
{
    weft_mutex *m = calloc(1, sizeof(*m));

    weft_mutex_lock(m);
    weft_mutex_unlock(m);
    free(m);
}

static void unlock_it(void *m)
{
    weft_mutex_unlock(m);
}

TEST(any_task_may_unlock)
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    weft_go(unlock_it, &m);
    weft_mutex_lock(&m);
    weft_mutex_assert_held(&m);
    weft_mutex_unlock(&m);
    settle();
}

static void lock_and_leave(void *m)
{
    weft_mutex_lock(m);
    weft_mutex_assert_held(m);
    atomic_fetch_add(&s.done, 1);
}

TEST(waiters_get_the_lock_in_order_of_arrival)
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    for (int i = 0; i < 5; i++) {
        weft_go(lock_and_leave, &m);
        settle();
    }
    for (int i = 1; i <= 5; i++) {
        CHECK_EQ(atomic_load(&s.done), i - 1);
        weft_mutex_unlock(&m);
        settle();
        CHECK_EQ(atomic_load(&s.done), i);
    }
    CHECK(!weft_mutex_trylock(&m));
    weft_mutex_unlock(&m);
    CHECK(weft_mutex_trylock(&m));
}

/* Barging may succeed once. Then the waiter has waited for more than a millisecond, and the lock is
 * handed to it. */
TEST(waiter_of_a_millisecond_is_served_first)
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    weft_go(lock_and_leave, &m);
    weft_sleep(2 * WEFT_MILLISECOND);
    weft_mutex_unlock(&m);
    if (weft_mutex_trylock(&m)) {
        weft_sleep(2 * WEFT_MILLISECOND);
        weft_mutex_unlock(&m);
        CHECK(!weft_mutex_trylock(&m));
    }
    settle();
    CHECK_EQ(atomic_load(&s.done), 1);
}

static struct {
    weft_mutex mu;
    int order[10], n; /* guarded by mu */
} served = {.mu = WEFT_MUTEX_INIT};

static void be_served(void *number)
{
    weft_mutex_lock(&served.mu);
    served.order[served.n++] = (int)(intptr_t)number;
    weft_sleep(WEFT_MILLISECOND / 4);
    weft_mutex_unlock(&served.mu);
    atomic_fetch_add(&s.done, 1);
}

/* A barger that takes the mutex again and again before the woken waiter runs, and then keeps it for
 * long, delays the waiters and changes no order. */
TEST(waiters_keep_their_order_beside_a_loop_of_trylock)
{
    enum { N = sizeof(served.order) / sizeof(*served.order) };

    weft_mutex_lock(&served.mu);
    for (intptr_t i = 0; i < N; i++) {
        weft_go(be_served, (void *)i);
        settle();
    }
    for (int i = 0; i < 2 * N; i++) {
        weft_mutex_unlock(&served.mu);
        while (!weft_mutex_trylock(&served.mu))
            weft_sleep(1);
    }
    weft_sleep(2 * WEFT_MILLISECOND);
    weft_mutex_unlock(&served.mu);
    while (atomic_load(&s.done) < N)
        weft_sleep(WEFT_MILLISECOND);
    for (int i = 0; i < N; i++)
        CHECK_EQ(served.order[i], i);
}

/* After some waiters starved, the mutex is an ordinary one again. */
TEST(starvation_ends_with_the_last_waiter)
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    go_many(3, lock_and_leave, &m);
    for (int i = 0; i < 3; i++) {
        weft_sleep(2 * WEFT_MILLISECOND);
        weft_mutex_unlock(&m);
    }
    settle();
    CHECK_EQ(atomic_load(&s.done), 3);
    weft_mutex_unlock(&m);
    for (int i = 0; i < 10; i++) {
        weft_mutex_lock(&m);
        weft_mutex_unlock(&m);
    }
}

static int lock_in_group(void *m)
{
    weft_mutex_lock(m);
    weft_mutex_assert_held(m);
    weft_mutex_unlock(m);
    return weft_sleep(1);
}

TEST(lock_is_no_cancellation_point)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    weft_group_go(&g, lock_in_group, &m);
    settle();
    weft_group_cancel(&g);
    settle();
    weft_mutex_unlock(&m);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
}

/* Two contended mutexes that all tasks take in one order, and hold over yields and sleeps. */
static weft_mutex first = WEFT_MUTEX_INIT, second = WEFT_MUTEX_INIT;

static void hammer(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        weft_mutex_lock(&first);
        weft_mutex_lock(&second);
        CHECK_EQ(atomic_fetch_add(&s.inside, 1), 0);
        if (i % 3 == 0)
            weft_yield();
        else if (i % 50 == 1)
            weft_sleep(WEFT_MILLISECOND);
        CHECK_EQ(atomic_fetch_sub(&s.inside, 1), 1);
        weft_mutex_unlock(&second);
        weft_mutex_unlock(&first);
    }
    atomic_fetch_add(&s.done, 1);
}

TEST(mutexes_survive_a_hammering_with_sleeps_inside)
{
    go_many(20, hammer, NULL);
    while (atomic_load(&s.done) < 20)
        weft_sleep(WEFT_SECOND);
}
