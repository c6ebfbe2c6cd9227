/* SPDX-License-Identifier: MIT */
/* test_nested.c - tasks that wait for groups while they are canceled themselves, groups for which
 * many tasks wait, and shields. */
#include "support.h"

#include <string.h>

VIRTUAL_CLOCK;

static atomic_int ran, inner_canceled;

static int wait_for_ever(void *arg)
{
    (void)arg;
    return weft_chan_recv(NULL, NULL);
}

static int recv_one(void *c)
{
    return weft_chan_recv(c, NULL);
}

static int run_inner_group(void *arg)
{
    weft_group inner = WEFT_GROUP_INIT;

    weft_group_go(&inner, wait_for_ever, arg);
    CHECK_EQ(weft_group_wait(&inner), WEFT_ECANCELED);
    if (weft_group_is_canceled(&inner))
        atomic_fetch_add(&inner_canceled, 1);
    return 0;
}

/* ---- nesting ---- */

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

static int wait_for_inner_result(void *arg)
{
    weft_group inner = WEFT_GROUP_INIT;

    weft_group_go(&inner, wait_for_ever, arg);
    return weft_group_wait(&inner);
}

static int wait_for_inner_twice(void *arg)
{
    weft_group inner = WEFT_GROUP_INIT;

    weft_group_go(&inner, wait_for_inner_result, arg);
    CHECK_EQ(weft_group_wait(&inner), WEFT_ETIMEDOUT);
    return weft_task_cause();
}

TEST(cause_passes_down_through_the_waits)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_deadline(&g, weft_after(WEFT_SECOND));
    weft_group_go(&g, wait_for_inner_twice, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
}

static int descend(void *depth)
{
    weft_group g = WEFT_GROUP_INIT;
    intptr_t left = (intptr_t)depth;

    if (left == 0)
        return wait_for_ever(NULL);
    weft_group_go(&g, descend, (void *)(left - 1));
    return weft_group_wait(&g);
}

/* A level of nesting once took a frame of the canceler's stack. */
TEST(cancel_reaches_the_deepest_of_thousands)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, descend, (void *)5000);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
}

static weft_group of_the_process;

static int use_group_of_the_process(void *c)
{
    weft_group_go(&of_the_process, recv_one, c);
    return wait_for_ever(NULL);
}

TEST(group_is_not_canceled_with_the_task_that_used_it_first)
{
    weft_group request = WEFT_GROUP_INIT;
    weft_chan *c = weft_chan_new(0, 0);

    weft_group_go(&request, use_group_of_the_process, c);
    settle();
    weft_group_cancel(&request);
    CHECK_EQ(weft_group_wait(&request), WEFT_ECANCELED);
    CHECK(!weft_group_is_canceled(&of_the_process));
    CHECK_EQ(weft_chan_send(c, NULL), 0);
    CHECK_EQ(weft_group_wait(&of_the_process), 0);
    weft_chan_free(c);
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

/* Waits for the mutex, which no cancellation ends. */
static int pass_gate(void *gate)
{
    weft_mutex_lock(gate);
    weft_mutex_unlock(gate);
    atomic_fetch_add(&ran, 1);
    return 0;
}

static int wait_for_inner(void *gate)
{
    weft_group inner = WEFT_GROUP_INIT;

    for (int i = 0; i < 3; i++)
        weft_group_go(&inner, pass_gate, gate);
    CHECK_EQ(weft_group_wait(&inner), 0);
    CHECK_EQ(atomic_load(&ran), 3);
    CHECK_EQ(weft_group_cause(&inner), WEFT_ECANCELED);
    return 0;
}

TEST(wait_of_a_canceled_task_returns_with_no_task_left)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_mutex gate = WEFT_MUTEX_INIT;

    weft_mutex_lock(&gate);
    weft_group_go(&g, wait_for_inner, &gate);
    settle();
    weft_group_cancel(&g);
    settle();
    weft_mutex_unlock(&gate);
    CHECK_EQ(weft_group_wait(&g), 0);
}

static int wait_a_while_for_inner(void *arg)
{
    weft_group inner = WEFT_GROUP_INIT;

    weft_group_go(&inner, pass_gate, arg);
    CHECK_EQ(weft_group_wait_until(&inner, weft_after(WEFT_SECOND)), WEFT_EPENDING);
    CHECK(!weft_group_is_canceled(&inner));
    atomic_fetch_add(&ran, 1);
    return weft_group_join(&inner);
}

TEST(wait_until_of_a_canceled_task_comes_back)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_mutex gate = WEFT_MUTEX_INIT;
    weft_time start = weft_now();

    weft_mutex_lock(&gate);
    weft_group_go(&g, wait_a_while_for_inner, &gate);
    settle();
    weft_group_cancel(&g);
    settle();
    CHECK_EQ(atomic_load(&ran), 1);
    CHECK(weft_now() < start + WEFT_SECOND);
    weft_mutex_unlock(&gate);
    CHECK_EQ(weft_group_wait(&g), 0);
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

/* ---- several waiters ---- */

static void wait_for_group(void *g)
{
    CHECK_EQ(weft_group_wait(g), 0);
    atomic_fetch_add(&ran, 1);
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

struct round {
    weft_group *g;
    weft_waitgroup *waiting; /* their tasks */
};

static void wait_for_the_round(void *arg)
{
    struct round *r = arg;

    CHECK_EQ(weft_group_wait(r->g), 0);
    weft_waitgroup_done(r->waiting);
}

/* The waiters of a round may still run when the next has begun. They do nothing to it. */
TEST(late_waiters_leave_the_next_round_alone)
{
    for (int i = 0; i < 20; i++) {
        weft_group g = WEFT_GROUP_INIT;
        weft_waitgroup waiting = WEFT_WAITGROUP_INIT;
        weft_chan *c = weft_chan_new(0, 0);
        struct round r = {&g, &waiting};

        for (int round = 0; round < 10; round++) {
            weft_group_deadline(&g, weft_after(WEFT_SECOND));
            weft_group_go(&g, recv_one, c);
            weft_waitgroup_add(&waiting, 3);
            go_many(3, wait_for_the_round, &r);
            for (int j = 0; j < round % 3; j++)
                weft_yield();
            CHECK_EQ(weft_chan_send(c, NULL), 0);
            CHECK_EQ(weft_group_wait(&g), 0);
        }
        weft_waitgroup_wait(&waiting);
        weft_group_go(&g, recv_one, c);
        CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
        weft_chan_free(c);
    }
}

static void wait_for_cancellation(void *g)
{
    CHECK_EQ(weft_group_wait(g), WEFT_ECANCELED);
    atomic_fetch_add(&ran, 1);
}

static int wait_as_a_task(void *g)
{
    wait_for_cancellation(g);
    return 0;
}

TEST(canceled_waiter_cancels_the_group_for_all_waiters)
{
    weft_group g = WEFT_GROUP_INIT, above = WEFT_GROUP_INIT;

    weft_group_go(&g, wait_for_ever, NULL);
    weft_go(wait_for_cancellation, &g);
    weft_group_go(&above, wait_as_a_task, &g);
    settle();
    weft_group_cancel(&above);
    CHECK_EQ(weft_group_wait(&above), 0);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    wait_for(&ran, 2);
}

struct heir {
    weft_group g;
    weft_chan *c;
};

static int begin_group_that_stays(void *heir)
{
    struct heir *h = heir;

    weft_group_go(&h->g, recv_one, h->c);
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

/* ---- shields ---- */

static int report(void *c)
{
    int v = 1;

    CHECK_EQ(weft_sleep(10 * WEFT_SECOND), WEFT_ECANCELED);
    CHECK_EQ(weft_chan_send(c, &v), WEFT_ECANCELED);
    weft_shield_begin();
    CHECK_EQ(weft_chan_send(c, &v), 0);
    weft_shield_end();
    CHECK_EQ(weft_chan_send(c, &v), WEFT_ECANCELED);
    return 0;
}

TEST(canceled_task_reports_behind_a_shield)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_chan *c = weft_chan_new(sizeof(int), 0);
    int v = 0;

    weft_group_go(&g, report, c);
    weft_group_cancel(&g);
    settle();
    CHECK_EQ(weft_chan_recv(c, &v), 0);
    CHECK_EQ(v, 1);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_chan_free(c);
}

static void sleep_undisturbed(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_sleep(WEFT_SECOND), 0);
}

/* Canceled while it waits behind two shields. */
static int sleep_behind_shields(void *arg)
{
    weft_case never[] = {weft_on_recv(NULL, NULL)};

    (void)arg;
    weft_shield_begin();
    weft_shield(sleep_undisturbed, NULL);
    CHECK(weft_task_is_canceled());
    CHECK_EQ(weft_sleep(WEFT_SECOND), 0);
    CHECK_EQ(weft_select_until(never, 1, weft_after(WEFT_SECOND)), WEFT_ETIMEDOUT);
    weft_shield_end();
    CHECK_EQ(weft_select_until(never, 1, weft_after(WEFT_SECOND)), WEFT_ECANCELED);
    return 0;
}

TEST(shields_nest)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_go(&g, sleep_behind_shields, NULL);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_now(), start + 3 * WEFT_SECOND);
}

static int sleep_result(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_SECOND);
}

static int clean_up(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;

    (void)arg;
    weft_shield_begin();
    for (int i = 0; i < 3; i++)
        weft_group_go(&g, sleep_result, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    weft_shield_end();
    weft_group_go(&g, sleep_result, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    return 0;
}

TEST(group_waited_for_behind_a_shield_is_not_canceled)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    weft_group_cancel(&g);
    weft_group_go(&g, clean_up, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_now(), start + WEFT_SECOND);
}

TEST_DIES(shield_end_without_begin_panics, 2,
          "panic: weft: weft_shield_end without weft_shield_begin")
{
    weft_shield_end();
}

static int wait_for_own_group(void *g)
{
    return weft_group_wait(g);
}

TEST_DIES(wait_for_the_own_group_panics, 2, "panic: weft: a task waits for group 0x")
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, wait_for_own_group, &g);
    weft_group_wait(&g);
}
