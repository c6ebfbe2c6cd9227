/* SPDX-License-Identifier: MIT */
/* check_sample.c - tests that end in every possible way; check_selftest.sh checks what the harness
 * says. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft.h>

TEST(ends_well)
{
    CHECK(1);
    CHECK_EQ(3, 3L);
    CHECK_STR("a", "a");
    CHECK_CONTAINS("hello", "ell");
    CHECK_EQ(weft_task_id(), 1);
}

TEST_PLAIN(ends_well_outside)
{
}

TEST(eq_shows_both_sides)
{
    puts("written before the end");
    CHECK_EQ(1 + 1, 3);
}

TEST_PLAIN(str_shows_both_sides)
{
    CHECK_STR("left", "right");
}

TEST_PLAIN(contains_shows_the_text)
{
    CHECK_CONTAINS("hello", "goodbye");
}

TEST_DIES_PLAIN(aborts_as_expected, 134, "last words")
{
    fprintf(stderr, "last words\n");
    abort();
}

TEST_DIES(exits_as_expected, 2, "last words")
{
    fprintf(stderr, "last words\n");
    _exit(2);
}

TEST_DIES(dies_with_other_words, 2, "last words")
{
    fprintf(stderr, "nothing to say\n");
    _exit(2);
}

TEST_DIES_PLAIN(does_not_die, 3, NULL)
{
}

TEST_PLAIN(dies_unexpectedly)
{
    abort();
}

TEST(is_skipped)
{
    SKIP("for a reason");
}

TEST_PLAIN(hangs)
{
    for (;;)
        pause();
}

TEST_PLAIN(leaves_a_process_behind)
{
    if (fork() == 0) {
        for (;;)
            pause();
    }
}
