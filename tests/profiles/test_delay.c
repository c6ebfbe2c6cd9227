/* SPDX-License-Identifier: MIT */
/* test_delay.c - the kernel scheduling delay: the time for which workers could run, but waited for
 * a CPU. Threads of the test keep the only CPU busy, and the kernel's own counts are the truth. */
#include "runtime/sched/delay.h"

#include "profiles/trace/flight.h"
#include "profiles/trace/trace.h"
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BURNERS = 3, MS = 1000000 };

static atomic_bool over;
static pthread_t burners[BURNERS];

static void *burn(void *arg)
{
    while (!atomic_load(&over))
        ;
    return arg;
}

/* Leaves the process a single CPU, for which threads that compute compete with the workers. */
static void crowd(void)
{
    cpu_set_t now, one;
    size_t cpu = 0;

    CHECK_EQ(sched_getaffinity(0, sizeof(now), &now), 0);
    while (!CPU_ISSET(cpu, &now))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    for (int i = 0; i < BURNERS; i++)
        CHECK_EQ(pthread_create(&burners[i], NULL, burn, NULL), 0);
}

static void run_crowded(weft_main_fn *fn)
{
    crowd();
    CHECK_EQ(weft_run(fn, NULL), 0);
    atomic_store(&over, true);
    for (int i = 0; i < BURNERS; i++)
        pthread_join(burners[i], NULL);
}

static struct weft__delays delays(void)
{
    struct weft__delays d;

    weft__delays_read(&d);
    return d;
}

static void first_line(const char *path, const char *thread, char *text, size_t size)
{
    char whole[300];
    FILE *f;

    snprintf(whole, sizeof(whole), "%s/%s/%s", "/proc/self/task", thread, path);
    text[0] = '\0';
    f = fopen(whole, "r");
    if (f && !fgets(text, (int)size, f))
        text[0] = '\0';
    if (f)
        fclose(f);
}

/* Returns the delay of all workers so far, as the kernel counts it. */
static uint64_t truth(void)
{
    DIR *threads = opendir("/proc/self/task");
    struct dirent *e;
    uint64_t sum = 0;
    char text[80];

    CHECK(threads != NULL);
    while ((e = readdir(threads)) != NULL) {
        char *at = text;

        first_line("comm", e->d_name, text, sizeof(text));
        if (strncmp(text, "weft-", 5) != 0 || text[5] < '0' || text[5] > '9')
            continue;
        first_line("schedstat", e->d_name, text, sizeof(text));
        strtoull(at, &at, 10);
        sum += strtoull(at, &at, 10);
    }
    closedir(threads);
    return sum;
}

/* Returns whether the kernel counts, which it need not. */
static bool is_counted(void)
{
    char thread[16], text[80], *at = text;

    snprintf(thread, sizeof(thread), "%d", (int)gettid());
    first_line("schedstat", thread, text, sizeof(text));
    strtoull(at, &at, 10);
    strtoull(at, &at, 10);
    return strtoull(at, &at, 10) > 0;
}

static void until_delayed(uint64_t ns)
{
    while (delays().total < ns)
        weft_yield();
}

static int sums(void *arg)
{
    struct weft__delays d;
    uint64_t looks = 0;

    (void)arg;
    until_delayed(50 * MS);
    d = delays();
    for (int i = 0; i < WEFT__DELAY_STEPS; i++)
        looks += d.counts[i];
    CHECK_EQ(looks, d.looks);
    CHECK(d.most <= d.total && d.most > 0);
    CHECK(d.total <= truth());
    return 0;
}

TEST_PLAIN(delays_are_those_that_the_kernel_counts)
{
    if (!is_counted())
        SKIP("the kernel does not count");
    run_crowded(sums);
}

/* On a machine where nothing competes this is some microseconds. */
TEST(a_program_that_sleeps_has_the_delays_of_its_wake_ups)
{
    for (int i = 0; i < 30; i++)
        weft_sleep(2 * WEFT_MILLISECOND);
    CHECK(delays().total <= truth());
}

static int shows_itself(void *arg)
{
    char *text;

    (void)arg;
    until_delayed(5 * MS);
    text = dump_text(WEFT_DUMP_FULL);
    CHECK_CONTAINS(text, "\n# processor 0: thread ");
    CHECK_CONTAINS(text, " waited for a CPU for ");
    free(text);
    return 0;
}

TEST_PLAIN(full_dump_shows_the_delay_of_each_processor)
{
    if (!is_counted())
        SKIP("the kernel does not count");
    run_crowded(shows_itself);
}

static int write_memory(void *arg, const void *data, size_t n)
{
    return write(*(int *)arg, data, n) == (ssize_t)n ? 0 : -5;
}

/* Returns whether a file has a text, and closes it. */
static bool file_has(int fd, const char *text)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    bool found;

    CHECK(bytes != MAP_FAILED);
    found = memmem(bytes, (size_t)size, text, strlen(text)) != NULL;
    munmap(bytes, (size_t)size);
    close(fd);
    return found;
}

/* Takes a trace of a crowded time. Returns whether it names the delay: only if the thread that
 * waited ran a task then, which is most likely. */
static bool trace_names(enum weft__trace_format format, const char *name)
{
    int fd = memfd_create("trace", 0), rc = 0;
    const struct weft__sink to = {write_memory, &fd};
    weft__trace *t = weft__trace_open(format, &rc);

    CHECK(fd >= 0 && t != NULL);
    until_delayed(delays().total + 20 * MS);
    CHECK_EQ(weft__trace_write(t, &to, true), 0);
    weft__trace_close(t);
    return file_has(fd, name);
}

static void check_trace(enum weft__trace_format format, const char *name)
{
    for (int i = 0; i < 20; i++) {
        if (trace_names(format, name))
            return;
    }
    FAIL("no trace has \"%s\"", name);
}

static int traces_itself(void *arg)
{
    (void)arg;
    check_trace(WEFT__TRACE_V1, "kernel scheduling delay");
    check_trace(WEFT__TRACE_V2, "kernel scheduling delay");
    check_trace(WEFT__TRACE_PERFETTO, "kernel scheduling delay of processor 0");
    return 0;
}

TEST_PLAIN(traces_show_delays)
{
    if (!is_counted())
        SKIP("the kernel does not count");
    run_crowded(traces_itself);
}

/* Returns whether a flight record of a crowded time shows the delay in Perfetto's form. */
static bool record_shows(const char *name)
{
    int fd = memfd_create("trace", 0);
    const struct weft__sink to = {write_memory, &fd};
    uint64_t size;
    void *copy;

    until_delayed(delays().total + 20 * MS);
    CHECK_EQ(weft__flight_copy(&copy, &size), 0);
    CHECK_EQ(weft__flight_trace(copy, size, WEFT__TRACE_PERFETTO, &to), 0);
    weft__flight_copy_free(copy, size);
    return file_has(fd, name);
}

static int records_itself(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        if (record_shows("kernel scheduling delay of processor 0"))
            return 0;
    }
    return 1;
}

TEST_PLAIN(flight_records_show_delays)
{
    char path[64];

    if (!is_counted())
        SKIP("the kernel does not count");
    snprintf(path, sizeof(path), "/dev/shm/weft-test-delay-%d", (int)getpid());
    setenv("WEFT_FLIGHT", path, 1);
    setenv("WEFT_FLIGHT_MB", "4", 1);
    unlink(path);
    run_crowded(records_itself);
    unlink(path);
}

/* ---- where the kernel tells nothing ---- */

static int sees_nothing(void *why)
{
    char *text;

    for (int i = 0; i < 3; i++)
        weft_sleep((WEFT__DELAY_EVERY + 1) * WEFT_MILLISECOND);
    while (delays().error == 0)
        weft_yield();
    CHECK_EQ(delays().looks, 0);
    text = dump_text(WEFT_DUMP_FULL);
    CHECK(strstr(text, "# processor 0: ") == NULL);
    CHECK_CONTAINS(text, why);
    free(text);
    return 0;
}

TEST_PLAIN(missing_file_is_told_once)
{
    weft__delay_file = "/nowhere/schedstat";
    CHECK_EQ(weft_run(sees_nothing, "\n# /proc/thread-self/schedstat: No such file or directory: "
                                    "waits for a CPU are not shown\n"),
             0);
}

TEST_PLAIN(kernel_that_counts_nothing_is_told_once)
{
    char path[] = "/tmp/test_delay_XXXXXX";
    int fd = mkstemp(path);

    CHECK(fd >= 0 && write(fd, "0 0 0\n", 6) == 6);
    weft__delay_file = path;
    CHECK_EQ(weft_run(sees_nothing, "\n# /proc/thread-self/schedstat: Operation not supported: "
                                    "waits for a CPU are not shown\n"),
             0);
    unlink(path);
    close(fd);
}
