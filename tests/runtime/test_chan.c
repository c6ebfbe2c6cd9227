/* SPDX-License-Identifier: MIT */
/* test_chan.c - channels: order, hand-over, closing, deadlines; behaviours of Go's test/chan. */
#include "support.h"

#include <string.h>

WEFT_CHAN_TYPE(ints, int);

VIRTUAL_CLOCK;

/* ---- what tasks of several tests do ---- */

static void send_seven(void *c)
{
    CHECK_EQ(ints_send(c, 7), 0);
}

struct numbers {
    ints *to;
    int n;
};

static void send_numbers(void *arg)
{
    struct numbers *s = arg;

    for (int i = 0; i < s->n; i++)
        CHECK_EQ(ints_send(s->to, i), 0);
    ints_close(s->to);
}

/* ---- send and recv ---- */

static atomic_int received;

static void recv_and_note(void *c)
{
    int v = 0;

    CHECK_EQ(ints_recv(c, &v), 0);
    atomic_store(&received, v);
}

TEST(unbuffered_send_waits_for_its_receiver)
{
    ints *c = ints_new(0);
    int v = 0;

    weft_go(send_seven, c);
    settle();
    CHECK_EQ(weft_chan_len(ints_raw(c)), 0);
    CHECK_EQ(ints_recv(c, &v), 0);
    CHECK_EQ(v, 7);
    ints_free(c);
}

TEST(unbuffered_recv_waits_for_its_sender)
{
    ints *c = ints_new(0);

    weft_go(recv_and_note, c);
    settle();
    CHECK_EQ(atomic_load(&received), 0);
    CHECK_EQ(ints_send(c, 9), 0);
    settle();
    CHECK_EQ(atomic_load(&received), 9);
    ints_free(c);
}

TEST(buffered_values_come_in_order)
{
    enum { N = 10 };
    ints *c = ints_new(N);
    int v;

    for (int i = 0; i < N; i++)
        CHECK_EQ(ints_send(c, i), 0);
    CHECK_EQ(ints_send_until(c, N, WEFT_NOW), WEFT_ETIMEDOUT);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(ints_recv(c, &v), 0);
        CHECK_EQ(v, i);
    }
    CHECK_EQ(ints_recv_until(c, &v, WEFT_NOW), WEFT_ETIMEDOUT);
    ints_free(c);
}

static void values_in_order(size_t cap)
{
    ints *c = ints_new(cap);
    struct numbers s = {c, 5000};
    int v, next = 0;

    weft_go(send_numbers, &s);
    while (ints_recv(c, &v) == 0)
        CHECK_EQ(v, next++);
    CHECK_EQ(next, 5000);
    ints_free(c);
}

TEST(values_of_one_sender_come_in_order)
{
    values_in_order(0);
    values_in_order(1);
    values_in_order(7);
    values_in_order(1000);
}

struct link {
    ints *in, *out;
    int turn;
};

static void pass_on_in_turn(void *arg)
{
    struct link *k = arg;
    int v;

    CHECK_EQ(ints_recv(k->in, &v), 0);
    CHECK_EQ(v, k->turn);
    CHECK_EQ(ints_send(k->out, v + 1), 0);
}

TEST(chain_of_tasks_runs_from_its_head)
{
    enum { N = 2000 };
    static struct link links[N];
    static ints *c[N + 1];
    int v;

    for (int i = 0; i <= N; i++)
        c[i] = ints_new(0);
    for (int i = 0; i < N; i++) {
        links[i] = (struct link){c[i], c[i + 1], i};
        weft_go(pass_on_in_turn, &links[i]);
    }
    CHECK_EQ(ints_send(c[0], 0), 0);
    CHECK_EQ(ints_recv(c[N], &v), 0);
    CHECK_EQ(v, N);
    for (int i = 0; i <= N; i++)
        ints_free(c[i]);
}

static struct {
    ints *c;
    int got[5];
} order;

static void recv_at(void *slot)
{
    CHECK_EQ(ints_recv(order.c, slot), 0);
}

TEST(waiting_receivers_are_served_in_order)
{
    order.c = ints_new(0);
    for (int i = 0; i < 5; i++) {
        weft_go(recv_at, &order.got[i]);
        settle();
    }
    for (int i = 0; i < 5; i++)
        CHECK_EQ(ints_send(order.c, 10 + i), 0);
    settle();
    for (int i = 0; i < 5; i++)
        CHECK_EQ(order.got[i], 10 + i);
    ints_free(order.c);
}

static void send_at(void *slot)
{
    CHECK_EQ(ints_send(order.c, *(int *)slot), 0);
}

static void senders_in_order(size_t cap)
{
    int v;

    order.c = ints_new(cap);
    for (int i = 0; i < 5; i++) {
        order.got[i] = i;
        weft_go(send_at, &order.got[i]);
        settle();
    }
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(ints_recv(order.c, &v), 0);
        CHECK_EQ(v, i);
    }
    settle();
    ints_free(order.c);
}

TEST(waiting_senders_are_served_in_order)
{
    senders_in_order(0);
    senders_in_order(1);
    senders_in_order(2);
}

TEST(recv_without_a_place_drops_the_value)
{
    ints *c = ints_new(1);

    CHECK_EQ(ints_send(c, 1), 0);
    CHECK_EQ(ints_recv(c, NULL), 0);
    weft_go(send_seven, c);
    settle();
    CHECK_EQ(ints_recv(c, NULL), 0);
    CHECK_EQ(weft_chan_len(ints_raw(c)), 0);
    ints_free(c);
}

static void recv_nowhere(void *c)
{
    CHECK_EQ(weft_chan_recv(c, NULL), 0);
}

TEST(waiting_recv_without_a_place_drops_the_value)
{
    weft_chan *c = weft_chan_new(sizeof(int), 0);

    weft_go(recv_nowhere, c);
    settle();
    CHECK_EQ(weft_chan_send(c, &(int){1}), 0);
    settle();
    weft_chan_free(c);
}

TEST(len_and_cap_tell_the_buffer)
{
    ints *c = ints_new(3), *sync = ints_new(0);

    CHECK_EQ(weft_chan_cap(ints_raw(c)), 3);
    CHECK_EQ(weft_chan_cap(ints_raw(sync)), 0);
    CHECK_EQ(weft_chan_len(ints_raw(c)), 0);
    ints_send(c, 1);
    ints_send(c, 2);
    CHECK_EQ(weft_chan_len(ints_raw(c)), 2);
    ints_recv(c, NULL);
    CHECK_EQ(weft_chan_len(ints_raw(c)), 1);
    CHECK_EQ(weft_chan_len(NULL), 0);
    CHECK_EQ(weft_chan_cap(NULL), 0);
    ints_free(c);
    ints_free(sync);
}

TEST(values_of_no_size_are_counted)
{
    weft_chan *c = weft_chan_new(0, 2);
    char nothing;

    CHECK_EQ(weft_chan_send(c, &nothing), 0);
    CHECK_EQ(weft_chan_send(c, &nothing), 0);
    CHECK_EQ(weft_chan_send_until(c, &nothing, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_chan_recv(c, &nothing), 0);
    CHECK_EQ(weft_chan_recv(c, NULL), 0);
    CHECK_EQ(weft_chan_recv_until(c, NULL, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_chan_free(c);
}

struct big {
    unsigned char bytes[3001];
};
WEFT_CHAN_TYPE(bigs, struct big);

static void send_bigs(void *c)
{
    struct big b;

    for (int i = 0; i < 20; i++) {
        memset(b.bytes, i, sizeof(b.bytes));
        CHECK_EQ(bigs_send(c, b), 0);
    }
}

static void big_values_arrive_whole(size_t cap)
{
    bigs *c = bigs_new(cap);
    struct big want, got;

    weft_go(send_bigs, c);
    for (int i = 0; i < 20; i++) {
        memset(want.bytes, i, sizeof(want.bytes));
        CHECK_EQ(bigs_recv(c, &got), 0);
        CHECK(memcmp(want.bytes, got.bytes, sizeof(got.bytes)) == 0);
    }
    settle();
    bigs_free(c);
}

TEST(values_of_odd_large_size_arrive_whole)
{
    big_values_arrive_whole(0);
    big_values_arrive_whole(3);
}

/* ---- WEFT_NOW: Go's select with a default clause ---- */

TEST(send_now_without_receiver_times_out)
{
    ints *c = ints_new(0);

    CHECK_EQ(ints_send_until(c, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(ints_recv_until(c, NULL, WEFT_NOW), WEFT_ETIMEDOUT);
    weft_go(recv_and_note, c);
    settle();
    CHECK_EQ(ints_send_until(c, 5, WEFT_NOW), 0);
    settle();
    CHECK_EQ(atomic_load(&received), 5);
    ints_free(c);
}

TEST(recv_now_takes_from_a_waiting_sender)
{
    ints *c = ints_new(0);
    int v = 3;

    CHECK_EQ(ints_recv_until(c, &v, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(v, 3);
    weft_go(send_seven, c);
    settle();
    CHECK_EQ(ints_recv_until(c, &v, WEFT_NOW), 0);
    CHECK_EQ(v, 7);
    ints_free(c);
}

static void send_now_until_it_works(void *c)
{
    for (int i = 0; i < 1000; i++) {
        while (ints_send_until(c, i, WEFT_NOW) != 0)
            weft_yield();
    }
}

static void nonblocking_at(size_t cap)
{
    ints *c = ints_new(cap);
    int v;

    weft_go(send_now_until_it_works, c);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(ints_recv(c, &v), 0);
        CHECK_EQ(v, i);
    }
    settle();
    ints_free(c);
}

TEST(sends_that_never_wait_reach_a_receiver_that_does)
{
    nonblocking_at(0);
    nonblocking_at(1);
    nonblocking_at(10);
    nonblocking_at(100);
}

/* ---- closing ---- */

TEST(recv_on_closed_and_drained_returns_eclosed)
{
    ints *c = ints_new(0);
    int v = 7;

    ints_close(c);
    CHECK_EQ(ints_recv(c, &v), WEFT_ECLOSED);
    CHECK_EQ(v, 0);
    v = 7;
    CHECK_EQ(ints_recv_until(c, &v, WEFT_NOW), WEFT_ECLOSED);
    CHECK_EQ(v, 0);
    CHECK_EQ(ints_recv(c, NULL), WEFT_ECLOSED);
    ints_free(c);
}

TEST(send_on_closed_channel_returns_eclosed)
{
    ints *sync = ints_new(0), *buffered = ints_new(2);

    ints_send(buffered, 1);
    ints_close(sync);
    ints_close(buffered);
    CHECK_EQ(ints_send(sync, 1), WEFT_ECLOSED);
    CHECK_EQ(ints_send_until(sync, 1, WEFT_NOW), WEFT_ECLOSED);
    CHECK_EQ(ints_send(buffered, 1), WEFT_ECLOSED);
    CHECK_EQ(weft_chan_len(ints_raw(buffered)), 1);
    ints_free(sync);
    ints_free(buffered);
}

TEST(buffered_values_outlive_the_close)
{
    ints *c = ints_new(2);
    int v = 0;

    ints_send(c, 1);
    ints_send(c, 2);
    ints_close(c);
    CHECK_EQ(ints_recv(c, &v), 0);
    CHECK_EQ(v, 1);
    CHECK_EQ(ints_recv(c, &v), 0);
    CHECK_EQ(v, 2);
    CHECK_EQ(ints_recv(c, &v), WEFT_ECLOSED);
    CHECK_EQ(v, 0);
    ints_free(c);
}

static atomic_int closed_seen;

static void recv_the_close(void *c)
{
    int v = 7;

    CHECK_EQ(ints_recv(c, &v), WEFT_ECLOSED);
    CHECK_EQ(v, 0);
    atomic_fetch_add(&closed_seen, 1);
}

TEST(close_wakes_every_waiting_receiver)
{
    ints *c = ints_new(0);

    go_many(100, recv_the_close, c);
    settle();
    ints_close(c);
    settle();
    CHECK_EQ(atomic_load(&closed_seen), 100);
    ints_free(c);
}

static atomic_int beside;

static void run_beside(void *stop)
{
    while (!atomic_load((atomic_int *)stop)) {
        atomic_fetch_add(&beside, 1);
        weft_yield();
    }
}

TEST(close_lets_others_run_while_it_wakes_many)
{
    enum { MANY = 5000 };
    static atomic_int stop;
    ints *c = ints_new(0);
    int before;

    go_many(MANY, recv_the_close, c);
    settle();
    weft_go(run_beside, &stop);
    wait_for(&beside, 1);
    before = atomic_load(&beside);
    ints_close(c);
    CHECK(atomic_load(&beside) - before > 10);
    atomic_store(&stop, 1);
    settle();
    CHECK_EQ(atomic_load(&closed_seen), MANY);
    ints_free(c);
}

/* Most receivers give up while the close is busy with the others. The last one to return frees the
 * channel. One receiver waits for the close, so that it has begun by then. */
static struct {
    ints *c;
    atomic_int left;
} leaving;

static void leave_at(void *deadline)
{
    int v, rc = ints_recv_until(leaving.c, &v, (weft_time)(intptr_t)deadline);

    CHECK(rc == WEFT_ECLOSED || rc == WEFT_ETIMEDOUT);
    if (atomic_fetch_sub(&leaving.left, 1) == 1)
        ints_free(leaving.c);
}

TEST(free_waits_for_the_end_of_a_close)
{
    enum { MANY = 400 };

    for (int round = 1; round <= 50; round++) {
        weft_time at = weft_after(WEFT_MILLISECOND);

        leaving.c = ints_new(0);
        atomic_store(&leaving.left, MANY + 1);
        weft_go(leave_at, (void *)(intptr_t)WEFT_FOREVER);
        go_many(MANY, leave_at, (void *)(intptr_t)at);
        weft_sleep_until(at);
        ints_close(leaving.c);
        settle();
        CHECK_EQ(atomic_load(&leaving.left), 0);
    }
}

static void send_into_the_close(void *c)
{
    CHECK_EQ(ints_send(c, 1), WEFT_ECLOSED);
    atomic_fetch_add(&closed_seen, 1);
}

TEST(close_wakes_every_waiting_sender)
{
    ints *sync = ints_new(0), *full = ints_new(1);
    int v = 0;

    ints_send(full, 5);
    go_many(50, send_into_the_close, sync);
    go_many(50, send_into_the_close, full);
    settle();
    ints_close(sync);
    ints_close(full);
    settle();
    CHECK_EQ(atomic_load(&closed_seen), 100);
    CHECK_EQ(ints_recv(full, &v), 0);
    CHECK_EQ(v, 5);
    CHECK_EQ(ints_recv(full, &v), WEFT_ECLOSED);
    ints_free(sync);
    ints_free(full);
}

/* ---- the channel that is none ---- */

TEST(nil_channel_waits_until_the_deadline)
{
    weft_time end = weft_after(WEFT_SECOND);

    CHECK_EQ(weft_chan_send_until(NULL, &end, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_chan_recv_until(NULL, NULL, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_chan_recv_until(NULL, NULL, end), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
    CHECK_EQ(weft_chan_send_until(NULL, &end, end + 5), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end + 5);
}

static int wait_on_nil(void *send)
{
    return send ? weft_chan_send(NULL, send) : weft_chan_recv(NULL, NULL);
}

TEST(nil_channel_waits_until_canceled)
{
    weft_group g = WEFT_GROUP_INIT;
    int v = 0;

    weft_group_go(&g, wait_on_nil, NULL);
    weft_group_go(&g, wait_on_nil, &v);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
}

/* ---- deadlines and cancellation ---- */

TEST(recv_ends_at_its_deadline_and_not_before)
{
    ints *c = ints_new(0);
    weft_time end = weft_after(3 * WEFT_SECOND);
    int v = 4;

    CHECK_EQ(ints_recv_until(c, &v, end), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
    CHECK_EQ(v, 4);
    CHECK_EQ(ints_send_until(c, 1, end + 10), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end + 10);
    ints_free(c);
}

TEST(timed_out_receiver_takes_no_value)
{
    ints *c = ints_new(0);

    CHECK_EQ(ints_recv_until(c, NULL, weft_after(1)), WEFT_ETIMEDOUT);
    CHECK_EQ(ints_send_until(c, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(ints_send_until(c, 1, weft_after(1)), WEFT_ETIMEDOUT);
    CHECK_EQ(ints_recv_until(c, NULL, WEFT_NOW), WEFT_ETIMEDOUT);
    ints_free(c);
}

TEST(value_before_the_deadline_is_received)
{
    ints *c = ints_new(0);
    weft_time start = weft_now();
    int v = 0;

    weft_go(send_seven, c);
    CHECK_EQ(ints_recv_until(c, &v, weft_after(WEFT_SECOND)), 0);
    CHECK_EQ(v, 7);
    CHECK_EQ(weft_now(), start);
    ints_free(c);
}

static int recv_result(void *c)
{
    int v = 7, rc = ints_recv(c, &v);

    CHECK_EQ(v, 7);
    return rc;
}

static int send_result(void *c)
{
    return ints_send(c, 1);
}

TEST(canceled_waits_return_and_leave_the_channel)
{
    weft_group g = WEFT_GROUP_INIT;
    ints *c = ints_new(0), *full = ints_new(1);
    int v;

    ints_send(full, 3);
    weft_group_go(&g, recv_result, c);
    weft_group_go(&g, send_result, full);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    CHECK_EQ(ints_send_until(c, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(ints_recv(full, &v), 0);
    CHECK_EQ(ints_recv_until(full, &v, WEFT_NOW), WEFT_ETIMEDOUT);
    ints_free(c);
    ints_free(full);
}

/* ---- many tasks ---- */

enum { TASKS = 8, VALUES = 2000 };

static struct {
    ints *c;
    atomic_int sum[VALUES];
    weft_waitgroup senders, receivers;
} crowd;

static void crowd_send(void *arg)
{
    (void)arg;
    for (int i = 0; i < VALUES; i++)
        CHECK_EQ(ints_send(crowd.c, i), 0);
    weft_waitgroup_done(&crowd.senders);
}

static void crowd_recv(void *arg)
{
    int v;

    (void)arg;
    while (ints_recv(crowd.c, &v) == 0)
        atomic_fetch_add(&crowd.sum[v], 1);
    weft_waitgroup_done(&crowd.receivers);
}

static void crowd_at(size_t cap)
{
    crowd.c = ints_new(cap);
    weft_waitgroup_add(&crowd.senders, TASKS);
    weft_waitgroup_add(&crowd.receivers, TASKS);
    go_many(TASKS, crowd_recv, NULL);
    go_many(TASKS, crowd_send, NULL);
    CHECK_EQ(weft_waitgroup_wait(&crowd.senders), 0);
    ints_close(crowd.c);
    CHECK_EQ(weft_waitgroup_wait(&crowd.receivers), 0);
    for (int i = 0; i < VALUES; i++)
        CHECK_EQ(atomic_exchange(&crowd.sum[i], 0), TASKS);
    ints_free(crowd.c);
}

TEST(no_value_is_lost_or_doubled_among_many)
{
    crowd_at(0);
    crowd_at(1);
    crowd_at(100);
}

static void count_from_two(void *to)
{
    for (int i = 2; ints_send(to, i) == 0; i++)
        ;
}

static void sieve_out(void *arg)
{
    struct link k = *(struct link *)arg;
    int v;

    while (ints_recv(k.in, &v) == 0) {
        if (v % k.turn != 0 && ints_send(k.out, v) != 0)
            return;
    }
}

TEST(sieve_of_tasks_finds_the_primes)
{
    static const int primes[] = {2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};
    enum { N = sizeof(primes) / sizeof(*primes) };
    static struct link stages[N];
    ints *in = ints_new(0);
    int v;

    weft_go(count_from_two, in);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(ints_recv(in, &v), 0);
        CHECK_EQ(v, primes[i]);
        stages[i] = (struct link){in, ints_new(0), v};
        weft_go(sieve_out, &stages[i]);
        in = stages[i].out;
    }
}

static void running_sum(void *arg)
{
    struct link k = *(struct link *)arg;
    int v, sum = 0;

    while (ints_recv(k.in, &v) == 0)
        CHECK_EQ(ints_send(k.out, sum += v), 0);
    ints_close(k.out);
}

/* Sums of sums of 0, 1, 2...: binomial coefficients. */
TEST(pipeline_of_sums_yields_binomials)
{
    enum { STAGES = 3, N = 100 };
    static struct link stages[STAGES];
    struct numbers s = {ints_new(0), N};
    ints *in = s.to;
    int v;

    weft_go(send_numbers, &s);
    for (int i = 0; i < STAGES; i++) {
        stages[i] = (struct link){in, ints_new((size_t)i), 0};
        weft_go(running_sum, &stages[i]);
        in = stages[i].out;
    }
    for (int n = 0; n < N; n++) {
        CHECK_EQ(ints_recv(in, &v), 0);
        CHECK_EQ(v, (long)(n + 3) * (n + 2) * (n + 1) * n / 24);
    }
    CHECK_EQ(ints_recv(in, &v), WEFT_ECLOSED);
}

struct question {
    int n;
    ints *answer;
};
WEFT_CHAN_TYPE(questions, struct question);

static void answer_questions(void *c)
{
    struct question q;

    while (questions_recv(c, &q) == 0)
        CHECK_EQ(ints_send(q.answer, 2 * q.n), 0);
}

TEST(channels_travel_over_channels)
{
    questions *c = questions_new(0);
    ints *mine = ints_new(0);
    int v;

    go_many(3, answer_questions, c);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(questions_send(c, (struct question){i, mine}), 0);
        CHECK_EQ(ints_recv(mine, &v), 0);
        CHECK_EQ(v, 2 * i);
    }
    questions_close(c);
    settle();
    questions_free(c);
    ints_free(mine);
}

/* A close races with senders. Each value is received, or its sender gets WEFT_ECLOSED. */
static struct {
    ints *c;
    atomic_int sent, refused;
} race;

static void send_till_closed(void *arg)
{
    (void)arg;
    while (ints_send(race.c, 1) == 0)
        atomic_fetch_add(&race.sent, 1);
    atomic_fetch_add(&race.refused, 1);
}

TEST(send_that_races_with_close_is_received_or_refused)
{
    int v, got = 0;

    race.c = ints_new(4);
    go_many(TASKS, send_till_closed, NULL);
    for (; got < 1000; got++)
        CHECK_EQ(ints_recv(race.c, &v), 0);
    ints_close(race.c);
    while (ints_recv(race.c, &v) == 0)
        got++;
    settle();
    CHECK_EQ(atomic_load(&race.refused), TASKS);
    CHECK_EQ(atomic_load(&race.sent), got);
    ints_free(race.c);
}
