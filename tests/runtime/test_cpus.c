/* SPDX-License-Identifier: MIT */
/* test_cpus.c - the CPUs that the process may use, and those that quotas of cgroups leave, from
 * folders that look like the kernel's. */
#include "check.h"

#include "runtime/run/cpus.h"

#include <weft.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char root[64];

/* Makes the folder root/path, and in it a file with this text. */
static void put(const char *path, const char *file, const char *text)
{
    char name[512];
    FILE *f;

    if (!*root) {
        strcpy(root, "/tmp/test_cpus_XXXXXX");
        CHECK(mkdtemp(root) != NULL);
    }
    for (const char *end = path; *end;) {
        end += strcspn(end + 1, "/") + 1;
        snprintf(name, sizeof(name), "%s%.*s", root, (int)(end - path), path);
        mkdir(name, 0700);
    }
    snprintf(name, sizeof(name), "%s%s/%s", root, path, file);
    f = fopen(name, "w");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

/* Returns what weft__cpu_quota says, with %s in mountinfo as the folder made by put, and removes
 * that. */
static int quota(const char *cgroup, const char *mountinfo)
{
    char mounts[1024], remove[80];
    int n;

    snprintf(mounts, sizeof(mounts), mountinfo, root, root);
    n = weft__cpu_quota(cgroup, mounts);
    if (*root) {
        snprintf(remove, sizeof(remove), "rm -r %s", root);
        CHECK_EQ(system(remove), 0);
        *root = 0;
    }
    return n;
}

#define V2 "38 31 0:34 / %s rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1 "32 31 0:29 / %s rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"

TEST_PLAIN(quota_of_a_group_is_rounded_up)
{
    put("/a", "cpu.max", "150000 100000\n");
    CHECK_EQ(quota("0::/a\n", V2), 2);
    put("/a", "cpu.max", "50000 100000\n");
    CHECK_EQ(quota("0::/a\n", V2), 1);
    put("/a", "cpu.max", "200000 100000\n");
    CHECK_EQ(quota("0::/a\n", V2), 2);
}

TEST_PLAIN(quota_max_is_none)
{
    put("/a", "cpu.max", "max 100000\n");
    CHECK_EQ(quota("0::/a\n", V2), 0);
}

TEST_PLAIN(quota_of_an_ancestor_holds)
{
    put("", "cpu.max", "700000 100000\n");
    put("/pod/container/init", "cpu.max", "max 100000\n");
    put("/pod/container", "cpu.max", "500000 100000\n");
    put("/pod", "cpu.max", "300000 100000\n");
    CHECK_EQ(quota("0::/pod/container/init\n", V2), 3);
}

TEST_PLAIN(quota_of_version_one_has_two_files)
{
    put("/a", "cpu.cfs_quota_us", "250000\n");
    put("/a", "cpu.cfs_period_us", "100000\n");
    CHECK_EQ(quota("9:memory:/b\n3:cpu,cpuacct:/a\n0::/\n", V1), 3);
    put("/a", "cpu.cfs_quota_us", "-1\n");
    put("/a", "cpu.cfs_period_us", "100000\n");
    CHECK_EQ(quota("3:cpu,cpuacct:/a\n", V1), 0);
}

TEST_PLAIN(controller_whose_name_begins_with_cpu_is_another)
{
    put("/a", "cpu.cfs_quota_us", "100000\n");
    put("/a", "cpu.cfs_period_us", "100000\n");
    CHECK_EQ(quota("3:cpuset:/a\n2:cpuacct:/a\n", V1), 0);
}

TEST_PLAIN(mount_of_a_container_begins_below_the_root)
{
    const char *mounts = "1 2 0:3 /docker/c1 %s ro,nosuid - cgroup cgroup rw,cpu\n";

    put("", "cpu.cfs_quota_us", "400000\n");
    put("", "cpu.cfs_period_us", "100000\n");
    put("/inner", "cpu.cfs_quota_us", "-1\n");
    put("/inner", "cpu.cfs_period_us", "100000\n");
    CHECK_EQ(quota("1:cpu:/docker/c1/inner\n", mounts), 4);
    put("", "cpu.cfs_quota_us", "400000\n");
    put("", "cpu.cfs_period_us", "100000\n");
    CHECK_EQ(quota("1:cpu:/docker/c12\n", mounts), 4); /* another group: the root is what is seen */
}

TEST_PLAIN(group_outside_the_namespace_is_its_root)
{
    put("", "cpu.max", "200000 100000\n");
    CHECK_EQ(quota("0::/../other\n", V2), 2);
}

TEST_PLAIN(both_versions_at_once_give_the_least)
{
    put("/v1", "cpu.cfs_quota_us", "600000\n");
    put("/v1", "cpu.cfs_period_us", "100000\n");
    put("/v2", "cpu.max", "500000 100000\n");
    CHECK_EQ(quota("4:cpu:/v1\n0::/v2\n", V1 V2), 5);
}

TEST_PLAIN(texts_that_make_no_sense_are_no_quota)
{
    static const char *const cgroups[] = {"", "\n\n", "x", "0:", "0::", "1:cpu", "::/\n", "0::/a"};
    static const char *const mounts[] = {"", "x - cgroup2\n", " - \n", "1 2 3 / %s - cgroup2", V2};

    for (size_t i = 0; i < sizeof(cgroups) / sizeof(*cgroups); i++) {
        for (size_t m = 0; m < sizeof(mounts) / sizeof(*mounts); m++) {
            put("/a", "cpu.max", "-5 0 x\n");
            CHECK_EQ(quota(cgroups[i], mounts[m]), 0);
        }
    }
}

TEST_PLAIN(a_process_has_a_cpu_at_least)
{
    bool by_quota;
    int n = weft__cpus(&by_quota);

    CHECK(n >= 1);
    CHECK(n <= sysconf(_SC_NPROCESSORS_CONF));
}

/* A kernel with 4,096 possible CPUs, of which the process may use 1,500. */
static bool large;

WEFT_API int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    long n;

    if (!large) {
        n = syscall(SYS_sched_getaffinity, pid, size, set);
        if (n >= 0)
            memset((char *)set + n, 0, size - (size_t)n);
        return n < 0 ? -1 : 0;
    }
    if (size < 4096 / 8) {
        errno = EINVAL;
        return -1;
    }
    CPU_ZERO_S(size, set);
    for (size_t cpu = 1000; cpu < 2500; cpu++)
        CPU_SET_S(cpu, size, set);
    return 0;
}

static int procs(void *arg)
{
    (void)arg;
    return weft_procs();
}

TEST_PLAIN(machine_of_more_than_1024_cpus_has_them_all)
{
    const weft_run_options o = {.procs = 2};
    bool by_quota;
    int n;

    large = true;
    n = weft__cpus(&by_quota);
    CHECK(by_quota || n == 1500);
    CHECK_EQ(weft_run_with(&o, procs, NULL), 2);
}
