/* SPDX-License-Identifier: MIT */
/* limits.c - ends the program when the system gives no memory or no thread, and names the limits in
 * force.
 *
 * Owns no state. "Out of memory" alone leaves the user guessing: the machine may have plenty, and
 * an rlimit or the policy of overcommitting refuses. So the report names each limit that can be the
 * cause. Nothing here allocates, since there is no memory. Any thread may call, under any lock.
 * base.h declares the functions. */
#include "runtime/base/base.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

struct text {
    char at[160];
    size_t n;
};

static void append(struct text *t, const char *format, ...) WEFT__PRINTF(2, 3);

/* Appends to t, and cuts the text where t is full. */
static void append(struct text *t, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(t->at + t->n, sizeof(t->at) - t->n, format, ap);
    va_end(ap);
    t->n = n < (int)(sizeof(t->at) - t->n) ? t->n + (size_t)n : sizeof(t->at) - 1;
}

/* Appends the limit if the process has one. */
static void say_limit(struct text *t, __rlimit_resource_t which, const char *name)
{
    struct rlimit limit;

    if (getrlimit(which, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        append(t, "; %s is %llu KiB", name, (unsigned long long)limit.rlim_cur / 1024);
}

/* Returns whether the kernel counts reserved memory as used (vm.overcommit_memory=2). Then stacks
 * count with their full size, and the machine refuses long before its memory is full. */
static bool never_overcommits(void)
{
    int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    char mode = 0;
    bool is_strict = fd >= 0 && read(fd, &mode, 1) == 1 && mode == '2';

    if (fd >= 0)
        close(fd);
    return is_strict;
}

void weft__no_memory(const char *remedy, const char *format, ...)
{
    struct text limits = {0};
    char what[128];
    va_list ap;

    va_start(ap, format);
    vsnprintf(what, sizeof(what), format, ap);
    va_end(ap);
    say_limit(&limits, RLIMIT_AS, "ulimit -v");
    say_limit(&limits, RLIMIT_DATA, "ulimit -d");
    if (never_overcommits())
        append(&limits, "; vm.overcommit_memory is 2");
    if (remedy)
        append(&limits, "; %s", remedy);
    weft__fatal("out of memory (%s)%s", what, limits.at);
}

void weft__no_thread(unsigned beside)
{
    weft__fatal("cannot start a thread beside %u (ulimit -u, pids.max, vm.max_map_count or memory)",
                beside);
}
