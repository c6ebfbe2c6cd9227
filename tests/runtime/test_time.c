/* SPDX-License-Identifier: MIT */
/* test_time.c - sleep, timers, tickers, on a clock that moves only when every task waits. */
#include "support.h"

VIRTUAL_CLOCK;

#define S WEFT_SECOND

static bool recv_now(weft_chan *c, weft_time *at)
{
    return weft_chan_recv_until(c, at, WEFT_NOW) == 0;
}

/* ---- sleep ---- */

TEST(sleep_ends_at_the_instant)
{
    weft_time start = weft_now();

    CHECK_EQ(weft_sleep(3 * S), 0);
    CHECK_EQ(weft_now(), start + 3 * S);
    CHECK_EQ(weft_sleep_until(start + 4 * S), 0);
    CHECK_EQ(weft_now(), start + 4 * S);
    CHECK_EQ(weft_sleep_until(start), 0);
    CHECK_EQ(weft_sleep(0), 0);
    CHECK_EQ(weft_sleep(-S), 0);
    CHECK_EQ(weft_now(), start + 4 * S);
}

TEST(after_saturates)
{
    CHECK_EQ(weft_after(INT64_MAX), WEFT_FOREVER);
    CHECK_EQ(weft_after(0), weft_now());
    CHECK_EQ(weft_after(S), weft_now() + S);
    CHECK(weft_after(INT64_MIN) <= weft_now());
}

static struct {
    weft_time start;
    atomic_int n;
    int order[100];
} woken;

static void sleep_and_note(void *number)
{
    int i = (int)(intptr_t)number;

    CHECK_EQ(weft_sleep_until(woken.start + (i + 1) * S), 0);
    CHECK_EQ(weft_now(), woken.start + (i + 1) * S);
    woken.order[atomic_fetch_add(&woken.n, 1)] = i;
}

TEST(sleepers_wake_in_the_order_of_their_instants)
{
    woken.start = weft_now();
    for (intptr_t i = 0; i < 100; i++)
        weft_go(sleep_and_note, (void *)(i * 37 % 100));
    weft_sleep_until(woken.start + 101 * S);
    CHECK_EQ(atomic_load(&woken.n), 100);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(woken.order[i], i);
}

static int sleep_result(void *arg)
{
    (void)arg;
    return weft_sleep(100 * S);
}

TEST(canceled_sleep_returns)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_time end = weft_after(S);

    weft_group_deadline(&g, end);
    weft_group_go(&g, sleep_result, NULL);
    CHECK_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
}

/* ---- timers ---- */

TEST(timer_sends_the_instant_it_fired)
{
    weft_timer *t = weft_timer_new();
    weft_time end = weft_after(S), at = 0;

    CHECK(!weft_timer_start(t, end));
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
    CHECK_EQ(at, end);
    CHECK_EQ(weft_now(), end);
    CHECK(!weft_timer_stop(t));
    CHECK(!recv_now(weft_timer_chan(t), &at));
    weft_timer_free(t);
}

TEST(timer_set_to_the_past_fires_at_once)
{
    weft_timer *t = weft_timer_new();
    weft_time now = weft_now(), at = 0;

    weft_timer_start(t, now - S);
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
    CHECK_EQ(weft_now(), now);
    weft_timer_start(t, WEFT_NOW);
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
    CHECK_EQ(weft_now(), now);
    weft_timer_free(t);
}

TEST(stopped_timer_does_not_fire)
{
    weft_timer *t = weft_timer_new();

    weft_timer_start(t, weft_after(S));
    CHECK(weft_timer_stop(t));
    CHECK(!weft_timer_stop(t));
    weft_sleep(2 * S);
    CHECK(!recv_now(weft_timer_chan(t), NULL));
    weft_timer_free(t);
}

/* As in Go 1.23: no value of an earlier setting is received. */
TEST(stop_of_a_fired_timer_takes_its_value_back)
{
    weft_timer *t = weft_timer_new();

    weft_timer_start(t, weft_after(S));
    weft_sleep(2 * S);
    CHECK(weft_timer_stop(t));
    CHECK(!recv_now(weft_timer_chan(t), NULL));
    CHECK(!weft_timer_stop(t));
    weft_timer_free(t);
}

TEST(start_of_a_fired_timer_takes_its_value_back)
{
    weft_timer *t = weft_timer_new();
    weft_time end, at = 0;

    weft_timer_start(t, weft_after(S));
    weft_sleep(2 * S);
    end = weft_after(S);
    CHECK(weft_timer_start(t, end));
    CHECK(!recv_now(weft_timer_chan(t), NULL));
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
    CHECK_EQ(at, end);
    weft_timer_free(t);
}

TEST(start_moves_an_active_timer)
{
    weft_timer *t = weft_timer_new();
    weft_time start = weft_now(), at = 0;

    weft_timer_start(t, start + 5 * S);
    CHECK(weft_timer_start(t, start + 2 * S));
    CHECK(weft_timer_start(t, start + 3 * S));
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
    CHECK_EQ(at, start + 3 * S);
    weft_sleep(10 * S);
    CHECK(!recv_now(weft_timer_chan(t), NULL));
    weft_timer_free(t);
}

TEST(timer_set_to_forever_is_set)
{
    weft_timer *t = weft_timer_new();

    CHECK(!weft_timer_start(t, WEFT_FOREVER));
    CHECK(weft_timer_start(t, WEFT_FOREVER));
    CHECK(weft_timer_stop(t));
    CHECK(!weft_timer_stop(t));
    weft_timer_start(t, WEFT_FOREVER);
    CHECK(weft_timer_start(t, weft_after(S)));
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
    weft_timer_start(t, WEFT_FOREVER);
    weft_timer_free(t);
}

TEST_DIES(timer_that_never_fires_wakes_nobody, 2, "all goroutines are asleep")
{
    weft_timer *t = weft_timer_new();

    weft_timer_start(t, WEFT_FOREVER);
    weft_chan_recv(weft_timer_chan(t), NULL);
}

TEST(free_stops_a_timer)
{
    for (int i = 0; i < 100; i++) {
        weft_timer *t = weft_timer_new();

        weft_timer_start(t, weft_after(i % 3));
        if (i % 2)
            weft_sleep(1);
        weft_timer_free(t);
    }
    weft_timer_free(NULL);
}

static atomic_int fired;

static void note_fired(void *order)
{
    woken.order[atomic_fetch_add(&fired, 1)] = (int)(intptr_t)order;
}

TEST(timer_with_a_function_runs_it_as_a_task)
{
    weft_timer *t = weft_timer_new_func(note_fired, (void *)3);

    CHECK(weft_timer_chan(t) == NULL);
    CHECK(!weft_timer_start(t, weft_after(S)));
    weft_sleep(2 * S);
    CHECK_EQ(atomic_load(&fired), 1);
    CHECK_EQ(woken.order[0], 3);
    CHECK(!weft_timer_stop(t));
    CHECK(!weft_timer_start(t, weft_after(S)));
    CHECK(weft_timer_stop(t));
    weft_sleep(2 * S);
    CHECK_EQ(atomic_load(&fired), 1);
    weft_timer_free(t);
}

TEST(functions_of_timers_run_in_the_order_of_their_instants)
{
    enum { N = 50 };
    weft_timer *t[N];
    weft_time start = weft_now();

    for (intptr_t i = 0; i < N; i++) {
        t[i] = weft_timer_new_func(note_fired, (void *)i);
        weft_timer_start(t[i], start + (1 + i * 29 % N) * S);
    }
    weft_sleep((N + 1) * S);
    CHECK_EQ(atomic_load(&fired), N);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(woken.order[i] * 29 % N, i);
        weft_timer_free(t[i]);
    }
}

/* stop says which side won: a value is received, or stop took it, never both or neither. */
static struct {
    weft_timer *timer;
    atomic_int received;
} race;

static void recv_ticks(void *quit)
{
    weft_case on[] = {weft_on_recv(weft_timer_chan(race.timer), NULL), weft_on_recv(quit, NULL)};

    while (weft_select(on, 2) == 0)
        atomic_fetch_add(&race.received, 1);
}

TEST(stop_tells_exactly_whether_the_value_was_received)
{
    enum { ROUNDS = 2000 };
    weft_chan *quit = weft_chan_new(0, 0);
    int stopped = 0;

    race.timer = weft_timer_new();
    weft_go(recv_ticks, quit);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(!weft_timer_start(race.timer, weft_after(i % 2)));
        if (i % 3)
            weft_yield();
        stopped += weft_timer_stop(race.timer);
    }
    weft_chan_close(quit);
    settle();
    CHECK_EQ(stopped + atomic_load(&race.received), ROUNDS);
    weft_timer_free(race.timer);
    weft_chan_free(quit);
}

/* Go's TestConcurrentTimerReset and Stop. */
static atomic_int hammers;

static void hammer(void *arg)
{
    for (int i = 0; i < 500; i++) {
        if (arg)
            weft_timer_start(race.timer, weft_after(i % 5));
        else
            weft_timer_stop(race.timer);
        if (i % 7 == 0)
            weft_yield();
    }
    atomic_fetch_add(&hammers, 1);
}

TEST(timer_may_be_reset_and_stopped_by_many)
{
    race.timer = weft_timer_new();
    go_many(5, hammer, &race);
    go_many(5, hammer, NULL);
    settle();
    CHECK_EQ(atomic_load(&hammers), 10);
    weft_timer_stop(race.timer);
    weft_sleep(S);
    CHECK(!recv_now(weft_timer_chan(race.timer), NULL));
    weft_timer_free(race.timer);
}

/* ---- tickers ---- */

TEST(ticker_ticks_every_period)
{
    weft_time start = weft_now(), at = 0;
    weft_ticker *k = weft_ticker_new(S);

    for (int i = 1; i <= 10; i++) {
        CHECK_EQ(weft_chan_recv(weft_ticker_chan(k), &at), 0);
        CHECK_EQ(at, start + i * S);
    }
    weft_ticker_free(k);
    weft_ticker_free(NULL);
}

TEST(late_receiver_misses_ticks_and_keeps_the_rhythm)
{
    weft_time start = weft_now(), at = 0;
    weft_ticker *k = weft_ticker_new(S);

    weft_sleep_until(start + 5 * S + S / 2);
    CHECK_EQ(weft_chan_recv(weft_ticker_chan(k), &at), 0);
    CHECK_EQ(at, start + S);
    CHECK_EQ(weft_chan_recv(weft_ticker_chan(k), &at), 0);
    CHECK_EQ(at, start + 6 * S);
    weft_ticker_free(k);
}

TEST_DIES(ticker_of_an_endless_period_never_ticks, 2, "all goroutines are asleep")
{
    weft_ticker *k = weft_ticker_new(INT64_MAX - 1);

    weft_chan_recv(weft_ticker_chan(k), NULL);
}

TEST(ticker_period_may_reach_past_the_end_of_time)
{
    weft_duration most = WEFT_FOREVER - 1 - weft_now();
    weft_ticker *k = weft_ticker_new(most);

    CHECK_EQ(weft_chan_recv(weft_ticker_chan(k), NULL), 0);
    CHECK_EQ(weft_now(), WEFT_FOREVER - 1);
    weft_ticker_free(k);
}

TEST(stopped_ticker_is_silent)
{
    weft_ticker *k = weft_ticker_new(S);

    weft_sleep(3 * S);
    weft_ticker_stop(k);
    CHECK(!recv_now(weft_ticker_chan(k), NULL));
    weft_sleep(3 * S);
    CHECK(!recv_now(weft_ticker_chan(k), NULL));
    weft_ticker_free(k);
}

TEST(ticker_start_sets_a_new_period_from_now)
{
    weft_ticker *k = weft_ticker_new(S);
    weft_time start, at = 0;

    weft_sleep(3 * S);
    start = weft_now();
    weft_ticker_start(k, 4 * S);
    CHECK(!recv_now(weft_ticker_chan(k), NULL));
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(weft_chan_recv(weft_ticker_chan(k), &at), 0);
        CHECK_EQ(at, start + 4 * i * S);
    }
    weft_ticker_stop(k);
    weft_ticker_start(k, S);
    CHECK_EQ(weft_chan_recv(weft_ticker_chan(k), &at), 0);
    CHECK_EQ(at, start + 13 * S);
    weft_ticker_free(k);
}

static weft_ticker *shared;

static void hammer_ticker(void *arg)
{
    for (int i = 0; i < 300; i++) {
        if (arg)
            weft_ticker_start(shared, 1 + i % 5);
        else
            weft_ticker_stop(shared);
        if (i % 7 == 0)
            weft_sleep(1);
    }
    atomic_fetch_add(&hammers, 1);
}

TEST(ticker_may_be_reset_and_stopped_by_many)
{
    shared = weft_ticker_new(1);
    go_many(3, hammer_ticker, &shared);
    go_many(3, hammer_ticker, NULL);
    while (atomic_load(&hammers) < 6)
        weft_sleep(100);
    weft_ticker_stop(shared);
    weft_sleep(S);
    CHECK(!recv_now(weft_ticker_chan(shared), NULL));
    weft_ticker_free(shared);
}

TEST(many_timers_fire_each_once)
{
    enum { N = 2000 };
    static weft_timer *t[N];
    weft_time start = weft_now();

    for (int i = 0; i < N; i++) {
        t[i] = weft_timer_new();
        weft_timer_start(t[i], start + 1 + i * 7919 % N);
    }
    for (int i = 0; i < N; i += 2)
        CHECK(weft_timer_stop(t[i]));
    weft_sleep_until(start + N + 1);
    for (int i = 0; i < N; i++) {
        weft_time at = 0;

        CHECK_EQ(recv_now(weft_timer_chan(t[i]), &at), i % 2);
        CHECK_EQ(at, i % 2 ? start + 1 + i * 7919 % N : 0);
        weft_timer_free(t[i]);
    }
}

static void waits_in_a_task_of_a_timer(void *arg)
{
    weft_chan_recv(arg, NULL);
}

static __attribute__((noinline)) void sets_a_timer(void *arg)
{
    weft_timer_start(arg, WEFT_NOW);
    __asm__ volatile("");
}

TEST(task_of_a_timer_was_created_by_the_task_that_set_it_last)
{
    weft_chan *never = weft_chan_new(1, 0);
    weft_timer *t = weft_timer_new_func(waits_in_a_task_of_a_timer, never);

    weft_timer_start(t, weft_after(S));
    weft_go(sets_a_timer, t);
    wait_for_dump("\ncreated by sets_a_timer in goroutine 2\n");
    weft_timer_free(t);
}

static weft_timer *kept_timer;
static weft_ticker *kept_ticker;

static int keeps_its_timers(void *arg)
{
    (void)arg;
    kept_timer = weft_timer_new();
    weft_timer_start(kept_timer, weft_after(WEFT_SECOND));
    kept_ticker = weft_ticker_new(WEFT_SECOND);
    return 0;
}

TEST_PLAIN(timers_may_be_made_before_a_run_and_freed_after_it)
{
    weft_timer *early = weft_timer_new();

    CHECK_EQ(weft_run(keeps_its_timers, NULL), 0);
    weft_timer_free(early);
    weft_timer_free(kept_timer);
    weft_ticker_free(kept_ticker);
}
