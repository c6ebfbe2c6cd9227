/* SPDX-License-Identifier: MIT */
/* forbidden.c - see forbidden.h. Owns nothing.
 *
 *   # process_vm_readv: Operation not permitted: the holders of locks are not shown */
#include "profiles/render/forbidden.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

/* The tries. Each returns 0, or the errno of the call that failed. */

static int try_to_copy(void)
{
    char from = 1, to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};

    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 ? 0 : errno;
}

static int try_to_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int try_maps(void)
{
    return try_to_open("/proc/self/maps");
}

static int try_program(void)
{
    return try_to_open("/proc/self/exe");
}

static int try_calls(void)
{
    return try_to_open("/proc/thread-self/syscall");
}

static const struct {
    const char *call;
    int (*fails)(void);
    const char *missing;
} looks[] = {
    {"process_vm_readv", try_to_copy, "the holders of locks are not shown"},
    {"open of /proc/self/maps", try_maps, "the files of code are not shown"},
    {"open of /proc/self/exe", try_program, "names and lines of the program's code are not shown"},
    {"open of /proc/self/task/*/syscall", try_calls, "tasks in calls have no stack"},
};

int weft__forbidden_put(struct weft__out *o, const char *before)
{
    int n = 0;

    for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++) {
        int error = looks[i].fails();

        if (error == 0)
            continue;
        weft__out_str(o, before);
        weft__out_str(o, looks[i].call);
        weft__out_str(o, ": ");
        weft__out_str(o, strerrordesc_np(error) ? strerrordesc_np(error) : "failed");
        weft__out_str(o, ": ");
        weft__out_str(o, looks[i].missing);
        weft__out_char(o, '\n');
        n++;
    }
    return n;
}
