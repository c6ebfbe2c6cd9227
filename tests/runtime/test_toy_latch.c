/* SPDX-License-Identifier: MIT */
/* test_toy_latch.c - a primitive of two files and its wait reason (toy_latch.c, tests.cmake) have
 * at once all that comes with the waist: deadlines, cancelation, dumps, profiles, the report of a
 * deadlock. */
#include "support.h"
#include "toy_latch.h"

#include <stdlib.h>

VIRTUAL_CLOCK;

static toy_latch latch = TOY_LATCH_INIT(2);
static atomic_int passed;

static void pass(void *arg)
{
    (void)arg;
    CHECK_EQ(toy_latch_wait_until(&latch, WEFT_FOREVER), 0);
    atomic_fetch_add(&passed, 1);
}

TEST(latch_opens_with_the_last_count_down)
{
    enum { MANY = 1000 };

    go_many(MANY, pass, NULL);
    settle();
    toy_latch_down(&latch);
    settle();
    CHECK_EQ(atomic_load(&passed), 0);
    toy_latch_down(&latch);
    settle();
    CHECK_EQ(atomic_load(&passed), MANY);
    CHECK_EQ(toy_latch_wait_until(&latch, WEFT_NOW), 0);
}

static int wait_canceled(void *arg)
{
    (void)arg;
    return toy_latch_wait_until(&latch, WEFT_FOREVER) == WEFT_ECANCELED ? 7 : 0;
}

TEST(latch_wait_ends_at_the_deadline_and_by_cancelation)
{
    weft_group g = WEFT_GROUP_INIT;

    CHECK_EQ(toy_latch_wait_until(&latch, weft_after(WEFT_MILLISECOND)), WEFT_ETIMEDOUT);
    weft_group_go(&g, wait_canceled, NULL);
    settle();
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), 7);
    go_many(1, pass, NULL);
    settle();
    toy_latch_down(&latch);
    toy_latch_down(&latch);
    settle();
    CHECK_EQ(atomic_load(&passed), 1);
}

TEST(latch_wait_is_in_dumps_and_in_the_block_profile)
{
    char *text;

    weft_profile_set_block_rate(1);
    go_many(1, pass, NULL);
    settle();
    text = dump_text(WEFT_DUMP_TASKS);
    CHECK_CONTAINS(text, " [toy latch]:\n");
    free(text);
    text = profile_text("block", (weft_profile_options){0});
    CHECK_CONTAINS(text, "toy_latch_wait_until");
    free(text);
    toy_latch_down(&latch);
    toy_latch_down(&latch);
    settle();
    text = profile_text("block", (weft_profile_options){.no_live = true});
    CHECK_CONTAINS(text, "toy_latch_wait_until");
    free(text);
}

TEST_DIES(latch_wait_without_end_is_a_deadlock, 2, "[toy latch]:")
{
    toy_latch_wait_until(&latch, WEFT_FOREVER);
}

TEST_DIES(latch_that_is_open_is_not_counted_down, 2, "toy: count down of latch")
{
    for (int i = 0; i < 3; i++)
        toy_latch_down(&latch);
}
