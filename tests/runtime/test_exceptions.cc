// SPDX-License-Identifier: MIT
// test_exceptions.cc - C++ exceptions stay with their task, which may wait while they are caught or
// unwind, and be resumed by another thread.
#include "check.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <weft.h>

namespace {

enum { TASKS = 8, ROUNDS = 100 };

int all(weft_main_fn *fn)
{
    weft_group g = WEFT_GROUP_INIT;

    for (intptr_t i = 0; i < TASKS; i++)
        weft_group_go(&g, fn, reinterpret_cast<void *>(i));
    return weft_group_join(&g);
}

std::string name(void *task, int round)
{
    return std::to_string(reinterpret_cast<intptr_t>(task)) + "/" + std::to_string(round);
}

int rethrows_after_a_wait(void *task)
{
    for (int i = 0; i < ROUNDS; i++) {
        try {
            try {
                throw std::runtime_error(name(task, i));
            } catch (const std::exception &) {
                i % 4 ? weft_yield() : (void)weft_sleep(WEFT_MICROSECOND);
                throw;
            }
        } catch (const std::exception &e) {
            CHECK_STR(e.what(), name(task, i).c_str());
        }
        CHECK(!std::current_exception());
    }
    return 0;
}

int keeps_what_is_current(void *task)
{
    for (int i = 0; i < ROUNDS; i++) {
        try {
            throw std::runtime_error(name(task, i));
        } catch (...) {
            std::exception_ptr before = std::current_exception();
            weft_yield();
            CHECK(before == std::current_exception());
            try {
                throw i;
            } catch (int inner) {
                weft_yield();
                CHECK_EQ(inner, i);
            }
            CHECK(before == std::current_exception());
        }
    }
    return 0;
}

// Waits in its destructor, where `unwinding` exceptions are on their way.
struct waits_at_the_end {
    int unwinding;

    ~waits_at_the_end()
    {
        CHECK_EQ(std::uncaught_exceptions(), unwinding);
        weft_yield();
        CHECK_EQ(std::uncaught_exceptions(), unwinding);
        if (unwinding < 3) {
            try {
                waits_at_the_end inner{unwinding + 1};
                throw 1;
            } catch (int) {
                weft_yield();
            }
        }
        CHECK_EQ(std::uncaught_exceptions(), unwinding);
    }
};

int waits_while_it_unwinds(void *)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(std::uncaught_exceptions(), 0);
        try {
            waits_at_the_end here{1};
            throw i;
        } catch (int thrown) {
            CHECK_EQ(thrown, i);
        }
    }
    return 0;
}

int finds_none(void *)
{
    CHECK_EQ(std::uncaught_exceptions(), 0);
    CHECK(!std::current_exception());
    return 0;
}

int starts_tasks_in_a_catch(void *task)
{
    weft_group g = WEFT_GROUP_INIT;

    try {
        throw std::runtime_error(name(task, 0));
    } catch (const std::exception &e) {
        for (int i = 0; i < ROUNDS; i++)
            weft_group_go(&g, finds_none, nullptr);
        CHECK_EQ(weft_group_join(&g), 0);
        CHECK(std::current_exception() != nullptr);
        CHECK_STR(e.what(), name(task, 0).c_str());
    }
    return 0;
}

// So long that the monitor takes the processor, and the task comes back to another.
int computes_in_a_catch(void *task)
{
    for (int i = 0; i < 2; i++) {
        try {
            try {
                throw std::runtime_error(name(task, i));
            } catch (const std::exception &) {
                for (weft_time end = weft_now() + 20 * WEFT_MILLISECOND; weft_now() < end;)
                    ;
                weft_yield();
                throw;
            }
        } catch (const std::exception &e) {
            CHECK_STR(e.what(), name(task, i).c_str());
        }
    }
    return 0;
}

void throws(void *)
{
    weft_yield();
    throw std::runtime_error("nobody catches it");
}

} // namespace

TEST(rethrown_exception_is_the_tasks_own)
{
    CHECK_EQ(all(rethrows_after_a_wait), 0);
}

TEST(current_exception_is_the_tasks_own)
{
    CHECK_EQ(all(keeps_what_is_current), 0);
}

TEST(exceptions_that_unwind_are_counted_for_each_task)
{
    CHECK_EQ(all(waits_while_it_unwinds), 0);
}

TEST(task_begins_without_exceptions)
{
    CHECK_EQ(all(starts_tasks_in_a_catch), 0);
}

TEST(exception_moves_with_a_task_whose_processor_was_taken)
{
    CHECK_EQ(all(computes_in_a_catch), 0);
}

TEST_DIES(exception_that_leaves_a_task_terminates, 128 + 6, "what():  nobody catches it")
{
    weft_go(throws, nullptr);
    weft_sleep(WEFT_SECOND);
}
