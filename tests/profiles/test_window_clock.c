/* SPDX-License-Identifier: MIT */
/* test_window_clock.c - the block, mutex and contention profiles of a window of time, against sums
 * that the tasks keep by the real clock: equal within a twentieth at the default rates. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

enum { TASKS = 40 };
#define WINDOW WEFT_SECOND

/* How long each task has waited for the mutex: the sum of its ended waits, and since when it waits
 * now, or 0. */
static struct account {
    atomic_llong before, since;
} accounts[1000];
static atomic_int n_accounts;
static atomic_bool over;
static weft_mutex mutex = WEFT_MUTEX_INIT;

static long long balance(const struct account *a)
{
    long long before, since;

    do {
        before = atomic_load(&a->before);
        since = atomic_load(&a->since);
    } while (atomic_load(&a->before) != before);
    return before + (since ? weft_now() - since : 0);
}

static long long balance_of_all(void)
{
    long long sum = 0;

    for (int i = 0; i < atomic_load(&n_accounts); i++)
        sum += balance(&accounts[i]);
    return sum;
}

NOINLINE void wants_it_here(struct account *a);
NOINLINE void wants_it_here(struct account *a)
{
    long long since = weft_now();

    atomic_store(&a->since, since);
    weft_mutex_lock(&mutex);
    atomic_store(&a->since, 0);
    atomic_fetch_add(&a->before, weft_now() - since);
}

static struct account *new_account(void)
{
    return &accounts[atomic_fetch_add(&n_accounts, 1)];
}

/* A second of each profile at once, compared with the ledger of the same time. */
static int look(void *profile)
{
    long long before = balance_of_all(), is, said;
    char *text = window_text(profile, WINDOW);

    is = balance_of_all() - before;
    said = strcmp(profile, "mutex") == 0 ? time_in(text, "#\t") : time_in(text, "\twants_it_here+");
    fprintf(stderr, "# %s says %.3f s, the tasks %.3f s\n", (char *)profile, (double)said / 1e9,
            (double)is / 1e9);
    free(text);
    CHECK(said > is - is / 20 && said < is + is / 20);
    return 0;
}

static void look_at_all(void)
{
    static const char *const profiles[] = {"block", "mutex", "contention"};
    weft_group g = WEFT_GROUP_INIT;

    for (int i = 0; i < 3; i++)
        weft_group_go(&g, look, (void *)(uintptr_t)profiles[i]);
    CHECK_EQ(weft_group_wait(&g), 0);
    atomic_store(&over, true);
}

static void want_once(void *arg)
{
    (void)arg;
    wants_it_here(new_account());
    weft_mutex_unlock(&mutex);
}

TEST(tasks_that_are_stuck_wait_for_the_whole_window)
{
    weft_mutex_lock(&mutex);
    go_many(TASKS, want_once, NULL);
    weft_sleep(WEFT_SECOND / 2);
    look_at_all();
}

static void hold_for_long(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        weft_mutex_lock(&mutex);
        weft_sleep(400 * WEFT_MILLISECOND);
        weft_mutex_unlock(&mutex);
        weft_sleep(WEFT_MILLISECOND);
    }
}

static void come_one_by_one(void *arg)
{
    while (!atomic_load(&over) && atomic_load(&n_accounts) < 900) {
        weft_go(want_once, arg);
        weft_sleep(2 * WEFT_MILLISECOND);
    }
}

TEST(tasks_that_pile_up_count_from_when_each_came)
{
    weft_go(hold_for_long, NULL);
    weft_go(come_one_by_one, NULL);
    weft_sleep(300 * WEFT_MILLISECOND);
    look_at_all();
}

static void take_turns(void *arg)
{
    struct account *a = new_account();
    weft_duration hold = (intptr_t)arg * 20 * WEFT_MICROSECOND;

    while (!atomic_load(&over)) {
        wants_it_here(a);
        weft_sleep(hold);
        weft_mutex_unlock(&mutex);
        weft_sleep(hold * 5);
    }
}

TEST(tasks_that_take_turns_count_in_each_of_the_three)
{
    for (intptr_t i = 1; i <= TASKS; i++)
        weft_go(take_turns, (void *)i);
    weft_sleep(WEFT_SECOND / 5);
    look_at_all();
}
