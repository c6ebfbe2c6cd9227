/* SPDX-License-Identifier: MIT */
/* process.c - child processes: a task starts one and waits for its end.
 *
 * Owns: the list of children that tasks wait for. children.lock (rank GROUP) guards it.
 * Tasks and foreign threads call weft_process_run, and hold no lock; it waits. The end of a run
 * calls weft__children_discard, when no task runs any more.
 *
 * A foreign thread waits in waitid(2): it has no processor to give up, and its wait may outlast the
 * run.
 *
 * uv_spawn is not used: it takes SIGCHLD for itself, and it waits for ever for a child whose status
 * another thread has taken. A pidfd is ready as soon as the child has ended. */
#include "runtime/base/list.h"
#include "runtime/io/fd.h"
#include "runtime/sched/park.h"

#include <weft/fd.h>

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Returns a descriptor for the child, or a negative errno. */
static WEFT__NOINLINE int child_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd >= 0 ? fd : -errno;
}

/* Takes the status of a child, and waits for it unless options have WNOHANG. Returns WEFT_EAGAIN if
 * the child has not ended; -ECHILD if another thread, or the kernel, took the status. */
static WEFT__NOINLINE int child_status(idtype_t type, id_t id, int options)
{
    siginfo_t info = {0};
    int rc;

    do
        rc = waitid(type, id, &info, WEXITED | options);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return -errno;
    if (info.si_pid == 0)
        return WEFT_EAGAIN;
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* Waits for a child that the kernel gives no descriptor for, or that a foreign thread started.
 * Blocks the thread meanwhile. */
static int child_block(pid_t pid)
{
    int status;

    weft_blocking_begin();
    status = child_status(P_PID, (id_t)pid, 0);
    weft_blocking_end();
    return status;
}

/* A child that a task waits for, on that task's stack. The end of a run closes the descriptors of
 * tasks that will never run again. */
struct child {
    weft__link link; /* in children.all */
    int fd;
};

static struct {
    uint32_t lock; /* rank GROUP */
    weft__link *all;
} children;

static void child_link(struct child *c)
{
    weft__lock(&children.lock, WEFT__RANK_GROUP);
    weft__list_push(&children.all, &c->link);
    weft__unlock(&children.lock);
}

static void child_unlink(struct child *c)
{
    weft__lock(&children.lock, WEFT__RANK_GROUP);
    weft__list_remove(&c->link);
    weft__unlock(&children.lock);
}

void weft__children_discard(void)
{
    for (weft__link *l = children.all; l; l = l->next)
        close(weft__container_of(l, struct child, link)->fd);
    children.all = NULL;
}

/* Waits until the child has ended. Returns < 0 if its descriptor cannot be polled. */
static int child_wait(struct child *c, const char *const argv[])
{
    weft__worker *w = weft__enter("weft_process_run");
    int rc;

    child_link(c);
    rc = weft__fd_wait(w, c->fd, WEFT_FD_READ, WEFT__WAIT_PROCESS, argv, WEFT_FOREVER);
    child_unlink(c);
    weft__exit();
    return rc;
}

/* Waits until the child has ended, and returns its status as a shell would, or a code. */
static int child_end(pid_t pid, const char *const argv[])
{
    struct child c = {.fd = child_open(pid)};
    int rc;

    if (c.fd < 0)
        return c.fd == -ESRCH ? -ECHILD : child_block(pid);
    while ((rc = child_status(P_PIDFD, (id_t)c.fd, WNOHANG)) == WEFT_EAGAIN) {
        if (child_wait(&c, argv) < 0) {
            rc = child_block(pid);
            break;
        }
    }
    close(c.fd);
    return rc;
}

/* Starts the program. Returns 0 or a negative errno. The child begins with no signal blocked and
 * none ignored: our threads block some, which the program knows nothing of. */
static int child_start(const char *const argv[], pid_t *pid)
{
    posix_spawnattr_t attr;
    sigset_t set;
    int rc;

    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attr, &set);
    sigfillset(&set);
    posix_spawnattr_setsigdefault(&attr, &set);
    rc = posix_spawnp(pid, argv[0], NULL, &attr, (char **)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attr);
    return -rc;
}

/* Starts the program outside the runtime: if that takes long (a large file, a slow disk), the
 * monitor gives the processor to other tasks. */
int weft_process_run(const char *const argv[])
{
    bool is_foreign;
    pid_t pid;
    int rc;

    if (!argv || !argv[0])
        return WEFT_EINVAL;
    is_foreign = weft__enter("weft_process_run")->foreign;
    weft__exit();
    rc = child_start(argv, &pid);
    if (rc < 0)
        return rc;
    return is_foreign ? child_block(pid) : child_end(pid, argv);
}
