/* SPDX-License-Identifier: MIT */
/* check.h - the test harness: each test is a process of its own.
 *
 *     TEST(recv_on_closed_and_drained_returns_eclosed)
 *     {
 *         weft_chan *c = weft_chan_new(sizeof(int), 0);
 *         int v = 7;
 *
 *         weft_chan_close(c);
 *         CHECK_EQ(weft_chan_recv(c, &v), WEFT_ECLOSED);
 *         CHECK_EQ(v, 0);
 *     }
 *
 * A program of tests is a file of tests, linked with check.c, which has main().
 * `test_x [part-of-a-name]` runs the tests, `test_x --list` names them. Each test runs in a child
 * that is forked before any thread exists. A test that runs longer than WEFT_TEST_TIMEOUT seconds
 * (60, or 600 when WEFT_TEST_SLOW is set) gets a SIGQUIT for its dump, and five seconds later a
 * SIGKILL. The output of a test is shown only when it fails. */
#ifndef WEFT_TESTS_CHECK_H
#define WEFT_TESTS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum check_place {
    CHECK_INSIDE, /* the body is the main task of weft_run */
    CHECK_PLAIN,  /* the body runs on the bare thread, weft_run is not called */
};

typedef struct check_test {
    const char *name;
    void (*body)(void);
    enum check_place place;
    int status;              /* expected exit status; 128 + n for an end by signal n */
    const char *says;        /* text that stderr must contain, or NULL */
    struct check_test *next; /* in the order of the file */
} check_test;

/* The body runs as the main task. */
#define TEST(name) CHECK__TEST(name, CHECK_INSIDE, 0, NULL)
/* The body runs outside the runtime. */
#define TEST_PLAIN(name) CHECK__TEST(name, CHECK_PLAIN, 0, NULL)
/* The body is to end the process with this status, and stderr is to contain this text. */
#define TEST_DIES(name, status, says)       CHECK__TEST(name, CHECK_INSIDE, status, says)
#define TEST_DIES_PLAIN(name, status, says) CHECK__TEST(name, CHECK_PLAIN, status, says)

/* The first check that fails ends the test; usable on any task and any thread. */
#define CHECK(x)                    ((x) ? (void)0 : check_failed(__FILE__, __LINE__, "CHECK(%s) failed", #x))
#define CHECK_EQ(a, b)              check_eq(__FILE__, __LINE__, #a " == " #b, (intmax_t)(a), (intmax_t)(b))
#define CHECK_STR(a, b)             check_str(__FILE__, __LINE__, #a " == " #b, (a), (b))
#define CHECK_CONTAINS(hay, needle) check_contains(__FILE__, __LINE__, #hay, (hay), (needle))
#define FAIL(...)                   check_failed(__FILE__, __LINE__, __VA_ARGS__)
/* Ends the test as skipped; the reason is printed. */
#define SKIP(reason) check_skip(reason)

void check_add(check_test *test);
void check_eq(const char *file, int line, const char *what, intmax_t a, intmax_t b);
void check_str(const char *file, int line, const char *what, const char *a, const char *b);
void check_contains(const char *file, int line, const char *what, const char *hay,
                    const char *needle);
__attribute__((noreturn, format(printf, 3, 4))) void check_failed(const char *file, int line,
                                                                  const char *format, ...);
__attribute__((noreturn)) void check_skip(const char *reason);
#ifdef __cplusplus
}
#endif

#define CHECK__TEST(name, place, status, says)                                                     \
    static void name(void);                                                                        \
    static check_test check__##name = {#name, name, place, status, says, NULL};                    \
    __attribute__((constructor)) static void check__add_##name(void)                               \
    {                                                                                              \
        check_add(&check__##name);                                                                 \
    }                                                                                              \
    static void name(void)

#endif
