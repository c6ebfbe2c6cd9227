/* SPDX-License-Identifier: MIT */
/* test_procs.c - the number of processors changes while tasks run. */
#include "runtime/sched/scheduler.h"
#include "sockets.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Most tests let the number follow the CPUs. */
__attribute__((constructor)) static void unset(void)
{
    unsetenv("WEFT_PROCS");
}

static void set_procs(int n)
{
    weft_procs_set(n);
    while (weft_procs() != n)
        weft_yield();
}

static uint32_t here(void)
{
    uint32_t index = weft__enter("here")->p->index;

    weft__exit();
    return index;
}

/* Runs on and on; notes the processors on which it ran. */
static atomic_uint seen;
static atomic_int stops;

static void wanders(void *arg)
{
    (void)arg;
    while (!atomic_load(&stops)) {
        atomic_fetch_or(&seen, 1U << here());
        for (int i = 0; i < 1000; i++)
            weft__pause();
        weft_yield();
    }
}

/* Returns once tasks run on just these processors. */
static void wait_for_places(unsigned places)
{
    do {
        weft_sleep(3 * WEFT_MILLISECOND);
        atomic_store(&seen, 0);
        weft_sleep(10 * WEFT_MILLISECOND);
    } while (atomic_load(&seen) != places);
}

TEST(tasks_run_on_as_many_processors_as_were_set)
{
    go_many(16, wanders, NULL);
    CHECK_EQ(weft_procs_set(3), 0);
    wait_for_places(7);
    CHECK_EQ(weft_procs(), 3);
    CHECK_EQ(weft_procs_set(1), 3);
    wait_for_places(1);
    weft_procs_set(2);
    wait_for_places(3);
    atomic_store(&stops, 1);
}

static int grows_from_one(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_procs(), 1);
    go_many(16, wanders, NULL);
    set_procs(4);
    wait_for_places(15);
    set_procs(1);
    wait_for_places(1);
    atomic_store(&stops, 1);
    return 0;
}

TEST_PLAIN(single_processor_gets_company)
{
    weft_run_options o = {.procs = 1};

    CHECK_EQ(weft_run_with(&o, grows_from_one, NULL), 0);
}

static void check_source(const char *by)
{
    char want[64], *dump = dump_text(WEFT_DUMP_FULL);

    snprintf(want, sizeof(want), "\n# number of processors by: %s", by);
    CHECK_CONTAINS(dump, want);
    free(dump);
}

/* Has the CPUs looked at, and returns when the number has followed. */
static void wait_for_procs(int n)
{
    weft__procs_ask();
    while (weft_procs() != n)
        weft_yield();
}

TEST(number_follows_the_cpus)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    CHECK_EQ(sched_setaffinity(getpid(), sizeof(one), &one), 0); /* of weft_run's thread */
    wait_for_procs(1);
    check_source("CPU ");
    weft_procs_set(2);
    while (weft_procs() != 2)
        weft_yield();
    check_source("weft_procs_set\n");
    CHECK_EQ(weft_procs_set(0), 2);
    while (weft_procs() != 1)
        weft_yield();
}

/* Writes a number to a file of a group, cpu/GROUP/FILE. Returns whether that is allowed. */
static bool put(const char *group, const char *file, int number)
{
    char path[128];
    FILE *f;
    bool written;

    snprintf(path, sizeof(path), "/sys/fs/cgroup/cpu/%s/%s", group, file);
    f = fopen(path, "we");
    if (!f)
        return false;
    written = fprintf(f, "%d\n", number) > 0;
    return fclose(f) == 0 && written;
}

TEST(number_follows_the_quota_of_a_group)
{
    char group[32], path[128];
    int cpus = weft_procs();

    snprintf(group, sizeof(group), "weft-test-%d", (int)getpid());
    snprintf(path, sizeof(path), "/sys/fs/cgroup/cpu/%s", group);
    if (cpus < 2 || mkdir(path, 0700) != 0)
        SKIP("there is one CPU, or no right to make groups");
    if (put(group, "cpu.cfs_quota_us", 50000) && put(group, "cgroup.procs", (int)getpid())) {
        wait_for_procs(1);
        check_source("CPU quota of a cgroup\n");
        CHECK(put(group, "cpu.cfs_quota_us", -1));
        wait_for_procs(cpus);
    }
    put("", "cgroup.procs", (int)getpid());
    rmdir(path);
}

static int is_fixed(void *arg)
{
    (void)arg;
    weft__procs_ask();
    weft_sleep(10 * WEFT_MILLISECOND);
    CHECK_EQ(weft_procs(), 5);
    check_source("weft_run_options\n");
    return 0;
}

TEST_PLAIN(number_of_the_program_stays)
{
    weft_run_options o = {.procs = 5};

    CHECK_EQ(weft_run_with(&o, is_fixed, NULL), 0);
}

/* Sockets and timers of a processor that rests work on. */
TEST(resting_processor_serves_its_sockets_and_timers)
{
    struct pair p[16];
    char byte;

    set_procs(4);
    for (int i = 0; i < 16; i++) {
        p[i] = tcp_pair();
        weft_go(echo, p[i].there);
        CHECK_EQ(weft_conn_write(p[i].here, "a", 1), 0);
        CHECK_EQ(weft_conn_read(p[i].here, &byte, 1), 1);
    }
    for (int n = 1; n <= 4; n++) {
        set_procs(n);
        for (int i = 0; i < 16; i++) {
            CHECK_EQ(weft_conn_write(p[i].here, "b", 1), 0);
            weft_sleep(WEFT_MICROSECOND);
            CHECK_EQ(weft_conn_read(p[i].here, &byte, 1), 1);
        }
    }
    for (int i = 0; i < 16; i++)
        weft_conn_close(p[i].here);
}

TEST_DIES(deadlock_is_seen_beside_processors_that_rest, 2, "all goroutines are asleep - deadlock!")
{
    set_procs(4);
    weft_sleep(WEFT_MILLISECOND);
    set_procs(2);
    weft_chan_recv(NULL, NULL);
}

TEST_DIES(number_out_of_range_panics, 2, "panic: weft: weft_procs_set(257): 0 to 256 processors")
{
    weft_procs_set(257);
}
