/* SPDX-License-Identifier: MIT */
/* test_trace.c - weft/trace.h: traces that the program takes itself. */
#include "burn.h"
#include "support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int memory(void)
{
    int fd = memfd_create("trace", 0);

    CHECK(fd >= 0);
    return fd;
}

/* Checks that the file has a trace of that version, at least so long. */
static void check_file(int fd, const char *version, off_t least)
{
    char head[16] = "";

    CHECK_EQ(pread(fd, head, sizeof(head), 0), (int)sizeof(head));
    CHECK_STR(head, version);
    CHECK(lseek(fd, 0, SEEK_END) >= least);
}

/* Returns the file's bytes, for free(). */
static char *whole(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)size);

    CHECK(text && pread(fd, text, (size_t)size, 0) == size);
    return text;
}

TEST(start_and_stop_write_a_trace)
{
    const weft_trace_options newer = {.format = 2};
    int fd = memory();

    CHECK_EQ(weft_trace_start(fd, NULL), 0);
    for (int i = 0; i < 100; i++)
        weft_yield();
    CHECK_EQ(weft_trace_stop(), 0);
    check_file(fd, "go 1.19 trace", 500);
    CHECK_EQ(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    CHECK_EQ(weft_trace_start(fd, &newer), 0);
    CHECK_EQ(weft_trace_stop(), 0);
    check_file(fd, "go 1.23 trace", 100);
}

TEST(one_trace_is_taken_at_a_time)
{
    int fd = memory();

    CHECK_EQ(weft_trace_stop(), WEFT_EINVAL);
    CHECK_EQ(weft_trace_start(fd, NULL), 0);
    CHECK_EQ(weft_trace_start(fd, NULL), WEFT_EAGAIN);
    CHECK_EQ(weft_trace_stop(), 0);
    CHECK_EQ(weft_trace_stop(), WEFT_EINVAL);
}

TEST(start_refuses_an_unknown_format)
{
    CHECK_EQ(weft_trace_start(1, &(weft_trace_options){.format = 4}), WEFT_EINVAL);
}

TEST(failed_write_ends_the_trace)
{
    int fd = open("/dev/full", 1);

    CHECK(fd >= 0);
    CHECK_EQ(weft_trace_start(fd, NULL), 0);
    CHECK_EQ(weft_trace_stop(), -28 /* ENOSPC */);
}

/* Only samples can know this function, since the task does not wait in it. */
TEST(samples_of_a_cpu_profile_are_in_traces)
{
    for (int format = 1; format <= 2; format++) {
        const weft_trace_options o = {.format = format};
        int fd = memory(), profile = memory();
        char *text;

        CHECK_EQ(weft_cpu_profile_start(profile), 0);
        CHECK_EQ(weft_trace_start(fd, &o), 0);
        burns_most(100 * MS);
        CHECK_EQ(weft_trace_stop(), 0);
        CHECK_EQ(weft_cpu_profile_stop(), 0);
        text = whole(fd);
        if (!under_tsan()) /* it delays handlers of signals */
            CHECK(memmem(text, (size_t)lseek(fd, 0, SEEK_END), "burns_most", 10) != NULL);
        free(text);
        close(fd);
        close(profile);
    }
}

static void relabels(void *done)
{
    const weft_label b = {"route", "/b"};

    weft_yield();
    CHECK_EQ(weft_labels_set(&b, 1), 0);
    weft_yield();
    weft_waitgroup_done(done);
}

/* Returns whether a trace of a task that relabels itself has the text. */
static bool relabeling_shows(int format, const char *words)
{
    const weft_trace_options o = {.format = format};
    weft_waitgroup all = WEFT_WAITGROUP_INIT;
    int fd = memory();
    bool shows;
    char *text;

    CHECK_EQ(weft_trace_start(fd, &o), 0);
    weft_waitgroup_add(&all, 1);
    weft_go(relabels, &all);
    weft_waitgroup_wait(&all);
    CHECK_EQ(weft_trace_stop(), 0);
    text = whole(fd);
    shows = memmem(text, (size_t)lseek(fd, 0, SEEK_END), words, strlen(words)) != NULL;
    free(text);
    close(fd);
    return shows;
}

TEST(trace_for_perfetto_has_the_names_of_tasks)
{
    CHECK(relabeling_shows(3, "relabels"));
}

/* The labels of a task that runs already, of one that inherits them, and new ones. */
TEST(labels_of_tasks_are_in_traces)
{
    const weft_label a[] = {{"tenant", "7"}, {"route", "/a"}};

    CHECK_EQ(weft_labels_set(a, 2), 0);
    for (int format = 1; format <= 2; format++) {
        CHECK(relabeling_shows(format, "route=/a tenant=7"));
        CHECK(relabeling_shows(format, "route=/b"));
    }
}

TEST(traced_task_has_a_number_while_a_trace_is_taken)
{
    int fd = memory();
    uint64_t task;

    CHECK_EQ(weft_trace_task_begin("before", 0), 0);
    CHECK_EQ(weft_trace_start(fd, NULL), 0);
    task = weft_trace_task_begin("during", 0);
    CHECK(task != 0);
    weft_trace_region_end(task, "which was never begun");
    weft_trace_region_begin(task, NULL);
    weft_trace_log(task, "key", NULL);
    weft_trace_task_end(task);
    CHECK_EQ(weft_trace_stop(), 0);
    weft_trace_log(task, "after", "it");
}

static int fd_of_run;

static int run_with_trace(void *arg)
{
    (void)arg;
    return weft_trace_start(fd_of_run, NULL);
}

TEST_PLAIN(end_of_the_run_ends_the_trace)
{
    fd_of_run = memory();
    CHECK_EQ(weft_run(run_with_trace, NULL), 0);
    check_file(fd_of_run, "go 1.19 trace", 50);
    CHECK_EQ(weft_trace_start(fd_of_run, NULL), WEFT_EINVAL);
    CHECK_EQ(weft_trace_stop(), 0);
    CHECK_EQ(weft_run(run_with_trace, NULL), 0);
    CHECK_EQ(weft_trace_stop(), 0);
}
