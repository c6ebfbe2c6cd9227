/* SPDX-License-Identifier: MIT */
/* test_window.c - the block, mutex and contention profiles of a window of time: each wait counts
 * with the part of it that lies in the window, to the nanosecond, whether it began before the
 * window, goes on after it, or both. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

VIRTUAL_CLOCK;

#define NOINLINE __attribute__((noinline))

enum { TASKS = 10 };
enum { SETTLED = 1 }; /* ns that go by when all settle */

static weft_mutex mutex = WEFT_MUTEX_INIT;
static weft_rwmutex rw = WEFT_RWMUTEX_INIT;
static weft_chan *never;

NOINLINE void wants_it_here(void *arg);
NOINLINE void wants_it_here(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

NOINLINE void waits_for_ever_here(void *arg);
NOINLINE void waits_for_ever_here(void *arg)
{
    (void)arg;
    weft_chan_recv(never, NULL);
    __asm__ volatile("");
}

NOINLINE void lets_go_here(void);
NOINLINE void lets_go_here(void)
{
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

NOINLINE void holds_here(weft_duration from_now);
NOINLINE void holds_here(weft_duration from_now)
{
    weft_sleep(from_now);
    __asm__ volatile("");
}

/* Holds the mutex from now on for so long. */
static void hold_for(void *seconds)
{
    weft_mutex_lock(&mutex);
    holds_here((intptr_t)seconds * WEFT_SECOND);
    lets_go_here();
}

static long long window(const char *name, weft_duration over, const char *frame)
{
    char *text = window_text(name, over);
    long long time = time_in(text, frame);

    free(text);
    return time;
}

/* The tasks that want the mutex wait for a second before the window begins. */
static void begin_waiting(intptr_t held)
{
    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    weft_go(hold_for, (void *)held);
    settle();
    go_many(TASKS, wants_it_here, NULL);
    weft_sleep(WEFT_SECOND);
}

TEST(waits_that_go_on_throughout_are_as_long_as_the_window)
{
    never = weft_chan_new(1, 0);
    go_many(TASKS, waits_for_ever_here, NULL);
    begin_waiting(1000);
    CHECK_EQ(window("block", 2 * WEFT_SECOND, "\twaits_for_ever_here+"), TASKS * 2 * WEFT_SECOND);
    CHECK_EQ(window("block", 2 * WEFT_SECOND, "\twants_it_here+"), TASKS * 2 * WEFT_SECOND);
    CHECK_EQ(window("mutex", 2 * WEFT_SECOND, "\tholds_here+"), TASKS * 2 * WEFT_SECOND);
    CHECK_EQ(window("contention", 2 * WEFT_SECOND, "\twants_it_here+"), TASKS * 2 * WEFT_SECOND);
}

/* The lock is let go 3 s after the tasks began to wait, 2 s after the window began. */
static void check_ends(const char *name, const char *frame)
{
    begin_waiting(3);
    CHECK_EQ(window(name, 10 * WEFT_SECOND, frame), TASKS * (2 * WEFT_SECOND - SETTLED));
}

TEST(wait_that_ends_in_the_window_counts_from_its_begin)
{
    check_ends("block", "\twants_it_here+");
}

TEST(charge_in_the_window_counts_from_its_begin)
{
    check_ends("mutex", "\tlets_go_here+");
}

TEST(pair_in_the_window_counts_from_its_begin)
{
    check_ends("contention", "\twants_it_here+");
}

static void come_later(void *arg)
{
    weft_sleep(WEFT_SECOND);
    go_many(TASKS, wants_it_here, arg);
}

TEST(charge_for_waiters_from_before_and_from_within_the_window)
{
    begin_waiting(3);
    weft_go(come_later, NULL);
    CHECK_EQ(window("mutex", 10 * WEFT_SECOND, "\tlets_go_here+"),
             TASKS * (2 * WEFT_SECOND - SETTLED) + TASKS * (WEFT_SECOND - SETTLED));
}

TEST(wait_that_begins_in_the_window_counts_to_its_end)
{
    begin_waiting(1000);
    weft_go(come_later, NULL);
    CHECK_EQ(window("block", 3 * WEFT_SECOND, "\twants_it_here+"), TASKS * 5 * WEFT_SECOND);
}

/* Windows at once ------------------------------------------------------------------------------ */

enum { WINDOWS = 20 }; /* more than have an exact part of a charge of mixed waiters */

static void look_at_mutex(void *arg)
{
    weft_duration before = (intptr_t)arg * 50 * WEFT_MILLISECOND;

    weft_sleep(before);
    CHECK_EQ(window("mutex", 10 * WEFT_SECOND, "\tlets_go_here+"),
             TASKS * (2 * WEFT_SECOND - SETTLED - before));
}

static int look_at_mutex_in(void *arg)
{
    look_at_mutex(arg);
    return 0;
}

TEST(windows_that_begin_at_different_times_have_each_its_own_part)
{
    weft_group g = WEFT_GROUP_INIT;

    begin_waiting(3);
    for (intptr_t i = 0; i < WINDOWS; i++)
        weft_group_go(&g, look_at_mutex_in, (void *)i);
    CHECK_EQ(weft_group_wait(&g), 0);
}

/* Locks ---------------------------------------------------------------------------------------- */

NOINLINE void reads_it_here(void *arg);
NOINLINE void reads_it_here(void *arg)
{
    (void)arg;
    weft_rwmutex_read_lock(&rw);
    weft_rwmutex_read_unlock(&rw);
    __asm__ volatile("");
}

static void write_for_three(void *arg)
{
    (void)arg;
    weft_rwmutex_lock(&rw);
    weft_sleep(3 * WEFT_SECOND);
    weft_rwmutex_unlock(&rw);
}

TEST(each_reader_that_a_writer_lets_in_makes_a_pair)
{
    weft_profile_set_mutex_rate(1);
    weft_go(write_for_three, NULL);
    settle();
    go_many(TASKS, reads_it_here, NULL);
    weft_sleep(WEFT_SECOND);
    CHECK_EQ(window("contention", 10 * WEFT_SECOND, "\treads_it_here+"),
             TASKS * (2 * WEFT_SECOND - SETTLED));
}

static void read_for_ever(void *arg)
{
    (void)arg;
    weft_rwmutex_read_lock(&rw);
    weft_sleep(1000 * WEFT_SECOND);
}

NOINLINE void writes_it_here(void *arg);
NOINLINE void writes_it_here(void *arg)
{
    (void)arg;
    weft_rwmutex_lock(&rw);
    __asm__ volatile("");
}

TEST(waits_for_readers_count_though_no_holder_is_known)
{
    weft_profile_set_mutex_rate(1);
    weft_go(read_for_ever, NULL);
    settle();
    go_many(TASKS, writes_it_here, NULL);
    settle();
    CHECK_EQ(window("contention", WEFT_SECOND, "\twrites_it_here+"), TASKS * WEFT_SECOND);
    CHECK_EQ(window("mutex", WEFT_SECOND, "0x0"), TASKS * WEFT_SECOND);
}

/* Rows ----------------------------------------------------------------------------------------- */

static int rows_with(const char *text, const char *frame)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, frame)) != NULL; at++)
        n++;
    return n;
}

NOINLINE void waits_on_its_own_here(void *c);
NOINLINE void waits_on_its_own_here(void *c)
{
    weft_chan_recv(c, NULL);
    __asm__ volatile("");
}

static void go_to_channels_of_their_own(int n)
{
    for (int i = 0; i < n; i++)
        weft_go(waits_on_its_own_here, weft_chan_new(1, 0));
}

TEST(waits_at_one_place_are_one_row_whatever_they_wait_for)
{
    char *text;

    weft_profile_set_block_rate(1);
    go_to_channels_of_their_own(1000);
    weft_sleep(WEFT_SECOND);
    text = profile_text("block", (weft_profile_options){0});
    CHECK_EQ(rows_with(text, "\twaits_on_its_own_here+"), 1);
    CHECK_EQ(time_in(text, "\twaits_on_its_own_here+"), 1000 * WEFT_SECOND);
    free(text);
}

/* 900 tasks that wait for a year sum up to three times what 64 bits of nanoseconds hold. */
TEST(sums_beyond_64_bits_are_cut_and_all_others_stay)
{
    char *text;

    never = weft_chan_new(1, 0);
    go_to_channels_of_their_own(900);
    weft_sleep(365 * 86400 * WEFT_SECOND);
    go_many(TASKS, waits_for_ever_here, NULL);
    weft_sleep(WEFT_SECOND);
    text = profile_text("block", (weft_profile_options){0});
    CHECK_EQ(time_in(text, "\twaits_for_ever_here+"), TASKS * WEFT_SECOND);
    CHECK_EQ(time_in(text, "\twaits_on_its_own_here+"), INT64_MAX - TASKS * WEFT_SECOND);
    free(text);
}

/* A waiter that loses to a barger makes a pair with each of the two holders, for its own time. */
TEST(waiter_that_lost_is_not_counted_again)
{
    char *text;

    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    weft_mutex_lock(&mutex);
    weft_go(wants_it_here, NULL);
    weft_sleep(WEFT_SECOND);
    lets_go_here(); /* wakes it */
    if (!weft_mutex_trylock(&mutex))
        SKIP("the waiter ran before this thread went on");
    weft_sleep(WEFT_SECOND);
    lets_go_here();
    settle();
    text = profile_text("contention", (weft_profile_options){0});
    CHECK_EQ(time_in(text, "\twants_it_here+"), 2 * WEFT_SECOND);
    free(text);
    text = profile_text("block", (weft_profile_options){0});
    CHECK_EQ(time_in(text, "\twants_it_here+"), 2 * WEFT_SECOND);
    free(text);
}

/* Waits that go on do not count again the time that an unlock was charged with. */
TEST(holder_answers_for_what_was_waited_since_the_last_charge)
{
    char *text;

    weft_profile_set_mutex_rate(1);
    weft_go(hold_for, (void *)1);
    settle();
    weft_go(hold_for, (void *)1000);
    settle();
    go_many(TASKS, wants_it_here, NULL);
    weft_sleep(3 * WEFT_SECOND);
    text = profile_text("mutex", (weft_profile_options){0});
    CHECK_EQ(time_in(text, "\tlets_go_here+"), (TASKS + 1) * (WEFT_SECOND - SETTLED) - TASKS);
    CHECK_EQ(time_in(text, "\tholds_here+"), TASKS * (2 * WEFT_SECOND + 2 * SETTLED));
    free(text);
}
