/* SPDX-License-Identifier: MIT */
/* test_memory.c - a program that gets no memory for runtime objects ends with one message, its
 * tasks, and status 2, and never hangs. */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void wait_for_ever(void *arg)
{
    weft_chan_recv(arg, NULL);
}

/* Limits the address space to so much more than the process has now. */
static void limit_memory(size_t more)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    struct rlimit limit;

    if (under_asan() || under_tsan())
        SKIP("shadow memory is address space, too");
    CHECK(f && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    limit.rlim_cur = limit.rlim_max = pages * (size_t)getpagesize() + more;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

static void tasks_without_end(size_t stack_size)
{
    weft_go_options options = {.stack_size = stack_size};

    free(dump_text(WEFT_DUMP_TASKS)); /* allocates the memory of a first dump */
    limit_memory(64 << 20);
    for (;;)
        weft_go_with(&options, wait_for_ever, NULL);
}

TEST_DIES(no_memory_for_big_stacks_is_fatal, 2, "fatal error: out of memory (1 stacks of 8388608")
{
    tasks_without_end(8 << 20);
}

TEST_DIES(no_memory_for_stacks_is_fatal, 2, "fatal error: out of memory (32 stacks of 65536")
{
    tasks_without_end(0);
}

TEST_DIES(no_memory_names_the_limit_and_the_remedy, 2,
          " KiB; a smaller stack_size of weft_run_options or weft_go_options needs less")
{
    tasks_without_end(0);
}

TEST_DIES(no_data_names_the_limit, 2, "; ulimit -d is 40960 KiB")
{
    static const struct rlimit limit = {40 << 20, 40 << 20};

    if (under_asan() || under_tsan())
        SKIP("shadow memory is data, too");
    CHECK_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
    for (;;)
        weft_go(wait_for_ever, NULL);
}

/* ---- no threads ---- */

/* Limits the user's processes and threads to this number; root has no limit. */
static void limit_threads(rlim_t n)
{
    struct rlimit limit = {n, n};
    uid_t uid = 100000 + (uid_t)getpid();

    if (setresuid(uid, uid, uid) != 0)
        SKIP("cannot become another user");
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

TEST_DIES_PLAIN(no_thread_to_run_tasks_is_fatal, 2, "fatal error: cannot start a thread beside 0 (")
{
    limit_threads(1);
    weft_run(nothing, NULL);
}

static void do_nothing(void *arg)
{
    (void)arg;
}

static int threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* "." and ".." */
}

TEST(no_thread_for_work_names_or_children_is_a_code)
{
    weft_conn *c;

    while (threads() < weft_procs() + 2) /* this one and the monitor's */
        weft_yield();
    limit_threads(1);
    CHECK_EQ(weft_work(do_nothing, NULL), WEFT_EAGAIN);
    CHECK_EQ(weft_dial("localhost:1", &c), WEFT_EAGAIN);
    CHECK_EQ(weft_process_run((const char *[]){"true", NULL}), WEFT_EAGAIN);
    weft_blocking(do_nothing, NULL);
    _exit(0); /* LeakSanitizer wants a thread */
}

TEST_DIES(no_memory_dumps_the_tasks, 2, " [chan receive (nil chan)]:\n")
{
    for (int i = 0; i < 2; i++)
        weft_go(wait_for_ever, NULL);
    wait_for_dump("wait_for_ever");
    weft_yield();
    tasks_without_end(8 << 20);
}

TEST_DIES(no_memory_for_channels_is_fatal, 2, "fatal error: out of memory (runtime object of ")
{
    free(dump_text(WEFT_DUMP_TASKS));
    limit_memory(64 << 20);
    for (;;)
        weft_chan_new(1 << 20, 1);
}

TEST_DIES(channel_beyond_all_memory_panics, 2, "panic: makechan: size out of range")
{
    weft_chan_new((size_t)1 << 62, 1 << 30);
}

static atomic_int ended;

static void sits_in_a_call(void *c)
{
    weft_chan_recv(c, NULL);
    weft_blocking_begin();
    weft_blocking_end();
    atomic_fetch_add(&ended, 1);
}

/* There is memory for what they need, but not for the stack of a thread. */
TEST(calls_that_no_threads_are_to_be_had_for_keep_their_processors)
{
    weft_chan *c = weft_chan_new(0, 0);

    go_many(8, sits_in_a_call, c);
    wait_for_dump("sits_in_a_call");
    limit_memory(768 << 10);
    weft_chan_close(c);
    wait_for(&ended, 8);
}
