/* SPDX-License-Identifier: MIT */
/* test_forbidden.c - reports when the descriptor or the kernel is in the way: a descriptor that
 * does not block, a process that may not look at itself. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TASKS = 300, PIPE = 4096 };

static char text[1 << 20];

static void wait_for_ever(void *arg)
{
    weft_chan_recv(NULL, arg);
}

/* ---- descriptors that do not block ---- */

static int ends[2];

static void make_pipe(void)
{
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, PIPE), PIPE);
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
}

/* Begins when the writer has begun. */
static void *read_slowly(void *arg)
{
    size_t n = 0;
    ssize_t got;
    int full = 0;

    while (full == 0)
        CHECK_EQ(ioctl(ends[0], FIONREAD, &full), 0);
    while ((got = read(ends[0], text + n, 1000)) > 0)
        n += (size_t)got;
    text[n] = 0;
    return arg;
}

static int blocks(void)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, "goroutine ")) != NULL; at++)
        n += at == text || at[-1] == '\n';
    return n;
}

TEST(dump_to_a_pipe_that_does_not_block_is_whole)
{
    pthread_t reader;

    go_many(TASKS, wait_for_ever, NULL);
    make_pipe();
    CHECK_EQ(pthread_create(&reader, NULL, read_slowly, NULL), 0);
    CHECK_EQ(weft_dump(ends[1], NULL), 0);
    close(ends[1]);
    CHECK_EQ(pthread_join(reader, NULL), 0);
    CHECK_EQ(blocks(), TASKS + 1);
}

static int panic_beside_tasks(void *arg)
{
    go_many(TASKS, wait_for_ever, arg);
    weft_panic("enough");
}

TEST_PLAIN(report_to_a_pipe_that_does_not_block_is_whole)
{
    int status;
    pid_t pid;

    make_pipe();
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        weft_run(panic_beside_tasks, NULL);
    }
    close(ends[1]);
    read_slowly(NULL);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    CHECK_EQ(blocks(), TASKS + 1);
}

/* ---- what the kernel forbids ---- */

/* Makes the call fail with EPERM from now on in this process. */
static void forbid(int call)
{
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(lines) / sizeof(*lines), lines};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        _exit(77);
}

static weft_mutex mutex;

static int lock_twice(void *arg)
{
    weft_go(wait_for_ever, arg);
    weft_mutex_lock(&mutex);
    weft_mutex_lock(&mutex);
    return 0;
}

static int die(void *arg)
{
    weft_go(wait_for_ever, arg);
    weft_yield();
    *(volatile char *)mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
    return 0;
}

static void sleep_in_a_call(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    usleep(30000000);
}

/* Has all parts of weft look at the process: the monitor, dumps, a profile. */
static int work(void *arg)
{
    static atomic_int sleeps;
    char *dump;

    (void)arg;
    weft_go(wait_for_ever, NULL);
    weft_go(sleep_in_a_call, &sleeps);
    wait_for(&sleeps, 1);
    weft_sleep(20 * WEFT_MILLISECOND); /* the monitor looks at the call, too */
    free(dump_text(WEFT_DUMP_TASKS));
    free(dump_text(WEFT_DUMP_PPROF));
    free(profile_text("block", (weft_profile_options){0}));
    dump = dump_text(WEFT_DUMP_FULL);
    fputs(dump, stderr);
    free(dump);
    _exit(0); /* the end of the run would wait for the call */
}

static weft_main_fn *to_run;
static void (*before)(void);

static void run_it(void)
{
    before();
    _exit(weft_run(to_run, NULL));
}

static int forbidden(void (*prepare)(void), weft_main_fn *fn)
{
    int status;

    if (under_asan() || under_tsan())
        SKIP("sanitizers look at the process, too");
    before = prepare;
    to_run = fn;
    status = in_child(run_it, text, sizeof(text));
    if (status == 77)
        SKIP("no seccomp");
    return status;
}

static void no_copies(void)
{
    forbid(SYS_process_vm_readv);
}

static void no_files(void)
{
    forbid(SYS_openat);
}

static void not_dumpable(void)
{
    if (getuid() == 0 && setuid(65534) != 0)
        _exit(77);
    prctl(PR_SET_DUMPABLE, 0);
}

#define NO_COPIES "process_vm_readv: Operation not permitted: the holders of locks are not shown\n"
#define NO_MAPS                                                                                    \
    "open of /proc/self/maps: Operation not permitted: the files of code are not shown\n"

TEST_PLAIN(deadlock_report_says_that_it_may_not_copy)
{
    CHECK_EQ(forbidden(no_copies, lock_twice), 2);
    CHECK_CONTAINS(text, "deadlock!\n\nweft: " NO_COPIES "\n");
    CHECK_CONTAINS(text, "\nlock_twice(...)\n");
    CHECK_EQ(blocks(), 2);
}

TEST_PLAIN(fault_report_says_that_it_may_not_copy)
{
    CHECK_EQ(forbidden(no_copies, die), 128 + SIGSEGV);
    CHECK_CONTAINS(text, "weft: goroutine 1 died on thread ");
    CHECK_CONTAINS(text, "\nweft: " NO_COPIES);
    CHECK_EQ(blocks(), 2);
}

TEST_PLAIN(fault_report_says_that_it_may_not_open)
{
    CHECK_EQ(forbidden(no_files, die), 128 + SIGSEGV);
    CHECK_CONTAINS(text, "weft: goroutine 1 died on thread ");
    CHECK_CONTAINS(text, "\nweft: " NO_MAPS);
    CHECK_EQ(blocks(), 2);
}

TEST_PLAIN(full_dump_says_that_it_may_not_copy)
{
    CHECK_EQ(forbidden(no_copies, work), 0);
    CHECK_CONTAINS(text, "\n# " NO_COPIES "\n");
    CHECK_EQ(blocks(), 3);
}

TEST_PLAIN(full_dump_says_that_it_may_not_open)
{
    CHECK_EQ(forbidden(no_files, work), 0);
    CHECK_CONTAINS(text, "\n# " NO_MAPS);
    CHECK_EQ(blocks(), 3);
}

TEST_PLAIN(full_dump_says_that_the_process_is_not_dumpable)
{
    CHECK_EQ(forbidden(not_dumpable, work), 0);
    CHECK_CONTAINS(text, "\n# open of /proc/self/task/*/syscall: Permission denied: ");
    CHECK_EQ(blocks(), 3);
}
