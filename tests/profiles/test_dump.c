/* SPDX-License-Identifier: MIT */
/* test_dump.c - weft_dump as a program sees it. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int dump_often(void *arg)
{
    int fd = *(int *)arg, rc = 0;

    for (int i = 0; i < 50 && rc == 0; i++)
        rc = weft_dump(fd, &(weft_dump_options){.form = WEFT_DUMP_MERGED});
    return rc;
}

/* Tasks that ask during a capture share it, however late they run after it. */
TEST(dumps_at_once_all_succeed)
{
    weft_group g = WEFT_GROUP_INIT;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    for (int i = 0; i < 16; i++)
        weft_group_go(&g, dump_often, &fd);
    CHECK_EQ(weft_group_wait(&g), 0);
    close(fd);
}

static void recv_never(void *arg)
{
    weft_chan_recv(NULL, arg);
}

/* There are so many tasks that the dump gives its processor away. */
TEST(dump_of_many_tasks_has_the_caller_first_and_all_others)
{
    enum { TASKS = 3000 };
    weft_group g = WEFT_GROUP_INIT;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC), seen = 0;
    char *text;

    go_many(TASKS, recv_never, NULL);
    text = dump_text(WEFT_DUMP_TASKS);
    CHECK_EQ(strncmp(text, "goroutine 1 [running]:\n", 23), 0);
    for (const char *at = text; at; at = strstr(at + 1, "\n\ngoroutine "))
        seen++;
    CHECK_EQ(seen, TASKS + 1);
    free(text);
    for (int i = 0; i < 4; i++)
        weft_group_go(&g, dump_often, &fd);
    CHECK_EQ(weft_group_wait(&g), 0);
    close(fd);
}

TEST_PLAIN(dump_outside_a_run_is_einval)
{
    CHECK_EQ(weft_dump(STDERR_FILENO, NULL), WEFT_EINVAL);
}

/* ---- a crash during a dump ---- */

static int dump_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        free(dump_text(WEFT_DUMP_TASKS));
    return 0;
}

TEST_DIES_PLAIN(crash_amid_a_capture_is_reported, 128 + SIGSEGV, "goroutine 1 [running]:\n")
{
    setenv("WEFT_BREAK", "crash_in_capture", 1);
    weft_run(dump_for_ever, NULL);
}

static void yield_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        weft_yield();
}

static int yield_beside_dumps(void *arg)
{
    go_many(4, yield_for_ever, NULL);
    return dump_for_ever(arg);
}

TEST_DIES_PLAIN(crash_of_a_worker_that_records_is_reported, 128 + SIGSEGV,
                "the other tasks are not shown")
{
    weft_run_options two = {.procs = 2};

    setenv("WEFT_BREAK", "crash_in_record", 1);
    weft_run_with(&two, yield_beside_dumps, NULL);
}

static int thread_named(const char *name)
{
    char path[300], line[64];
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    int tid = 0;

    while ((entry = readdir(tasks)) != NULL && tid == 0) {
        int fd;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = read(fd, line, sizeof(line) - 1);
        close(fd);
        line[n > 0 ? n - 1 : 0] = 0;
        if (strcmp(line, name) == 0)
            tid = atoi(entry->d_name);
    }
    closedir(tasks);
    return tid;
}

TEST_DIES(crash_of_the_symbolizer_is_reported, 128 + SIGSEGV, "[chan receive (nil chan)]:\n")
{
    int tid;

    if (under_tsan())
        SKIP("a fault that comes by tgkill is no fault to TSan");
    weft_go(recv_never, NULL);
    wait_for_dump("chan receive (nil chan)");
    tid = thread_named("weft-symbols");
    CHECK(tid > 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, SIGSEGV), 0);
    for (;;)
        weft_yield();
}
