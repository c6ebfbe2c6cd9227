/* SPDX-License-Identifier: MIT */
/* test_threads.c - the threadcreate profile counts all threads, by the code that made each. */
#include "support.h"

#include "profiles/account/profile.h"
#include "profiles/table/buckets.h"
#include "profiles/walk/symbolize.h"
#include "profiles/walk/unwind.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { N = 12 }; /* calls that block */

static int hole[2];
static atomic_int begun, ended, stop;

/* Reading -------------------------------------------------------------------------------------- */

static char *threads_text(void)
{
    return counts_text("threadcreate");
}

/* The sum of the samples that contain all of these functions, in this order. */
static int count_with(const char *text, const char *one, const char *other)
{
    char *copy = strdup(text), *at = strchr(copy, '\n'), *end, *found;
    int sum = 0, count;

    for (; at; at = end) {
        at += strspn(at, "\n");
        end = strstr(at, "\n\n");
        if (end)
            *end++ = 0;
        found = strstr(at, one);
        if (found && strstr(found, other) && sscanf(at, "%d @ 0x", &count) == 1)
            sum += count;
    }
    free(copy);
    return sum;
}

static int threads_with(const char *one, const char *other)
{
    char *text = threads_text();
    int n = count_with(text, one, other);

    free(text);
    return n;
}

static int total_of(const char *text)
{
    int total;

    CHECK_EQ(sscanf(text, "threadcreate profile: total %d\n", &total), 1);
    return total;
}

/* The total is that of its samples, of weft__threads_count and of the kernel. The monitor may make
 * a thread meanwhile, and a new thread takes a moment to name itself. */
static void check_total(void)
{
    char *text;
    int total;

    do {
        text = threads_text();
        total = total_of(text);
        CHECK_EQ(count_with(text, " @ ", ""), total);
        free(text);
    } while (total != count_of("threadcreate") || total != count_threads(true));
}

/* Threads that block --------------------------------------------------------------------------- */

static void read_hole(void)
{
    char byte;

    atomic_fetch_add(&begun, 1);
    CHECK_EQ(read(hole[0], &byte, 1), 1);
}

NOINLINE void blocks_here(void *arg);
NOINLINE void blocks_there(void *arg);
NOINLINE void blocks_deep(int depth);
NOINLINE void blocks_below(void *arg);

NOINLINE void blocks_here(void *arg)
{
    (void)arg;
    weft_blocking_begin();
    read_hole();
    weft_blocking_end();
    atomic_fetch_add(&ended, 1);
}

NOINLINE void blocks_there(void *arg)
{
    blocks_here(arg);
    __asm__ volatile("");
}

NOINLINE void blocks_deep(int depth)
{
    volatile char room[1000] = {1};

    if (depth > 0)
        blocks_deep(depth - 1);
    else
        blocks_here(NULL);
    CHECK_EQ(room[0], 1);
}

/* Needs more stack than a copy of a stack keeps. */
NOINLINE void blocks_below(void *arg)
{
    (void)arg;
    blocks_deep(20);
    __asm__ volatile("");
}

static void begin_blocking(int n, weft_task_fn *fn)
{
    int before = atomic_load(&begun);

    go_many(n, fn, NULL);
    wait_for(&begun, before + n);
}

static void end_blocking(void)
{
    int n = atomic_load(&begun);

    for (int i = 0; i < n; i++)
        CHECK_EQ(write(hole[1], "x", 1), 1);
    wait_for(&ended, n);
}

/* Calls make a thread each, unless the monitor was first, as with the first calls. Some threads are
 * spare. */
static void check_blocked(int n, const char *function)
{
    int by_calls, by_monitor;

    do {
        char *text = threads_text();

        by_calls = count_with(text, "\tweft_blocking_begin+", function);
        by_monitor = count_with(text, "made for", "");
        if (by_calls > n + weft_procs())
            FAIL("%d threads of %d are there in: %s", by_calls, n, text);
        free(text);
    } while (by_calls + by_monitor < n);
}

TEST(run_has_its_processors_a_spare_its_monitor_and_its_symbolizer)
{
    int n;

    while ((n = threads_with("weft_run_with+", "\tmain+")) < weft_procs() + 3)
        weft_yield(); /* it is still at it */
    CHECK_EQ(n, weft_procs() + 3);
    CHECK_EQ(threads_with("weft__worker_new+", ""), 0);
    check_total();
}

TEST(each_call_that_blocks_has_a_thread_by_its_stack)
{
    CHECK_EQ(pipe(hole), 0);
    begin_blocking(N, blocks_here);
    check_blocked(N, "\tblocks_here+");
    check_total();
    end_blocking();
    check_blocked(N, "\tblocks_here+"); /* they are spares now */
}

/* From now on each rule is learned when a walk asks for it. */
static void forget_rules(void)
{
    weft__symbolizer_settle();
    weft__unwind_forget(0, UINTPTR_MAX);
}

/* A stack that was taken before any rule was known is walked from a copy. A later one is walked at
 * once, and one that meets a new function from there on. */
TEST(stacks_are_right_before_and_after_rules_are_known)
{
    forget_rules();
    CHECK_EQ(pipe(hole), 0);
    begin_blocking(N, blocks_here);
    begin_blocking(N, blocks_there);
    check_blocked(N, "\tblocks_there+");
    check_blocked(2 * N, "\tblocks_here+");
    begin_blocking(N, blocks_there);
    begin_blocking(N, blocks_below);
    check_blocked(2 * N, "\tblocks_there+");
    check_blocked(N, "\tblocks_deep+");
    begin_blocking(N, blocks_below);
    check_blocked(2 * N, "\tblocks_deep+");
    check_blocked(5 * N, "\tblocks_here+");
    CHECK(threads_with("\tweft_blocking_begin+", "\tblocks_below+") > 0);
    check_total();
    end_blocking();
}

TEST(deep_stack_that_was_not_kept_whole_counts_with_what_was)
{
    forget_rules();
    CHECK_EQ(pipe(hole), 0);
    begin_blocking(N, blocks_below);
    check_blocked(N, "\tblocks_deep+");
    CHECK_EQ(threads_with("\tweft_blocking_begin+", "\tblocks_below+"), 0);
    check_total();
    end_blocking();
}

TEST(deep_stack_counts_whole_once_rules_are_known)
{
    weft__symbolizer_settle();
    CHECK_EQ(pipe(hole), 0);
    begin_blocking(N, blocks_below);
    check_blocked(N, "\tblocks_below+");
    check_total();
    end_blocking();
}

/* A second after the last of these calls some of the threads end. */
TEST(threads_that_ended_count_no_more)
{
    int most;

    if (weft_procs() != 2)
        return;
    CHECK_EQ(pipe(hole), 0);
    begin_blocking(3 * N, blocks_there);
    check_total();
    most = count_of("threadcreate");
    end_blocking();
    while (count_of("threadcreate") > most - N)
        weft_sleep(WEFT_MILLISECOND);
    check_total();
}

static void check_in_task(void *arg)
{
    (void)arg;
    check_total();
    atomic_fetch_add(&stop, 1);
}

TEST(profile_taken_by_many_at_once_is_whole)
{
    CHECK_EQ(pipe(hole), 0);
    begin_blocking(N, blocks_there);
    go_many(N, check_in_task, NULL);
    check_total();
    wait_for(&stop, N);
    end_blocking();
}

/* Threads of the monitor ----------------------------------------------------------------------- */

NOINLINE void hogs_here(void *arg);
NOINLINE void reads_undeclared_here(void *arg);
NOINLINE void waits_pinned_here(void *c);

NOINLINE void hogs_here(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        ;
    atomic_fetch_add(&ended, 1);
}

NOINLINE void reads_undeclared_here(void *arg)
{
    (void)arg;
    read_hole();
    atomic_fetch_add(&ended, 1);
}

NOINLINE void waits_pinned_here(void *c)
{
    weft_pin();
    weft_chan_recv(c, NULL);
    weft_unpin();
}

static void wait_for_thread(const char *maker, const char *made_for)
{
    while (threads_with(maker, made_for) == 0)
        weft_yield();
}

TEST(thread_made_for_a_hog_tells_whose)
{
    weft_go(hogs_here, NULL);
    wait_for_thread("\tmonitor_main+", "\n# -- made for --\n#\t");
    wait_for_thread("\n# -- made for --\n", "\thogs_here+0x0\t");
    atomic_store(&stop, 1);
    wait_for(&ended, 1);
    check_total();
}

TEST(thread_made_for_an_undeclared_call_tells_whose)
{
    CHECK_EQ(pipe(hole), 0);
    weft_go(reads_undeclared_here, NULL);
    wait_for_thread("\n# -- made for --\n", "\treads_undeclared_here+0x0\t");
    end_blocking();
}

/* With one processor the pinned task's thread has to give it away by itself. */
TEST(thread_made_while_a_pinned_task_waits_tells_whose)
{
    weft_chan *c = weft_chan_new(0, 0);

    weft_go(waits_pinned_here, c);
    wait_for_thread("\n# -- made for --\n", "\twaits_pinned_here+0x0\t");
    CHECK_EQ(weft_chan_send(c, NULL), 0);
    weft_chan_free(c);
}

/* Runs ----------------------------------------------------------------------------------------- */

/* Opens no descriptor: TSan would see it race with those that a run opens meanwhile. */
static void take_and_drop(void)
{
    struct weft__asked asked;
    void *view;

    weft__asked_begin(&asked, weft__profile_find("threadcreate"));
    view = asked.profile->take(&asked);
    CHECK(view != NULL);
    weft__buckets_free(view);
}

static int blocking_run(void *arg)
{
    atomic_store(&begun, 0);
    atomic_store(&ended, 0);
    begin_blocking(3, blocks_there);
    while (count_of("threadcreate") < weft_procs() + 1 + 3)
        weft_yield();
    if (*(int *)arg)
        take_and_drop();
    end_blocking();
    return 0;
}

static void check_none(void)
{
    char *text = threads_text();

    CHECK_STR(text, "threadcreate profile: total 0\n");
    CHECK_EQ(count_of("threadcreate"), 0);
    free(text);
}

TEST_PLAIN(runs_leave_nothing_behind)
{
    CHECK_EQ(pipe(hole), 0);
    check_none();
    for (int i = 0; i < 100; i++) {
        int takes = i % 2;

        CHECK_EQ(weft_run(blocking_run, &takes), 0);
    }
    check_none();
}

static atomic_int taken;

static void *take_all_the_time(void *arg)
{
    while (!atomic_load(&stop)) {
        take_and_drop();
        atomic_fetch_add(&taken, 1);
    }
    return arg;
}

TEST_PLAIN(profile_may_be_taken_as_runs_come_and_go)
{
    pthread_t thread;
    int takes = 0;

    CHECK_EQ(pipe(hole), 0);
    CHECK_EQ(pthread_create(&thread, NULL, take_all_the_time, NULL), 0);
    for (int i = 0; i < 20 || atomic_load(&taken) < 20; i++)
        CHECK_EQ(weft_run(blocking_run, &takes), 0);
    atomic_store(&stop, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    check_none();
}

static void *run_on_a_thread(void *arg)
{
    static int one = 1;

    CHECK_EQ(weft_run(blocking_run, &one), 0);
    return arg;
}

TEST_PLAIN(run_on_another_thread_than_the_first)
{
    pthread_t thread;

    CHECK_EQ(pipe(hole), 0);
    CHECK_EQ(pthread_create(&thread, NULL, run_on_a_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}
