/* SPDX-License-Identifier: MIT */
/* test_rules.c - WEFT_CHECK=2 checks the runtime's own rules: each test breaks one. */
#include "support.h"

#include "runtime/base/lock.h"
#include "runtime/sched/park.h"

#if WEFT_CHECK >= 2

static uint32_t first, second;

TEST_DIES(locks_are_taken_by_ascending_rank, 2, "is taken under one of rank RUNQ")
{
    weft__lock(&first, WEFT__RANK_RUNQ);
    weft__lock(&second, WEFT__RANK_GROUP);
}

TEST_DIES(two_locks_of_a_rank_are_objects, 2, "is taken under one of rank TASKS")
{
    weft__lock(&first, WEFT__RANK_TASKS);
    weft__lock(&second, WEFT__RANK_TASKS);
}

TEST(several_objects_may_be_locked)
{
    weft__lock(&first, WEFT__RANK_OBJECT);
    weft__lock(&second, WEFT__RANK_OBJECT);
    weft__unlock(&first);
    weft__unlock(&second);
}

static void needs_the_lock(void)
{
    weft__check_holds(&first);
}

TEST_DIES(function_is_called_with_the_lock_that_it_needs, 2, "assertion failed: weft__rank_holds")
{
    weft__lock(&first, WEFT__RANK_TASKS);
    needs_the_lock();
    weft__unlock(&first);
    needs_the_lock();
}

TEST_DIES(no_task_is_made_ready_under_a_lock_above_objects, 2,
          "assertion failed: weft__rank_allows_ready")
{
    weft__lock(&first, WEFT__RANK_TIMERS);
    weft__ready(weft__self()->task);
}

TEST_DIES(state_moves_as_the_table_says, 2, "goes from RUNNABLE to PARKED, but is RUNNING")
{
    weft__task_move(weft__self()->task, WEFT__RUNNABLE, WEFT__PARKED);
}

#else

TEST(rules_are_checked)
{
    SKIP("WEFT_CHECK is less than 2");
}

#endif
