/* SPDX-License-Identifier: MIT */
/* test_lifetime.c - an object may be freed as soon as a call has shown that it is idle: the task
 * that woke the freeing task must not touch it any more. AddressSanitizer and ThreadSanitizer watch
 * that. The memory is also overwritten, so that in a plain build a late touch breaks the next
 * round. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3000 };

static void *make(size_t size)
{
    void *p = calloc(1, size);

    CHECK(p != NULL);
    return p;
}

static void wipe(void *p, size_t size)
{
    memset(p, 0xa5, size);
    free(p);
}

/* A task per kind of object goes on for ROUNDS rounds; the main task is the other side. */
static weft_chan *to_partner;
static weft_task_fn *partner_does;
static atomic_int partner_ended;

static void next_object(void *p)
{
    CHECK_EQ(weft_chan_send(to_partner, &p), 0);
}

static void *await_object(void)
{
    void *p = NULL;

    return weft_chan_recv(to_partner, &p) == 0 ? p : NULL;
}

static void partner(void *arg)
{
    partner_does(arg);
    atomic_store(&partner_ended, 1);
}

static void start_partner(weft_task_fn *fn)
{
    to_partner = weft_chan_new(sizeof(void *), 0);
    partner_does = fn;
    weft_go(partner, NULL);
}

static void end_partner(void)
{
    weft_chan_close(to_partner);
    wait_for(&partner_ended, 1);
    weft_chan_free(to_partner);
}

/* ---- channels ---- */

static void send_each(void *arg)
{
    weft_chan *c;

    (void)arg;
    while ((c = await_object()) != NULL)
        CHECK_EQ(weft_chan_send(c, &(int){1}), 0);
}

static void last_recv_frees(size_t cap)
{
    start_partner(send_each);
    for (int i = 0; i < ROUNDS; i++) {
        weft_chan *c = weft_chan_new(sizeof(int), cap);

        next_object(c);
        CHECK_EQ(weft_chan_recv(c, NULL), 0);
        weft_chan_free(c);
    }
    end_partner();
}

TEST(unbuffered_channel_goes_after_its_last_recv)
{
    last_recv_frees(0);
}

TEST(buffered_channel_goes_after_its_last_recv)
{
    last_recv_frees(1);
}

static void recv_each(void *arg)
{
    weft_chan *c;

    (void)arg;
    while ((c = await_object()) != NULL)
        CHECK_EQ(weft_chan_recv(c, NULL), 0);
}

TEST(unbuffered_channel_goes_after_its_last_send)
{
    start_partner(recv_each);
    for (int i = 0; i < ROUNDS; i++) {
        weft_chan *c = weft_chan_new(sizeof(int), 0);

        next_object(c);
        CHECK_EQ(weft_chan_send(c, &i), 0);
        weft_chan_free(c);
    }
    end_partner();
}

static void close_each(void *arg)
{
    weft_chan *c;

    (void)arg;
    while ((c = await_object()) != NULL)
        weft_chan_close(c);
}

TEST(channel_goes_after_the_close_was_received)
{
    start_partner(close_each);
    for (int i = 0; i < ROUNDS; i++) {
        weft_chan *c = weft_chan_new(sizeof(int), 0);

        next_object(c);
        CHECK_EQ(weft_chan_recv(c, NULL), WEFT_ECLOSED);
        weft_chan_free(c);
    }
    end_partner();
}

TEST(channels_go_after_the_select_that_used_them)
{
    start_partner(send_each);
    for (int i = 0; i < ROUNDS; i++) {
        weft_chan *c = weft_chan_new(sizeof(int), 0), *other = weft_chan_new(sizeof(int), 0);
        weft_case on[] = {weft_on_recv(other, NULL), weft_on_recv(c, NULL)};

        next_object(c);
        CHECK_EQ(weft_select(on, 2), 1);
        weft_chan_free(c);
        weft_chan_free(other);
    }
    end_partner();
}

/* ---- locks ---- */

struct guarded {
    weft_mutex mu;
    weft_rwmutex rw;
    weft_cond cond;
    int users; /* guarded by mu or rw; the last one frees */
};

static void leave_mutex(struct guarded *g)
{
    int left;

    weft_mutex_lock(&g->mu);
    left = --g->users;
    weft_mutex_unlock(&g->mu);
    if (left == 0)
        wipe(g, sizeof(*g));
}

static void leave_each_mutex(void *arg)
{
    struct guarded *g;

    (void)arg;
    while ((g = await_object()) != NULL)
        leave_mutex(g);
}

TEST(mutex_goes_after_its_last_unlock)
{
    start_partner(leave_each_mutex);
    for (int i = 0; i < ROUNDS; i++) {
        struct guarded *g = make(sizeof(*g));

        g->users = 2;
        if (i % 2) { /* so that the other one waits */
            weft_mutex_lock(&g->mu);
            next_object(g);
            weft_yield();
            weft_mutex_unlock(&g->mu);
        } else {
            next_object(g);
        }
        leave_mutex(g);
    }
    end_partner();
}

static void leave_rwmutex(struct guarded *g)
{
    int left;

    weft_rwmutex_read_lock(&g->rw);
    CHECK(g->users > 0);
    weft_rwmutex_read_unlock(&g->rw);
    weft_rwmutex_lock(&g->rw);
    left = --g->users;
    weft_rwmutex_unlock(&g->rw);
    if (left == 0)
        wipe(g, sizeof(*g));
}

static void leave_each_rwmutex(void *arg)
{
    struct guarded *g;

    (void)arg;
    while ((g = await_object()) != NULL)
        leave_rwmutex(g);
}

TEST(rwmutex_goes_after_its_last_unlock)
{
    start_partner(leave_each_rwmutex);
    for (int i = 0; i < ROUNDS; i++) {
        struct guarded *g = make(sizeof(*g));

        g->users = 2;
        next_object(g);
        leave_rwmutex(g);
    }
    end_partner();
}

static void signal_each(void *arg)
{
    struct guarded *g;

    (void)arg;
    while ((g = await_object()) != NULL) {
        weft_mutex_lock(&g->mu);
        g->users = 0;
        weft_cond_signal(&g->cond);
        weft_mutex_unlock(&g->mu);
    }
}

TEST(condition_and_its_mutex_go_after_the_wait)
{
    start_partner(signal_each);
    for (int i = 0; i < ROUNDS; i++) {
        struct guarded *g = make(sizeof(*g));

        g->users = 1;
        next_object(g);
        weft_mutex_lock(&g->mu);
        while (g->users > 0)
            CHECK_EQ(weft_cond_wait(&g->cond, &g->mu), 0);
        weft_mutex_unlock(&g->mu);
        wipe(g, sizeof(*g));
    }
    end_partner();
}

/* ---- the others ---- */

static void add_each(void *arg)
{
    weft_sema *s;

    (void)arg;
    while ((s = await_object()) != NULL)
        weft_sema_add(s, 1);
}

TEST(semaphore_goes_after_the_wait_for_its_last_unit)
{
    start_partner(add_each);
    for (int i = 0; i < ROUNDS; i++) {
        weft_sema *s = make(sizeof(*s));

        next_object(s);
        CHECK_EQ(weft_sema_wait(s, 1), 0);
        wipe(s, sizeof(*s));
    }
    end_partner();
}

static void done_each(void *arg)
{
    weft_waitgroup *wg;

    (void)arg;
    while ((wg = await_object()) != NULL)
        weft_waitgroup_done(wg);
}

TEST(waitgroup_goes_after_the_wait)
{
    start_partner(done_each);
    for (int i = 0; i < ROUNDS; i++) {
        weft_waitgroup *wg = make(sizeof(*wg));

        weft_waitgroup_add(wg, 1);
        next_object(wg);
        CHECK_EQ(weft_waitgroup_wait(wg), 0);
        wipe(wg, sizeof(*wg));
    }
    end_partner();
}

struct shared_once {
    weft_once once;
    atomic_int users;
    int calls;
};

static void call(void *o)
{
    weft_yield();
    ((struct shared_once *)o)->calls++;
}

static void do_and_leave(struct shared_once *o)
{
    weft_once_do(&o->once, call, o);
    CHECK_EQ(o->calls, 1);
    if (atomic_fetch_sub(&o->users, 1) == 1)
        wipe(o, sizeof(*o));
}

static void do_each(void *arg)
{
    struct shared_once *o;

    (void)arg;
    while ((o = await_object()) != NULL)
        do_and_leave(o);
}

TEST(once_goes_after_its_last_caller)
{
    start_partner(do_each);
    for (int i = 0; i < ROUNDS; i++) {
        struct shared_once *o = make(sizeof(*o));

        atomic_init(&o->users, 2);
        next_object(o);
        do_and_leave(o);
    }
    end_partner();
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int group_in_its_frame(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, nothing, arg);
    weft_group_go(&g, nothing, arg);
    return weft_group_join(&g);
}

TEST(group_goes_after_the_wait)
{
    for (int i = 0; i < ROUNDS; i++) {
        weft_group *g = make(sizeof(*g));

        if (i % 3 == 0)
            weft_group_deadline(g, weft_after(i % 7 * 1000000));
        weft_group_go(g, group_in_its_frame, NULL);
        weft_group_go(g, nothing, NULL);
        if (i % 5 == 0)
            weft_group_cancel(g);
        weft_group_join(g);
        wipe(g, sizeof(*g));
    }
}

/* The fire of a timer ends in the task that frees the timer. */
TEST(timer_goes_after_its_value_was_received)
{
    for (int i = 0; i < 500; i++) {
        weft_timer *t = weft_timer_new();

        weft_timer_start(t, weft_after(i % 3 * 10000));
        CHECK_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
        weft_timer_free(t);
    }
}
