/* SPDX-License-Identifier: MIT */
/* test_surroundings.c - runs where the system lacks something: in a container, as process 1,
 * without /proc, under a filter of system calls. A run starts and serves, and a dump says what it
 * cannot know. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Uses a bit of everything, and returns 0 if a dump shows its tasks. */
static void sleeper(void *arg)
{
    weft_chan_recv(arg, NULL);
}

static int serves(void *arg)
{
    weft_chan *never = weft_chan_new(0, 0);
    char *text;
    int rc;

    (void)arg;
    go_many(100, sleeper, never);
    weft_sleep(5 * WEFT_MILLISECOND);
    text = dump_text(WEFT_DUMP_TASKS);
    rc = strstr(text, "goroutine 1 [running") && strstr(text, "[chan receive]") ? 0 : 1;
    if (rc != 0)
        fprintf(stderr, "%.4000s\n", text);
    free(text);
    weft_chan_close(never);
    return rc;
}

/* Returns the status of a run in a child that prepare has changed. */
static int run_after(int (*prepare)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (prepare() != 0)
            _exit(77);
        _exit(weft_run(serves, NULL));
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void check_run_after(int (*prepare)(void))
{
    int status = run_after(prepare);

    if (status == 77)
        SKIP("the kernel gives this process no namespaces");
    CHECK_EQ(status, 0);
}

/* Refuses the calls that Docker's and systemd's filters refuse, and madvise(102). */
static int filter(void)
{
#define REFUSE(nr)                                                                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                               \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        REFUSE(SYS_membarrier),
        REFUSE(SYS_ptrace),
        REFUSE(SYS_perf_event_open),
        REFUSE(SYS_process_vm_readv),
        REFUSE(SYS_process_madvise),
        REFUSE(SYS_pidfd_open),
        REFUSE(SYS_io_uring_setup),
        REFUSE(SYS_sched_setattr),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 102, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(f) / sizeof(*f), f};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST_PLAIN(run_under_a_filter_of_system_calls)
{
    check_run_after(filter);
}

static int spaces(int more)
{
    if (unshare(CLONE_NEWNS | more) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS | more) != 0)
        return -1;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int without_proc(void)
{
    return spaces(0) == 0 ? mount("none", "/proc", "tmpfs", 0, NULL) : -1;
}

TEST_PLAIN(run_without_proc)
{
    check_run_after(without_proc);
}

static int read_only(void)
{
    return spaces(0) == 0 && mount("/", "/", NULL, MS_BIND | MS_REC, NULL) == 0
               ? mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL)
               : -1;
}

TEST_PLAIN(run_with_a_read_only_root)
{
    check_run_after(read_only);
}

static int as_first(void)
{
    int status;
    pid_t child;

    if (spaces(CLONE_NEWPID) != 0)
        return -1;
    child = fork();
    if (child == 0)
        return getpid() == 1 ? 0 : -1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

TEST_PLAIN(run_as_process_one)
{
    check_run_after(as_first);
}

/* Names of mappings. The kernel may have none (CONFIG_ANON_VMA_NAME), so the call is what counts.
 */
static atomic_int named;

WEFT_API int prctl(int option, ...)
{
    va_list ap;
    unsigned long a[4];

    va_start(ap, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, unsigned long);
    va_end(ap);
    if (option == 0x53564d41 && strstr((const char *)a[3], "weft"))
        atomic_fetch_add(&named, 1);
    return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

TEST_PLAIN(stacks_have_a_name_in_the_list_of_mappings)
{
    CHECK_EQ(weft_run(serves, NULL), 0);
    CHECK(atomic_load(&named) >= 3); /* 100 stacks */
}
