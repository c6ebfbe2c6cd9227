/* SPDX-License-Identifier: MIT */
/* cpus.h - the CPUs that this process may use. Any thread may call, and holds no lock. */
#ifndef WEFT_CPUS_H
#define WEFT_CPUS_H

#include <stdbool.h>

/* Returns how many CPUs the process may use at once: those that the caller's affinity allows, or
 * fewer under a quota, rounded up; *by_quota tells which. At least 1. */
int weft__cpus(bool *by_quota);

/* Returns the CPUs that the smallest quota of a cgroup and its ancestors is worth, rounded up; 0
 * without a quota. The texts have the form of /proc/self/cgroup and /proc/self/mountinfo. */
int weft__cpu_quota(const char *cgroup, const char *mountinfo);

#endif
