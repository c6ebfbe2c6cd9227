/* SPDX-License-Identifier: MIT */
/* cpus.c - how many CPUs this process may use: its affinity and the quotas of its cgroups.
 *
 * Owns no state. procs.c calls; any thread may.
 * A quota is time of CPUs in each period (100 ms, mostly). A process that burns it on more CPUs at
 * once is stopped for the rest of the period, all threads together. So more processors than the
 * quota is worth only make stops longer.
 *
 * A quota of an ancestor holds too: a pod's is in the group above that of its container. Both
 * versions of cgroups have a file in each group, and either version may be mounted anywhere, with
 * any of its groups as the root of the mount: so mountinfo says which folders to look into. */
#include "runtime/run/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = 4096, FOLDER = 2 * PATH, TEXT = 256 * 1024, CPUS = 1 << 16 };

/* Reads the whole file, or its first n - 1 bytes, to text; "" if it cannot be read. */
static void slurp(const char *name, char *text, size_t n)
{
    FILE *f = fopen(name, "re");
    size_t got = f ? fread(text, 1, n - 1, f) : 0;

    text[got] = 0;
    if (f)
        fclose(f);
}

/* Returns the CPUs that the files of the group in this folder are worth; 0 without a quota. */
static int quota_of(const char *folder, bool is_v2)
{
    char name[FOLDER + 64], text[64];
    long long quota = 0, period = 0;

    if (is_v2) {
        snprintf(name, sizeof(name), "%s/cpu.max", folder);
        slurp(name, text, sizeof(text));
        if (sscanf(text, "%lld %lld", &quota, &period) != 2) /* "max 100000" */
            return 0;
    } else {
        snprintf(name, sizeof(name), "%s/cpu.cfs_quota_us", folder);
        slurp(name, text, sizeof(text));
        quota = strtoll(text, NULL, 10); /* -1: none */
        snprintf(name, sizeof(name), "%s/cpu.cfs_period_us", folder);
        slurp(name, text, sizeof(text));
        period = strtoll(text, NULL, 10);
    }
    if (quota <= 0 || period <= 0 || (quota - 1) / period >= CPUS)
        return 0;
    return (int)((quota + period - 1) / period);
}

/* Returns the smallest quota of the group and those above it, up to the mount's root. `folder` has
 * the mount point in its first `stem` bytes, and is cut on the way. */
static int least_quota(char *folder, size_t stem, bool is_v2)
{
    int least = 0, n;

    for (;;) {
        char *end = strrchr(folder + stem, '/');

        n = quota_of(folder, is_v2);
        if (n > 0 && (least == 0 || n < least))
            least = n;
        if (!end)
            return least;
        *end = 0;
    }
}

/* Returns whether the words, with a comma between any two, have this one. */
static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (; words; words = strchr(words, ',')) {
        words += *words == ',';
        if (strncmp(words, word, n) == 0 && (words[n] == ',' || words[n] == 0))
            return true;
    }
    return false;
}

/* Finds the group in /proc/self/cgroup's lines "8:cpu,cpuacct:/group" (v1) and "0::/group" (v2). */
static bool find_group(const char *cgroup, bool is_v2, char group[PATH])
{
    char controllers[PATH];
    int number, n;

    for (; *cgroup; cgroup += strcspn(cgroup, "\n"), cgroup += *cgroup == '\n') {
        n = 0;
        controllers[0] = 0;
        if (sscanf(cgroup, "%d:%n", &number, &n) != 1 || n == 0)
            continue;
        cgroup += n;
        if (sscanf(cgroup, "%4095[^:\n]%n", controllers, &n) == 1)
            cgroup += n;
        if ((is_v2 ? number == 0 && !*controllers : has_word(controllers, "cpu")) &&
            sscanf(cgroup, ":%4095[^\n]", group) == 1)
            return true;
    }
    return false;
}

/* Makes the group's folder below the mount, whose root may be the group or one above it. A group
 * outside the root ("/.." in a namespace) is out of reach: then it is the mount's root. */
static size_t folder_of(char folder[FOLDER], const char *at, const char *root, const char *group)
{
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool is_below = strncmp(group, root, n) == 0 && (group[n] == '/' || group[n] == 0);

    group = is_below && !strstr(group, "/..") ? group + n : "";
    if (strcmp(group, "/") == 0)
        group = "";
    snprintf(folder, FOLDER, "%.4095s%.4095s", at, group);
    return strlen(at);
}

/* Returns the least quota below the mount of this line of mountinfo, "31 23 0:28 ROOT AT options -
 * TYPE source options"; 0 if it is not the mount of these cgroups. */
static int quota_by_mount(const char *line, bool is_v2, const char *group)
{
    char root[PATH], at[PATH], type[64], options[PATH], folder[FOLDER];
    const char *dash = strstr(line, " - ");
    size_t stem;

    if (!dash || sscanf(line, "%*d %*d %*s %4095s %4095s", root, at) != 2 ||
        sscanf(dash, " - %63s %*s %4095s", type, options) != 2)
        return 0;
    if (strcmp(type, is_v2 ? "cgroup2" : "cgroup") != 0 || (!is_v2 && !has_word(options, "cpu")))
        return 0;
    stem = folder_of(folder, at, root, group);
    return least_quota(folder, stem, is_v2);
}

int weft__cpu_quota(const char *cgroup, const char *mountinfo)
{
    char group[PATH], line[4 * PATH];
    int least = 0, n;

    for (int v = 1; v <= 2; v++) {
        if (!find_group(cgroup, v == 2, group))
            continue;
        for (const char *at = mountinfo; *at; at += n, at += *at == '\n') {
            int quota;

            n = (int)strcspn(at, "\n");
            snprintf(line, sizeof(line), "%.*s", n, at);
            quota = quota_by_mount(line, v == 2, group);
            if (quota > 0 && (least == 0 || quota < least))
                least = quota;
        }
    }
    return least;
}

static int quota_here(void)
{
    static const char *const names[] = {"/proc/self/cgroup", "/proc/self/mountinfo"};
    char *texts = malloc((size_t)2 * TEXT);
    int quota;

    if (!texts)
        return 0;
    for (int i = 0; i < 2; i++)
        slurp(names[i], texts + i * TEXT, TEXT);
    quota = weft__cpu_quota(texts, texts + TEXT);
    free(texts);
    return quota;
}

/* The kernel refuses a set that is smaller than its own, so the set grows until it fits. */
static int affinity(void)
{
    for (size_t most = 1024; most <= CPUS; most *= 4) {
        cpu_set_t *set = CPU_ALLOC(most);
        size_t size = CPU_ALLOC_SIZE(most);
        int n = set && sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;

        CPU_FREE(set);
        if (n > 0)
            return n;
    }
    return 1;
}

int weft__cpus(bool *by_quota)
{
    int n = affinity(), quota = quota_here();

    *by_quota = quota > 0 && quota < n;
    return *by_quota ? quota : n;
}
