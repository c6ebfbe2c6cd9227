/* SPDX-License-Identifier: MIT */
/* test_exit.c - how the process ends by itself: exit() in a task, and calls that hang. */
#include "support.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HANGS = 60 /* s */, AT_ONCE = 8 /* s, on a busy machine; 1.5 otherwise */ };

/* Tasks and threads hold memory when exit() comes. LeakSanitizer takes it for lost, because it does
 * not look at a task's stack. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* A name server that does not answer. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))(
            uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");

    if (host && strcmp(host, "hangs.invalid") == 0)
        sleep(HANGS);
    return real(host, service, hints, found);
}

static atomic_int begun;

static void hang(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    sleep(HANGS);
}

static void hang_in_the_pool(void *arg)
{
    CHECK_EQ(weft_work(hang, arg), 0);
}

static void hang_in_dns(void *arg)
{
    weft_conn *c;

    (void)arg;
    atomic_fetch_add(&begun, 1);
    weft_dial("hangs.invalid:80", &c);
}

/* Returns the status of body in a child process, which is to end at once. */
static int status_at_once(void (*body)(void))
{
    struct timespec from, to;
    char err[4096];
    int status;

    clock_gettime(CLOCK_MONOTONIC, &from);
    status = in_child(body, err, sizeof(err));
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (to.tv_sec - from.tv_sec > AT_ONCE)
        FAIL("the end took %d s", (int)(to.tv_sec - from.tv_sec));
    if (status != 7)
        FAIL("status %d: %s", status, err);
    return status;
}

/* ---- calls that hang ---- */

static int leave_calls_behind(void *arg)
{
    (void)arg;
    go_many(6, hang_in_the_pool, NULL);
    go_many(6, hang_in_dns, NULL);
    wait_for(&begun, 4 + 6);
    return 7;
}

static void return_from_main(void)
{
    exit(weft_run(leave_calls_behind, NULL));
}

TEST_PLAIN(calls_that_hang_do_not_keep_the_process)
{
    CHECK_EQ(status_at_once(return_from_main), 7);
}

static int exit_beside_calls(void *arg)
{
    exit(leave_calls_behind(arg));
}

static void exit_from_a_task(void)
{
    weft_run(exit_beside_calls, NULL);
}

TEST_PLAIN(exit_in_a_task_does_not_wait_for_calls_that_hang)
{
    CHECK_EQ(status_at_once(exit_from_a_task), 7);
}

/* ---- exit beside everything ---- */

static void nothing(void *arg)
{
    (void)arg;
}

static void work_for_ever(void *arg)
{
    for (;;)
        weft_work(nothing, arg);
}

static void dial_for_ever(void *arg)
{
    weft_conn *c;

    (void)arg;
    for (;;) {
        if (weft_dial("localhost:1", &c) == 0)
            weft_conn_close(c);
    }
}

static void run_children_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        weft_process_run((const char *[]){"true", NULL});
}

static void sleep_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        weft_sleep(10 * WEFT_MICROSECOND);
}

static int exit_beside_others(void *arg)
{
    (void)arg;
    go_many(4, work_for_ever, NULL);
    go_many(2, dial_for_ever, NULL);
    go_many(1, run_children_for_ever, NULL);
    go_many(4, sleep_for_ever, NULL);
    weft_sleep(1 * WEFT_MILLISECOND);
    exit(7);
}

static void run_and_exit(void)
{
    weft_run(exit_beside_others, NULL);
}

TEST_PLAIN(exit_in_a_task_keeps_its_status)
{
    int rounds = under_asan() || under_tsan() ? 5 : 250;

    for (int i = 0; i < rounds; i++)
        CHECK_EQ(status_at_once(run_and_exit), 7);
}

/* ---- pthread_exit ---- */

static void skip_under_tsan(void)
{
    if (under_tsan())
        SKIP("TSan ends the process at pthread_exit in a fiber");
}

static void exit_thread(void *arg)
{
    weft_yield();
    pthread_exit(arg);
}

TEST_DIES(pthread_exit_in_a_task_is_a_panic, 2, "panic: weft: pthread_exit called in a task")
{
    skip_under_tsan();
    weft_go(exit_thread, NULL);
    weft_sleep(100 * WEFT_SECOND);
}

TEST_DIES(pthread_exit_in_a_task_is_shown_where_it_is, 2, "exit_thread(...)")
{
    skip_under_tsan();
    weft_go(exit_thread, NULL);
    weft_sleep(100 * WEFT_SECOND);
}

static void exit_pool_thread(void *arg)
{
    pthread_exit(arg);
}

TEST_DIES(pthread_exit_in_work_is_a_panic, 2, "panic: weft: pthread_exit called in weft_work")
{
    weft_work(exit_pool_thread, NULL);
}
