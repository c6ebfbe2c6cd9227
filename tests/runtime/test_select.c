/* SPDX-License-Identifier: MIT */
/* test_select.c - select: readiness, choice, default, deadline, nil and repeated channels. */
#include "support.h"

#include <string.h>
#include <time.h>

WEFT_CHAN_TYPE(ints, int);

VIRTUAL_CLOCK;

/* ---- ready at once ---- */

TEST(select_takes_the_only_ready_case)
{
    ints *a = ints_new(1), *b = ints_new(1);
    int v = 0, w = 0;
    weft_case on[] = {weft_on_recv(ints_raw(a), &v), weft_on_recv(ints_raw(b), &w)};

    ints_send(b, 5);
    CHECK_EQ(weft_select(on, 2), 1);
    CHECK_EQ(on[1].result, 0);
    CHECK_EQ(w, 5);
    CHECK_EQ(v, 0);
    ints_free(a);
    ints_free(b);
}

TEST(select_now_is_a_default_clause)
{
    ints *a = ints_new(0), *b = ints_new(1);
    int v = 1;
    weft_case on[] = {weft_on_recv(ints_raw(a), &v), weft_on_send(ints_raw(b), &v)};

    CHECK_EQ(weft_select_until(on, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_select_until(on, 2, WEFT_NOW), 1);
    CHECK_EQ(weft_select_until(on, 2, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_chan_len(ints_raw(b)), 1);
    CHECK_EQ(v, 1);
    ints_free(a);
    ints_free(b);
}

TEST(select_of_no_cases_waits_for_the_deadline)
{
    weft_time end = weft_after(WEFT_SECOND);

    CHECK_EQ(weft_select_until(NULL, 0, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_select_until(NULL, 0, end), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
}

TEST(select_ends_at_its_deadline)
{
    ints *a = ints_new(0);
    weft_case on[] = {weft_on_recv(ints_raw(a), NULL), weft_on_recv(NULL, NULL)};
    weft_time end = weft_after(WEFT_SECOND);

    CHECK_EQ(weft_select_until(on, 2, end), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_now(), end);
    CHECK_EQ(ints_send_until(a, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    ints_free(a);
}

TEST(nil_channel_is_never_ready)
{
    ints *a = ints_new(1);
    int v = 1;
    weft_case on[] = {weft_on_recv(NULL, &v), weft_on_send(NULL, &v),
                      weft_on_recv(ints_raw(a), &v)};

    CHECK_EQ(weft_select_until(on, 2, WEFT_NOW), WEFT_ETIMEDOUT);
    ints_send(a, 4);
    CHECK_EQ(weft_select(on, 3), 2);
    CHECK_EQ(v, 4);
    on[2].chan = NULL;
    CHECK_EQ(weft_select_until(on, 3, weft_after(1)), WEFT_ETIMEDOUT);
    ints_free(a);
}

TEST(recv_case_on_closed_channel_is_ready)
{
    ints *a = ints_new(1);
    int v = 7;
    weft_case on[] = {weft_on_recv(ints_raw(a), &v)};

    ints_send(a, 3);
    ints_close(a);
    CHECK_EQ(weft_select(on, 1), 0);
    CHECK_EQ(on[0].result, 0);
    CHECK_EQ(v, 3);
    CHECK_EQ(weft_select(on, 1), 0);
    CHECK_EQ(on[0].result, WEFT_ECLOSED);
    CHECK_EQ(v, 0);
    ints_free(a);
}

TEST(send_case_on_closed_channel_is_ready_with_eclosed)
{
    ints *a = ints_new(1);
    int v = 7;
    weft_case on[] = {weft_on_recv(NULL, NULL), weft_on_send(ints_raw(a), &v)};

    ints_close(a);
    CHECK_EQ(weft_select(on, 2), 1);
    CHECK_EQ(on[1].result, WEFT_ECLOSED);
    CHECK_EQ(v, 7);
    ints_free(a);
}

/* Cases of a pattern: '+' stands for a channel that is always ready, '-' for one that never is, '0'
 * for none. The ready ones are two, and each is to be chosen in half of the rounds: 2 % off would
 * be six standard deviations. */
static void check_choice(const char *pattern)
{
    enum { ROUNDS = 100000, MOST = 64 };
    int n = (int)strlen(pattern), chosen[MOST] = {0};
    weft_case on[MOST];

    for (int i = 0; i < n; i++) {
        on[i] = weft_on_recv(pattern[i] == '0' ? NULL : weft_chan_new(sizeof(int), 1), NULL);
        if (pattern[i] == '+')
            weft_chan_close(on[i].chan);
    }
    for (int i = 0; i < ROUNDS; i++)
        chosen[weft_select(on, n)]++;
    for (int i = 0; i < n; i++) {
        if (pattern[i] != '+')
            CHECK_EQ(chosen[i], 0);
        else if (chosen[i] < ROUNDS * 49 / 100 || chosen[i] > ROUNDS * 51 / 100)
            FAIL("case %d of \"%s\" was chosen %d times of %d", i, pattern, chosen[i], ROUNDS);
        weft_chan_free(on[i].chan);
    }
}

TEST(ready_cases_are_chosen_equally_often)
{
    check_choice("++");
    check_choice("-++");
    check_choice("+-+");
    check_choice("0++");
    check_choice("+0-+");
    check_choice("+----------------------------+----");
}

/* ---- waiting ---- */

static void send_one(void *c)
{
    CHECK_EQ(ints_send(c, 1), 0);
}

TEST(waiting_select_is_woken_by_a_sender)
{
    ints *a = ints_new(0), *b = ints_new(0);
    int v = 0, w = 0;
    weft_case on[] = {weft_on_recv(ints_raw(a), &v), weft_on_recv(ints_raw(b), &w)};

    weft_go(send_one, b);
    CHECK_EQ(weft_select(on, 2), 1);
    CHECK_EQ(w, 1);
    CHECK_EQ(v, 0);
    CHECK_EQ(ints_send_until(a, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    settle();
    ints_free(a);
    ints_free(b);
}

static void recv_one(void *c)
{
    int v;

    CHECK_EQ(ints_recv(c, &v), 0);
    CHECK_EQ(v, 8);
}

TEST(waiting_select_is_woken_by_a_receiver)
{
    ints *a = ints_new(0), *full = ints_new(1);
    int v = 8;
    weft_case on[] = {weft_on_send(ints_raw(full), &v), weft_on_send(ints_raw(a), &v)};

    ints_send(full, 1);
    weft_go(recv_one, a);
    CHECK_EQ(weft_select(on, 2), 1);
    CHECK_EQ(on[1].result, 0);
    CHECK_EQ(weft_chan_len(ints_raw(full)), 1);
    settle();
    ints_free(a);
    ints_free(full);
}

static void close_it(void *c)
{
    ints_close(c);
}

TEST(close_wakes_a_waiting_select)
{
    ints *a = ints_new(0), *b = ints_new(0);
    int v = 7, w = 7;
    weft_case on[] = {weft_on_recv(ints_raw(a), &v), weft_on_recv(ints_raw(b), &w)};

    weft_go(close_it, a);
    CHECK_EQ(weft_select(on, 2), 0);
    CHECK_EQ(on[0].result, WEFT_ECLOSED);
    CHECK_EQ(v, 0);
    CHECK_EQ(w, 7);
    on[1].op = WEFT_CASE_SEND;
    on[0].chan = NULL;
    weft_go(close_it, b);
    CHECK_EQ(weft_select(on, 2), 1);
    CHECK_EQ(on[1].result, WEFT_ECLOSED);
    CHECK_EQ(w, 7);
    ints_free(a);
    ints_free(b);
}

static int select_result(void *c)
{
    weft_case on[] = {weft_on_recv(ints_raw(c), NULL)};

    return weft_select(on, 1);
}

TEST(canceled_select_returns_and_leaves_the_channel)
{
    weft_group g = WEFT_GROUP_INIT;
    ints *a = ints_new(0);

    weft_group_go(&g, select_result, a);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), WEFT_ECANCELED);
    CHECK_EQ(ints_send_until(a, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    ints_free(a);
}

/* ---- one channel in several cases ---- */

TEST(select_does_not_meet_itself)
{
    ints *a = ints_new(0);
    int v = 1, w = 2;
    weft_case on[] = {weft_on_send(ints_raw(a), &v), weft_on_recv(ints_raw(a), &w)};

    CHECK_EQ(weft_select_until(on, 2, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_select_until(on, 2, weft_after(1)), WEFT_ETIMEDOUT);
    CHECK_EQ(w, 2);
    ints_free(a);
}

struct meeting {
    ints *c;
    int sent, received;
};

/* Each turn is one send and one receive: either task may do either. */
static void meet(void *arg)
{
    struct meeting *m = arg;

    for (int i = 0; i < 1000; i++) {
        int v = i, w = -1;
        weft_case on[] = {weft_on_send(ints_raw(m->c), &v), weft_on_recv(ints_raw(m->c), &w)};

        if (weft_select(on, 2) == 0) {
            m->sent++;
        } else {
            m->received++;
            CHECK_EQ(w, i);
        }
    }
}

TEST(two_selects_meet_on_send_and_recv_of_one_channel)
{
    ints *c = ints_new(0);
    static struct meeting m, n;

    m.c = n.c = c;
    weft_go(meet, &m);
    weft_go(meet, &n);
    settle();
    CHECK_EQ(m.sent + m.received, 1000);
    CHECK_EQ(m.sent, n.received);
    CHECK_EQ(m.received, n.sent);
    ints_free(c);
}

TEST(channel_may_stand_in_many_cases)
{
    enum { N = 40 };
    ints *a = ints_new(0);
    int v[N] = {0}, sum = 0, at;
    weft_case on[N];

    for (int i = 0; i < N; i++)
        on[i] = weft_on_recv(ints_raw(a), &v[i]);
    weft_go(send_one, a);
    at = weft_select(on, N);
    CHECK(at >= 0 && at < N);
    for (int i = 0; i < N; i++)
        sum += v[i];
    CHECK_EQ(v[at], 1);
    CHECK_EQ(sum, 1);
    settle();
    CHECK_EQ(ints_send_until(a, 1, WEFT_NOW), WEFT_ETIMEDOUT);
    ints_free(a);
}

TEST(hundred_channels_in_one_select_each_reach_it)
{
    enum { N = 100 };
    static ints *c[N];
    static weft_case on[N];
    int v, at;

    for (int i = 0; i < N; i++) {
        c[i] = ints_new(0);
        on[i] = weft_on_recv(ints_raw(c[i]), &v);
        weft_go(send_one, c[i]);
    }
    for (int i = 0; i < N; i++) {
        at = weft_select(on, N);
        CHECK(at >= 0 && on[at].chan != NULL);
        CHECK_EQ(on[at].result, 0);
        on[at].chan = NULL;
    }
    settle();
    for (int i = 0; i < N; i++)
        ints_free(c[i]);
}

static double cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* The addresses of the channels fall: an insertion sort of them took 2.5 s. */
TEST(select_of_as_many_cases_as_there_may_be_is_quick)
{
    enum { N = UINT16_MAX };
    static weft_case on[N];
    static weft_chan *c[N];
    int v = 0, last = N - 1;
    double before;

    for (int i = 0; i < N; i++)
        c[i] = weft_chan_new(sizeof(int), 0);
    for (int i = 0; i < N; i++)
        on[i] = weft_on_recv(c[last - i], &v);
    before = cpu_seconds();
    CHECK_EQ(weft_select_until(on, N, weft_after(1)), WEFT_ETIMEDOUT);
    if (!under_asan() && !under_tsan())
        CHECK(cpu_seconds() - before < 0.5);
    weft_go(send_one, on[last].chan);
    CHECK_EQ(weft_select(on, N), last);
    CHECK_EQ(v, 1);
    for (int i = 0; i < N; i++)
        weft_chan_free(c[i]);
}

/* ---- many tasks; each value goes through exactly one case ---- */

enum { CHANS = 4, VALUES = 1000 };

static struct {
    ints *c[CHANS];
    atomic_int sent[CHANS], got[CHANS], done;
} mill;

/* The two orders of the cases would deadlock if channels were locked in the order of the cases. */
static void mill_cases(weft_case on[CHANS], bool up, int *elem, enum weft_case_op op)
{
    for (int i = 0; i < CHANS; i++) {
        weft_chan *c = ints_raw(mill.c[up ? i : CHANS - 1 - i]);

        on[i] = op == WEFT_CASE_SEND ? weft_on_send(c, elem) : weft_on_recv(c, elem);
    }
}

static void mill_send(void *up)
{
    weft_case on[CHANS];

    for (int i = 0; i < VALUES; i++) {
        int v = i, at;

        mill_cases(on, up != NULL, &v, WEFT_CASE_SEND);
        at = weft_select(on, CHANS);
        CHECK_EQ(on[at].result, 0);
        atomic_fetch_add(&mill.sent[up ? at : CHANS - 1 - at], 1);
    }
}

static void mill_recv(void *up)
{
    weft_case on[CHANS];

    for (int i = 0; i < VALUES; i++) {
        int v = -1, at;

        mill_cases(on, up != NULL, &v, WEFT_CASE_RECV);
        at = weft_select(on, CHANS);
        CHECK_EQ(on[at].result, 0);
        CHECK(v >= 0);
        atomic_fetch_add(&mill.got[up ? at : CHANS - 1 - at], 1);
    }
    atomic_fetch_add(&mill.done, 1);
}

static void mill_at(size_t cap)
{
    memset(&mill, 0, sizeof(mill));
    for (int i = 0; i < CHANS; i++)
        mill.c[i] = ints_new(cap);
    for (int i = 0; i < 4; i++) {
        weft_go(mill_send, i % 2 ? &mill : NULL);
        weft_go(mill_recv, i % 2 ? &mill : NULL);
    }
    settle();
    CHECK_EQ(atomic_load(&mill.done), 4);
    for (int i = 0; i < CHANS; i++) {
        CHECK_EQ(atomic_load(&mill.sent[i]), atomic_load(&mill.got[i]));
        ints_free(mill.c[i]);
    }
}

TEST(selects_on_both_ends_pair_up)
{
    mill_at(0);
    mill_at(1);
    mill_at(16);
}

/* Go's doubleselect: of two cases that could run, a waiting select runs exactly one. */
static struct {
    ints *c[2];
} twice;

static void offer_on_both(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * VALUES; i++) {
        weft_case on[] = {weft_on_send(ints_raw(twice.c[0]), &i),
                          weft_on_send(ints_raw(twice.c[1]), &i)};

        CHECK(weft_select(on, 2) >= 0);
    }
    ints_close(twice.c[0]);
    ints_close(twice.c[1]);
}

static atomic_int seen[2 * VALUES], drained;

static void drain(void *c)
{
    int v;

    while (ints_recv(c, &v) == 0)
        atomic_fetch_add(&seen[v], 1);
    atomic_fetch_add(&drained, 1);
}

TEST(select_sends_each_value_once)
{
    twice.c[0] = ints_new(0);
    twice.c[1] = ints_new(0);
    weft_go(drain, twice.c[0]);
    weft_go(drain, twice.c[1]);
    weft_go(offer_on_both, NULL);
    settle();
    CHECK_EQ(atomic_load(&drained), 2);
    for (int i = 0; i < 2 * VALUES; i++)
        CHECK_EQ(atomic_load(&seen[i]), 1);
    ints_free(twice.c[0]);
    ints_free(twice.c[1]);
}

/* The loser of a select race must not keep a value: two selects share a done channel. */
static void worker_with_quit(void *arg)
{
    ints **c = arg;
    int v;

    for (;;) {
        weft_case on[] = {weft_on_recv(ints_raw(c[0]), &v), weft_on_recv(ints_raw(c[1]), NULL)};

        if (weft_select(on, 2) == 1)
            break;
        CHECK_EQ(on[0].result, 0);
        atomic_fetch_add(&seen[v], 1);
    }
    atomic_fetch_add(&drained, 1);
}

TEST(quit_channel_ends_workers_that_select_on_it)
{
    ints *c[2] = {ints_new(0), ints_new(0)};

    go_many(5, worker_with_quit, c);
    for (int i = 0; i < VALUES; i++)
        CHECK_EQ(ints_send(c[0], i), 0);
    ints_close(c[1]);
    settle();
    CHECK_EQ(atomic_load(&drained), 5);
    for (int i = 0; i < VALUES; i++)
        CHECK_EQ(atomic_load(&seen[i]), 1);
    ints_free(c[0]);
    ints_free(c[1]);
}

/* A deadline and a sender at one instant: the value is received or still there. */
TEST(deadline_that_races_with_a_sender_loses_no_value)
{
    ints *c = ints_new(1);
    int v;
    weft_case on[] = {weft_on_recv(ints_raw(c), &v)};

    for (int i = 0; i < VALUES; i++) {
        weft_timer *t = weft_timer_new();
        weft_case both[] = {on[0], weft_on_recv(weft_timer_chan(t), NULL)};
        int at;

        weft_timer_start(t, weft_after(5));
        at = weft_select_until(both, 2, weft_after(5));
        CHECK(at == 1 || at == WEFT_ETIMEDOUT);
        CHECK_EQ(weft_timer_stop(t), at == WEFT_ETIMEDOUT);
        weft_timer_free(t);
    }
    ints_free(c);
}
