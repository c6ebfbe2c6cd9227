/* SPDX-License-Identifier: MIT */
/* test_task.c - tasks: ids, names, fairness, task-local values, errno. */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

VIRTUAL_CLOCK;

/* ---- ids and names ---- */

static _Atomic uint64_t last_id;
static atomic_int in_order;

static void note_id(void *arg)
{
    uint64_t id = weft_task_id();

    (void)arg;
    CHECK(id > atomic_exchange(&last_id, id));
    CHECK_EQ(weft_task_id(), id);
    atomic_fetch_add(&in_order, 1);
}

TEST(main_task_is_number_one)
{
    CHECK_EQ(weft_task_id(), 1);
}

TEST(ids_go_up_and_are_never_reused)
{
    for (int i = 0; i < 1000; i++) {
        weft_go(note_id, NULL);
        settle();
    }
    CHECK_EQ(atomic_load(&in_order), 1000);
    CHECK_EQ(atomic_load(&last_id), 1001);
}

static void wait_named(void *c)
{
    weft_task_name("renamed");
    weft_chan_recv(c, NULL);
}

static void just_wait(void *c)
{
    weft_chan_recv(c, NULL);
}

TEST(names_are_shown_in_dumps)
{
    weft_go_options named = {.name = "born with it"};
    weft_chan *c = weft_chan_new(0, 0);
    char *dump;

    weft_go_with(&named, just_wait, c);
    weft_go_with(&named, wait_named, c);
    settle();
    dump = dump_text(WEFT_DUMP_FULL);
    CHECK_CONTAINS(dump, "born with it");
    CHECK_CONTAINS(dump, "renamed");
    free(dump);
    weft_chan_close(c);
    settle();
    dump = dump_text(WEFT_DUMP_FULL);
    CHECK(strstr(dump, "renamed") == NULL);
    free(dump);
    weft_chan_free(c);
}

TEST(long_names_are_cut_at_31_bytes)
{
    char *dump;

    weft_task_name("0123456789012345678901234567890123456789");
    dump = dump_text(WEFT_DUMP_FULL);
    CHECK_CONTAINS(dump, "0123456789012345678901234567890");
    CHECK(strstr(dump, "01234567890123456789012345678901") == NULL);
    free(dump);
}

TEST(procs_is_what_was_asked_for)
{
    CHECK_EQ(weft_procs(), atoi(getenv("WEFT_PROCS")));
}

/* ---- fairness ---- */

static atomic_int over;

static void play(void *arg)
{
    weft_chan **c = arg;

    if (c[2])
        weft_chan_send(c[0], NULL);
    while (!atomic_load(&over)) {
        weft_chan_recv(c[1], NULL);
        weft_chan_send(c[0], NULL);
    }
}

static void end_the_game(void *arg)
{
    (void)arg;
    atomic_store(&over, 1);
}

/* There are more pairs than processors, so that none is left for the third task. */
TEST(runnable_task_gets_a_turn_beside_tasks_that_ping_pong)
{
    enum { PAIRS = 6 };
    static weft_chan *ends[2 * PAIRS][3];

    for (int i = 0; i < PAIRS; i++) {
        weft_chan *there = weft_chan_new(0, 0), *back = weft_chan_new(0, 0);

        memcpy(ends[2 * i], (weft_chan *[]){there, back, there}, sizeof(ends[0]));
        memcpy(ends[2 * i + 1], (weft_chan *[]){back, there, NULL}, sizeof(ends[0]));
        weft_go(play, ends[2 * i]);
        weft_go(play, ends[2 * i + 1]);
    }
    for (int i = 0; i < 1000; i++)
        weft_yield();
    weft_go(end_the_game, NULL);
    while (!atomic_load(&over))
        weft_yield();
}

static void yield_for_ever(void *arg)
{
    (void)arg;
    while (!atomic_load(&over))
        weft_yield();
}

TEST(runnable_task_gets_a_turn_beside_tasks_that_yield)
{
    go_many(20, yield_for_ever, NULL);
    weft_go(end_the_game, NULL);
    settle();
    CHECK_EQ(atomic_load(&over), 1);
}

static void breed(void *arg)
{
    if (!atomic_load(&over))
        weft_go(breed, arg);
}

TEST(runnable_task_gets_a_turn_beside_tasks_that_start_tasks)
{
    go_many(8, breed, NULL);
    for (int i = 0; i < 100; i++)
        weft_yield();
    weft_go(end_the_game, NULL);
    settle();
    CHECK_EQ(atomic_load(&over), 1);
}

TEST(timer_fires_beside_tasks_that_yield)
{
    weft_chan *c = weft_chan_new(0, 0);

    go_many(8, yield_for_ever, NULL);
    CHECK_EQ(weft_chan_recv_until(c, NULL, weft_now() - 1), WEFT_ETIMEDOUT);
    weft_go(end_the_game, NULL);
    CHECK_EQ(weft_chan_recv_until(c, NULL, weft_after(5)), WEFT_ETIMEDOUT);
    weft_chan_free(c);
}

/* ---- many tasks ---- */

static atomic_int alive;

static void live(void *c)
{
    atomic_fetch_add(&alive, 1);
    weft_chan_recv(c, NULL);
    atomic_fetch_sub(&alive, 1);
}

TEST(ten_thousand_tasks_wait_and_end)
{
    int n = under_tsan() ? 2000 : 10000; /* TSan holds 8,128 fibers */
    weft_chan *c = weft_chan_new(0, 0);

    for (int round = 0; round < 2; round++) {
        go_many(n, live, c);
        settle();
        CHECK_EQ(atomic_load(&alive), n);
        weft_chan_close(c);
        settle();
        CHECK_EQ(atomic_load(&alive), 0);
        weft_chan_free(c);
        c = weft_chan_new(0, 0);
    }
    weft_chan_free(c);
}

static void spawn_tree(void *depth)
{
    intptr_t left = (intptr_t)depth;

    atomic_fetch_add(&alive, 1);
    if (left == 0)
        return;
    weft_go(spawn_tree, (void *)(left - 1));
    weft_go(spawn_tree, (void *)(left - 1));
}

TEST(tasks_start_tasks)
{
    weft_go(spawn_tree, (void *)10);
    settle();
    CHECK_EQ(atomic_load(&alive), 2047);
}

/* ---- task-local values ---- */

static weft_local key, other;
static atomic_int destroyed;

static void destroy(void *value)
{
    atomic_fetch_add(&destroyed, *(int *)value);
}

static int one = 1, ten = 10;

static void use_locals(void *arg)
{
    (void)arg;
    CHECK(weft_local_get(key) == NULL);
    CHECK(weft_local_get(other) == NULL);
    weft_local_set(key, &ten);
    weft_local_set(other, &ten);
    weft_yield();
    CHECK(weft_local_get(key) == &ten);
    weft_local_set(key, &one);
    weft_yield();
    CHECK(weft_local_get(key) == &one);
}

TEST(each_task_has_its_own_value)
{
    CHECK_EQ(weft_local_new(&key, destroy), 0);
    CHECK_EQ(weft_local_new(&other, NULL), 0);
    weft_local_set(key, &ten);
    go_many(100, use_locals, NULL);
    settle();
    CHECK(weft_local_get(key) == &ten);
    CHECK_EQ(atomic_load(&destroyed), 100);
}

static void set_then_clear(void *arg)
{
    (void)arg;
    weft_local_set(key, &one);
    weft_local_set(key, NULL);
}

TEST(cleared_value_is_not_destroyed)
{
    CHECK_EQ(weft_local_new(&key, destroy), 0);
    go_many(10, set_then_clear, NULL);
    settle();
    CHECK_EQ(atomic_load(&destroyed), 0);
}

TEST(there_are_64_keys)
{
    for (int i = 0; i < 64; i++)
        CHECK_EQ(weft_local_new(&key, NULL), 0);
    other = key;
    CHECK_EQ(weft_local_new(&key, NULL), WEFT_EAGAIN);
    weft_local_set(other, &one);
    CHECK(weft_local_get(other) == &one);
}

/* ---- errno ---- */

/* errno belongs to a thread. This function is not inlined, so that the address is taken each time.
 */
__attribute__((noinline)) static void errno_set(int e)
{
    errno = e;
    __asm__ volatile("");
}

__attribute__((noinline)) static int errno_get(void)
{
    __asm__ volatile("");
    return errno;
}

static void keep_errno(void *mine)
{
    weft_chan *c = weft_chan_new(0, 0);

    for (int i = 0; i < 200; i++) {
        errno_set((int)(intptr_t)mine);
        if (i % 3 == 0)
            CHECK_EQ(weft_chan_recv_until(c, NULL, weft_after(1 + i % 5)), WEFT_ETIMEDOUT);
        else
            weft_yield();
        CHECK_EQ(errno_get(), (intptr_t)mine);
    }
    weft_chan_free(c);
    atomic_fetch_add(&over, 1);
}

TEST(errno_is_kept_over_a_wait)
{
    for (intptr_t i = 1; i <= 10; i++)
        weft_go(keep_errno, (void *)i);
    while (atomic_load(&over) < 10)
        weft_sleep(100);
}
