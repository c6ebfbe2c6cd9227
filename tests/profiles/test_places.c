/* SPDX-License-Identifier: MIT */
/* test_places.c - stacks at which tasks waited before are known again, whatever their number; the
 * table has a bound; and no stack is known again after its code has gone. */
#include "support.h"

#include "profiles/account/tables.h"
#include "profiles/capture/running.h"
#include "profiles/table/places.h"
#include "profiles/walk/learn.h"
#include "runtime/sched/scheduler.h"

#define NOINLINE __attribute__((noinline))

enum { DEPTH = 14, MANY = 4000 };

static weft_chan *never;

NOINLINE int path_a(unsigned bits, int depth);
NOINLINE int path_b(unsigned bits, int depth);

/* Makes a different stack for each number: it calls one function or the other for each bit. */
static int go_on(unsigned bits, int depth)
{
    if (depth == 0)
        return weft_chan_recv_until(never, NULL, weft_after(30 * WEFT_MICROSECOND));
    return bits & 1 ? path_b(bits >> 1, depth - 1) : path_a(bits >> 1, depth - 1);
}

int path_a(unsigned bits, int depth)
{
    int rc = go_on(bits, depth);

    __asm__ volatile("");
    return rc;
}

int path_b(unsigned bits, int depth)
{
    int rc = go_on(bits, depth);

    __asm__ volatile("nop");
    return rc;
}

static void wait_at(int from, int to)
{
    for (int i = from; i < to; i++)
        CHECK_EQ(path_a((unsigned)i, DEPTH), WEFT_ETIMEDOUT);
}

static void begin(void)
{
    weft_profile_set_block_rate(1);
    never = weft_chan_new(1, 0);
}

TEST(each_of_many_stacks_is_known_when_it_waits_again)
{
    uint32_t first;

    begin();
    do /* a deadline that has passed at once is no wait: more often so on a busy machine */
        wait_at(0, MANY);
    while ((first = weft__places_count()) < MANY * 9 / 10);
    CHECK(first < WEFT__PLACES);
    wait_at(0, MANY);
    CHECK(weft__places_count() <= MANY + 10);
}

TEST(no_more_than_a_bound_are_kept_and_new_ones_are_learned)
{
    begin();
    wait_at(0, WEFT__PLACES + 100);
    CHECK(weft__places_count() <= WEFT__PLACES);
    weft_sleep(WEFT_SECOND + WEFT_SECOND / 10); /* until old ones may be forgotten */
    wait_at(WEFT__PLACES + 100, WEFT__PLACES + 200);
    CHECK(weft__places_count() >= 90 && weft__places_count() < WEFT__PLACES / 2);
}

TEST(what_code_is_forgotten_is_not_known_by_its_old_rules)
{
    begin();
    wait_at(0, 100);
    CHECK(weft__places_count() >= 90);
    weft__symbolizer_forget(1, 2); /* as for a library that has gone: nothing of ours */
    weft_sleep(WEFT_SECOND + WEFT_SECOND / 10);
    wait_at(0, 10);
    CHECK(weft__places_count() < 50);
}

/* The second stacks get the memory of the first, which the table has forgotten by then. */
TEST(stacks_that_get_the_memory_of_forgotten_ones_are_counted_apart)
{
    uint32_t first;

    begin();
    weft__places_least = 0;
    wait_at(0, 200);
    first = weft__tables_count(WEFT__RECORDED_BLOCK);
    for (uint32_t i = 0; i < 2; i++) {
        weft__symbolizer_forget(1, 2);
        wait_at(1000, 1001); /* begins a generation */
    }
    wait_at(200, 400);
    CHECK(weft__tables_count(WEFT__RECORDED_BLOCK) >=
          first + 180); /* a deadline that has passed is no wait */
}

static void park(void *task)
{
    weft__store_rel((weft__task **)task, weft__self()->task);
    weft_chan_recv(never, NULL);
}

/* Two threads may walk the same new stack at once, and both add it. */
TEST(place_that_is_added_twice_is_kept_once)
{
    static struct weft__walk walk;
    static struct weft__fingerprint fingerprint;
    weft__task *t = NULL;
    struct weft__known first;
    uint32_t n;

    begin();
    weft_go(park, &t);
    while (!weft__load_acq(&t) || weft__load_acq(&t->state) != WEFT__PARKED ||
           weft__load_acq(&t->on_cpu))
        weft_yield();
    weft__walk_saved(&walk, t);
    first = weft__place_add(t, &walk, &fingerprint);
    n = weft__places_count();
    CHECK(first.id != 0);
    CHECK_EQ(weft__place_add(t, &walk, &fingerprint).id, first.id);
    CHECK_EQ(weft__places_count(), n);
}
