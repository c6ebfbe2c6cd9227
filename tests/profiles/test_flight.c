/* SPDX-License-Identifier: MIT */
/* test_flight.c - records of runs in this process: their content, and the cases without a record.
 * flight_kill.py has those of programs that are killed. */
#include "profiles/trace/flight.h"
#include "profiles/trace/settle.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/flight.h>

static char path[64];
static uint64_t worker; /* id of a task */

/* Switches the recorder on for the next run. */
static void record(void)
{
    snprintf(path, sizeof(path), "/dev/shm/weft-test-flight-%d", (int)getpid());
    setenv("WEFT_FLIGHT", path, 1);
    setenv("WEFT_FLIGHT_MB", "1", 1);
    unlink(path);
}

static void work(void *arg)
{
    const weft_label label = {"route", "/orders"};
    int v;

    worker = weft_task_id();
    weft_task_name("worker");
    CHECK_EQ(weft_labels_set(&label, 1), 0);
    weft_chan_recv(arg, &v);
}

/* Returns the bytes of a file, to be freed. */
static char *read_all(int fd, size_t *size)
{
    struct stat st;
    char *bytes;

    CHECK_EQ(fstat(fd, &st), 0);
    *size = (size_t)st.st_size;
    bytes = malloc(*size + 1);
    CHECK_EQ(pread(fd, bytes, *size, 0), st.st_size);
    return bytes;
}

/* Checks that a record has the worker, with its words, and a wait of its for the channel. */
static void check_record(const char *bytes, size_t size, const void *channel)
{
    struct weft__flight_name name;
    struct weft__settled *list;
    weft__flight f;
    bool waited = false;
    size_t n = 0;
    uint32_t frames = 0;

    CHECK(weft__flight_read(&f, bytes, size) == NULL);
    CHECK(!f.torn);
    CHECK(weft__flight_name_of(&f, worker, &name));
    CHECK_STR(name.name, "worker");
    CHECK_STR(name.labels, "route");
    CHECK_STR(name.labels + 6, "/orders");
    list = weft__settle(&f.span, &n);
    for (size_t i = 0; i < n; i++) {
        const struct weft__event *e = list[i].event;

        if (e->kind != WEFT__EV_PARK || e->task != worker)
            continue;
        waited = e->arg == (uintptr_t)channel;
        CHECK(weft__flight_stack(&f, e->stack, &frames) && frames > 2);
    }
    CHECK(waited);
    free(list);
    weft__flight_free(&f);
}

static int take_snapshot(void *arg)
{
    weft_chan *c = weft_chan_new(sizeof(int), 0);
    int fd = memfd_create("flight", 0), v = 1;
    char *bytes;
    size_t size;

    (void)arg;
    weft_go(work, c);
    while (weft_chan_send_until(c, &v, WEFT_NOW) != 0) /* until it waits */
        weft_yield();
    CHECK_EQ(weft_flight_snapshot_if(false, -1), 0);
    CHECK_EQ(weft_flight_snapshot_if(true, -1), -EBADF);
    CHECK_EQ(weft_flight_snapshot(fd), 0);
    bytes = read_all(fd, &size);
    check_record(bytes, size, c);
    free(bytes);
    close(fd);
    weft_chan_free(c);
    return 0;
}

TEST_PLAIN(snapshot_has_names_labels_stacks_and_waits_and_so_has_the_file)
{
    const struct weft__flight_head *head;
    char *bytes;
    size_t size;
    int fd;

    record();
    CHECK_EQ(weft_run(take_snapshot, NULL), 0);
    fd = open(path, O_RDONLY);
    bytes = read_all(fd, &size);
    head = (const void *)bytes;
    CHECK_EQ(head->ended, 1);
    CHECK_EQ(head->pid, getpid());
    free(bytes);
    close(fd);
    unlink(path);
}

static void set_procs(int n)
{
    CHECK(weft_procs_set(n) >= 0);
    while (weft_procs() != n)
        weft_yield();
}

/* Takes a record. Returns its numbers of processors, as a text. */
static const char *procs_of_record(char *to, size_t room)
{
    int fd = memfd_create("flight", 0);
    weft__flight f;
    size_t size, n = 0;
    char *bytes;

    CHECK_EQ(weft_flight_snapshot(fd), 0);
    bytes = read_all(fd, &size);
    CHECK(weft__flight_read(&f, bytes, size) == NULL);
    for (size_t i = 0; i < f.span.n; i++) {
        if (f.span.events[i].kind == WEFT__EV_PROCS)
            n += (size_t)snprintf(to + n, room - n, " %d", (int)f.span.events[i].arg);
    }
    weft__flight_free(&f);
    free(bytes);
    close(fd);
    return to;
}

static int changes_procs(void *arg)
{
    char text[200];

    (void)arg;
    set_procs(2);
    CHECK(strstr(procs_of_record(text, sizeof(text)), " 2") != NULL);
    for (int i = 0; i < 10; i++) { /* more often than a record can hold */
        set_procs(3);
        procs_of_record(text, sizeof(text));
        set_procs(2);
        procs_of_record(text, sizeof(text));
    }
    CHECK_CONTAINS(text, " 3 2 3 2 3 2 3 2 3 2 3 2 3 2 3 2");
    return 0;
}

TEST_PLAIN(record_has_the_latest_changes_of_the_number_of_processors)
{
    record();
    CHECK_EQ(weft_run(changes_procs, NULL), 0);
    unlink(path);
}

static int nothing_is_recorded(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_flight_snapshot(STDOUT_FILENO), WEFT_EINVAL);
    return 0;
}

TEST(without_the_variable_nothing_is_recorded)
{
    nothing_is_recorded(NULL);
}

TEST_PLAIN(the_record_of_a_crash_is_not_written_over)
{
    struct stat st;
    int fd;

    record();
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK_EQ(write(fd, "crash", 5), 5);
    CHECK_EQ(weft_run(nothing_is_recorded, NULL), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 5);
    close(fd);
    unlink(path);
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

TEST_PLAIN(each_run_of_a_process_has_a_record)
{
    for (int i = 0; i < 3; i++) {
        struct stat st;

        record();
        CHECK_EQ(weft_run(return_zero, NULL), 0);
        CHECK_EQ(stat(path, &st), 0);
        CHECK_EQ(st.st_mode & 0777, 0600);
    }
    unlink(path);
}
