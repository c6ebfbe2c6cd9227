/* SPDX-License-Identifier: MIT */
/* test_libunwind.c - a task's stack ends cleanly for other unwinders: libunwind and libgcc. */
#define UNW_LOCAL_ONLY
#include "support.h"

#include <libunwind.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#define NOINLINE __attribute__((noinline))

static atomic_int ended;
static int rc, frames, users;
static char outermost[64];

static NOINLINE void walk(void)
{
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t offset;
    char name[64];

    unw_getcontext(&context);
    CHECK_EQ(unw_init_local(&cursor, &context), 0);
    while ((rc = unw_step(&cursor)) > 0 && ++frames < 100) {
        if (unw_get_proc_name(&cursor, name, sizeof(name), &offset) != 0)
            continue;
        strcpy(outermost, name);
        users += strcmp(name, "descend") == 0;
    }
}

NOINLINE void descend(int n);

NOINLINE void descend(int n)
{
    if (n > 1)
        descend(n - 1);
    else
        walk();
    __asm__ volatile("");
}

static void walk_deep(void *arg)
{
    (void)arg;
    descend(10);
    atomic_fetch_add(&ended, 1);
}

TEST(libunwind_ends_at_the_entry)
{
    weft_go_with(&(weft_go_options){.stack_size = 1 << 20}, walk_deep, NULL);
    wait_for(&ended, 1);
    CHECK_EQ(rc, 0);
    CHECK_EQ(users, 10);
    CHECK_STR(outermost, "weft__ctx_entry");
}

static _Unwind_Reason_Code seen(struct _Unwind_Context *context, void *last)
{
    *(uintptr_t *)last = _Unwind_GetIP(context);
    frames++;
    return frames < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void walk_by_libgcc(void *last)
{
    rc = (int)_Unwind_Backtrace(seen, last);
    atomic_fetch_add(&ended, 1);
}

TEST(libgcc_ends_at_the_entry)
{
    uintptr_t last = 0;
    char name[64] = "";
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t offset;

    weft_go_with(&(weft_go_options){.stack_size = 1 << 20}, walk_by_libgcc, &last);
    wait_for(&ended, 1);
    CHECK_EQ(rc, _URC_END_OF_STACK);
    CHECK(frames < 10 && last != 0);
    unw_getcontext(&context);
    CHECK_EQ(unw_init_local(&cursor, &context), 0);
    unw_set_reg(&cursor, UNW_REG_IP, last);
    CHECK_EQ(unw_get_proc_name(&cursor, name, sizeof(name), &offset), 0);
    CHECK_STR(name, "weft__ctx_entry");
}
