/* SPDX-License-Identifier: MIT */
/* test_rwmutex.c - many readers or one writer; a writer that waits keeps new readers out. */
#include "support.h"

VIRTUAL_CLOCK;

static weft_rwmutex rw = WEFT_RWMUTEX_INIT;
static atomic_int readers, writers, done, read_done, write_done;

static void read_until_told(void *told)
{
    weft_rwmutex_read_lock(&rw);
    atomic_fetch_add(&readers, 1);
    CHECK_EQ(weft_chan_recv(told, NULL), WEFT_ECLOSED);
    atomic_fetch_sub(&readers, 1);
    weft_rwmutex_read_unlock(&rw);
}

TEST(readers_are_inside_together)
{
    weft_chan *told = weft_chan_new(0, 0);

    go_many(10, read_until_told, told);
    settle();
    CHECK_EQ(atomic_load(&readers), 10);
    CHECK(!weft_rwmutex_trylock(&rw));
    CHECK(weft_rwmutex_read_trylock(&rw));
    weft_rwmutex_read_unlock(&rw);
    weft_chan_close(told);
    settle();
    CHECK_EQ(atomic_load(&readers), 0);
    CHECK(weft_rwmutex_trylock(&rw));
    weft_chan_free(told);
}

static void read_once(void *arg)
{
    (void)arg;
    weft_rwmutex_read_lock(&rw);
    atomic_fetch_add(&read_done, 1);
    weft_rwmutex_read_unlock(&rw);
}

static void write_once(void *arg)
{
    (void)arg;
    weft_rwmutex_lock(&rw);
    atomic_fetch_add(&write_done, 1);
    weft_rwmutex_unlock(&rw);
}

TEST(writer_that_waits_keeps_new_readers_out)
{
    weft_rwmutex_read_lock(&rw);
    weft_go(write_once, NULL);
    settle();
    CHECK(!weft_rwmutex_read_trylock(&rw));
    go_many(3, read_once, NULL);
    settle();
    CHECK_EQ(atomic_load(&read_done), 0);
    CHECK_EQ(atomic_load(&write_done), 0);
    weft_rwmutex_read_unlock(&rw);
    settle();
    CHECK_EQ(atomic_load(&write_done), 1);
    CHECK_EQ(atomic_load(&read_done), 3);
}

static atomic_int readers_before_second_writer;

static void write_and_look(void *arg)
{
    (void)arg;
    weft_rwmutex_lock(&rw);
    atomic_store(&readers_before_second_writer, atomic_load(&read_done));
    weft_rwmutex_unlock(&rw);
}

TEST(unlock_lets_waiting_readers_in_before_the_next_writer)
{
    weft_rwmutex_lock(&rw);
    weft_go(write_and_look, NULL);
    settle();
    go_many(4, read_once, NULL);
    settle();
    weft_rwmutex_unlock(&rw);
    settle();
    CHECK_EQ(atomic_load(&read_done), 4);
    CHECK_EQ(atomic_load(&readers_before_second_writer), 4);
}

TEST(try_forms_tell_and_never_wait)
{
    CHECK(weft_rwmutex_trylock(&rw));
    CHECK(!weft_rwmutex_trylock(&rw));
    CHECK(!weft_rwmutex_read_trylock(&rw));
    weft_rwmutex_unlock(&rw);
    CHECK(weft_rwmutex_read_trylock(&rw));
    CHECK(weft_rwmutex_read_trylock(&rw));
    CHECK(!weft_rwmutex_trylock(&rw));
    weft_rwmutex_read_unlock(&rw);
    CHECK(!weft_rwmutex_trylock(&rw));
    weft_rwmutex_read_unlock(&rw);
    CHECK(weft_rwmutex_trylock(&rw));
}

/* Go's hammer: readers add 1, writers 10000. Inside the lock no sums but these two kinds may be
 * seen. */
static int plain_value; /* guarded by rw; TSan watches */

static void hammer_reader(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        weft_rwmutex_read_lock(&rw);
        CHECK(atomic_fetch_add(&readers, 1) >= 0);
        CHECK_EQ(atomic_load(&writers), 0);
        CHECK_EQ(plain_value % 2, 0);
        if (i % 5 == 0)
            weft_yield();
        atomic_fetch_sub(&readers, 1);
        weft_rwmutex_read_unlock(&rw);
    }
    atomic_fetch_add(&done, 1);
}

static void hammer_writer(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        weft_rwmutex_lock(&rw);
        CHECK_EQ(atomic_fetch_add(&writers, 1), 0);
        CHECK_EQ(atomic_load(&readers), 0);
        plain_value++;
        if (i % 5 == 0)
            weft_yield();
        plain_value++;
        atomic_fetch_sub(&writers, 1);
        weft_rwmutex_unlock(&rw);
    }
    atomic_fetch_add(&done, 1);
}

TEST(writer_is_alone_and_readers_see_no_half_of_its_work)
{
    go_many(10, hammer_reader, NULL);
    go_many(3, hammer_writer, NULL);
    settle();
    CHECK_EQ(atomic_load(&done), 13);
    CHECK_EQ(plain_value, 3000);
}

static int write_in_group(void *arg)
{
    write_once(arg);
    return 0;
}

static int read_in_group(void *arg)
{
    read_once(arg);
    return 0;
}

TEST(waits_are_no_cancellation_points)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_rwmutex_lock(&rw);
    weft_group_go(&g, write_in_group, NULL);
    weft_group_go(&g, read_in_group, NULL);
    settle();
    weft_group_cancel(&g);
    settle();
    CHECK_EQ(atomic_load(&write_done) + atomic_load(&read_done), 0);
    weft_rwmutex_unlock(&rw);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&write_done) + atomic_load(&read_done), 2);
}
