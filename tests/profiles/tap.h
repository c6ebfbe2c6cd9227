/* SPDX-License-Identifier: MIT */
/* tap.h - the smallest test framework: a test is a function that returns true if it passed. */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tap_passed, tap_failed;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                                    \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

#define TEST(name) static bool name(void)
#define RUN(name)  tap_run(name, #name)

static void tap_run(bool (*test)(void), const char *name)
{
    bool is_ok = test();

    tap_passed += is_ok;
    tap_failed += !is_ok;
    printf("%s %d - %s\n", is_ok ? "ok" : "not ok", tap_passed + tap_failed, name);
    fflush(stdout);
}

/* The exit status. */
static int tap_end(void)
{
    printf("%d passed, %d failed\n", tap_passed, tap_failed);
    return tap_failed != 0;
}

#endif
