/* SPDX-License-Identifier: MIT */
/* test_once.c - a once calls its function one time; all other callers return after that call. */
#include "support.h"

VIRTUAL_CLOCK;

static weft_once once = WEFT_ONCE_INIT, inner = WEFT_ONCE_INIT;
static atomic_int calls, returned;
static int plain; /* written by the one call, read after weft_once_do: TSan watches */

static void called(void *arg)
{
    (void)arg;
    atomic_fetch_add(&calls, 1);
    plain = 42;
}

TEST(function_is_called_once)
{
    weft_once_do(&once, called, NULL);
    weft_once_do(&once, called, NULL);
    CHECK_EQ(atomic_load(&calls), 1);
}

static void do_it(void *arg)
{
    weft_once_do(&once, called, arg);
    CHECK_EQ(plain, 42);
    atomic_fetch_add(&returned, 1);
}

TEST(function_is_called_once_among_many)
{
    go_many(100, do_it, NULL);
    settle();
    CHECK_EQ(atomic_load(&calls), 1);
    CHECK_EQ(atomic_load(&returned), 100);
}

static void called_slowly(void *go_on)
{
    CHECK_EQ(weft_chan_recv(go_on, NULL), 0);
    called(NULL);
}

static void do_slowly(void *go_on)
{
    weft_once_do(&once, called_slowly, go_on);
    CHECK_EQ(plain, 42);
    atomic_fetch_add(&returned, 1);
}

TEST(others_wait_until_the_function_returned)
{
    weft_chan *go_on = weft_chan_new(0, 0);

    go_many(10, do_slowly, go_on);
    settle();
    CHECK_EQ(atomic_load(&returned), 0);
    CHECK_EQ(weft_chan_send(go_on, NULL), 0);
    settle();
    CHECK_EQ(atomic_load(&calls), 1);
    CHECK_EQ(atomic_load(&returned), 10);
    weft_chan_free(go_on);
}

static void nested(void *arg)
{
    weft_once_do(&inner, called, arg);
    CHECK_EQ(plain, 42);
    plain = 43;
}

TEST(function_may_do_another_once)
{
    weft_once_do(&once, nested, NULL);
    weft_once_do(&once, nested, NULL);
    CHECK_EQ(plain, 43);
    CHECK_EQ(atomic_load(&calls), 1);
}

static int do_in_group(void *go_on)
{
    do_slowly(go_on);
    return 0;
}

TEST(wait_is_no_cancellation_point)
{
    weft_chan *go_on = weft_chan_new(0, 0);
    weft_group g = WEFT_GROUP_INIT;

    weft_go(do_slowly, go_on);
    settle();
    weft_group_go(&g, do_in_group, go_on);
    settle();
    weft_group_cancel(&g);
    settle();
    CHECK_EQ(atomic_load(&returned), 0);
    CHECK_EQ(weft_chan_send(go_on, NULL), 0);
    CHECK_EQ(weft_group_wait(&g), 0);
    settle();
    CHECK_EQ(atomic_load(&returned), 2);
    weft_chan_free(go_on);
}
