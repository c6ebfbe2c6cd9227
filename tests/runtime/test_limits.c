/* SPDX-License-Identifier: MIT */
/* test_limits.c - calls that the kernel refuses: the API returns a code where it has one; else a
 * line names the call and the limit. In some of these cases libuv aborts. */
#include "sockets.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* (TSan changes errno between an abort and its handler.) */

/* Stands before libc's, for libuv, too. The epoll_ctl that adds a descriptor fails for lack of room
 * when its number, counted from 1, is `refused`. */
static atomic_int adds, refused;

WEFT_API int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_ADD && atomic_fetch_add(&adds, 1) + 1 == atomic_load(&refused)) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* Fails from now on. */
static void refuse_add(int number)
{
    atomic_store(&refused, atomic_load(&adds) + number);
}

TEST(wait_that_epoll_has_no_room_for_returns_its_code)
{
    struct pair p = tcp_pair();

    refuse_add(1); /* libuv tries each descriptor when its handle is made */
    CHECK_EQ(read_result(p.there), -ENOSPC);
    weft_conn_set_deadline(p.there, weft_after(10 * WEFT_MILLISECOND));
    CHECK_EQ(read_result(p.there), WEFT_ETIMEDOUT);
    close_pair(p);
}

static int wait_in_vain(void *arg)
{
    struct pair p = tcp_pair();

    (void)arg;
    refuse_add(2);
    return read_result(p.there);
}

static void run_in_vain(void)
{
    weft_run(wait_in_vain, NULL);
}

TEST_PLAIN(abort_of_libuv_names_its_call_and_the_limit)
{
    static char err[65536];

    CHECK_EQ(in_child(run_in_vain, err, sizeof(err)), 128 + SIGABRT);
    CHECK_CONTAINS(err, "weft: uv_run of libuv gives up: ");
    CHECK_CONTAINS(err, "\nSIGABRT: abort\n");
    CHECK_CONTAINS(err, "goroutine 1 [");
    if (!under_tsan())
        CHECK_CONTAINS(err, "fs.epoll.max_user_watches)\nSIGABRT");
}

static rlim_t descriptors;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void run_with_few_descriptors(void)
{
    struct rlimit few = {descriptors, descriptors};

    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    _exit(weft_run(nothing, NULL));
}

TEST_PLAIN(run_without_descriptors_names_call_and_limit)
{
    static char err[65536];
    int rc = 2, told = 0;

    for (descriptors = 3; rc != 0 && descriptors < 100; descriptors++) {
        rc = in_child(run_with_few_descriptors, err, sizeof(err));
        CHECK(rc == 0 || rc == 2);
        if (rc == 2) {
            CHECK_CONTAINS(err, "fatal error: ");
            if (!under_tsan())
                CHECK_CONTAINS(err,
                               ": Too many open files (descriptors of a process: ulimit -n)\n");
            told++;
        }
    }
    CHECK(told > 3);
    CHECK_EQ(rc, 0);
}

/* ---- memory ---- */

static struct {
    __rlimit_resource_t which;
    rlim_t bytes;
} memory;

static void run_with_little_memory(void)
{
    struct rlimit limit = {memory.bytes, memory.bytes};

    CHECK_EQ(setrlimit(memory.which, &limit), 0);
    _exit(weft_run(nothing, NULL));
}

/* Allows no thread at first, then more, until a run has enough. */
static void run_with_more_and_more(__rlimit_resource_t which, rlim_t step, const char *name)
{
    static char err[65536];
    int rc = 2, told = 0;

    memory.which = which;
    for (memory.bytes = 0; rc != 0 && memory.bytes < (rlim_t)1 << 30; memory.bytes += step) {
        rc = in_child(run_with_little_memory, err, sizeof(err));
        if (rc != 0 && rc != 2)
            FAIL("%s of %lu KiB: status %d, \"%s\"", name, (unsigned long)memory.bytes >> 10, rc,
                 err);
        if (rc == 2) {
            CHECK_CONTAINS(err, "fatal error: ");
            told += strstr(err, name) != NULL;
        }
    }
    CHECK(told > 3);
    CHECK_EQ(rc, 0);
}

TEST_PLAIN(run_without_memory_for_data_names_the_limit)
{
    if (under_asan() || under_tsan())
        SKIP("sanitizers need more memory than they can do without");
    run_with_more_and_more(RLIMIT_DATA, 512 << 10, "ulimit -d is ");
}

TEST_PLAIN(run_without_address_space_names_the_limit)
{
    if (under_asan() || under_tsan())
        SKIP("sanitizers need more memory than they can do without");
    run_with_more_and_more(RLIMIT_AS, 2 << 20, "ulimit -v is ");
}
