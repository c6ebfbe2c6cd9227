/* SPDX-License-Identifier: MIT */
/* uv_fd.c - waits on descriptors and child processes.
 *
 * A foreign descriptor is never left armed: its number may be closed and reused behind our back,
 * and a second uv_poll_t on it would fail. So each wait makes a handle in the loop of the
 * processor it starts on, and does not return before the handle is closed there. */
#include "park.h"
#include "uv_loop.h"

#include <weft/fd.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct fd_wait {
    uv_poll_t poll;
    weft__mail mail;
    weft__waiter wt;   /* for the event */
    weft__waiter gone; /* for the handle's end, after a deadline or cancellation */
    weft__loop *loop;
    int events;
    bool abandoned, closed; /* the loop's owner */
};

static void wake(weft__waiter *wt, int result)
{
    if (weft__claim(wt->task, wt->ticket, result))
        weft__ready(wt->task);
}

static void fd_closed(uv_handle_t *h)
{
    struct fd_wait *f = weft__container_of(h, struct fd_wait, poll);

    f->loop->users--;
    f->closed = true;
    if (f->abandoned)
        wake(&f->gone, 0);
    else
        wake(&f->wt, f->events); /* in vain if the waiter is about to abandon us */
}

static void fd_event(uv_poll_t *h, int status, int events)
{
    struct fd_wait *f = weft__container_of(h, struct fd_wait, poll);

    f->events = status < 0 ? status : events;
    uv_close((uv_handle_t *)h, fd_closed);
}

/* On the loop's owner: the waiter wants to go. The event may have been quicker, even to the end. */
static void fd_abandon(weft__proc *p, weft__mail *m)
{
    struct fd_wait *f = weft__container_of(m, struct fd_wait, mail);

    (void)p;
    f->abandoned = true;
    if (f->closed)
        wake(&f->gone, 0);
    else if (!uv_is_closing((uv_handle_t *)&f->poll))
        uv_close((uv_handle_t *)&f->poll, fd_closed);
}

static int fd_start(struct fd_wait *f, weft__proc *p, int fd, int events)
{
    int rc = uv_poll_init(&p->loop->uv, &f->poll, fd);

    if (rc < 0)
        return rc;
    f->loop = p->loop;
    f->loop->users++;
    f->abandoned = f->closed = false;
    return uv_poll_start(&f->poll,
                         ((events & WEFT_FD_READ) ? UV_READABLE : 0) |
                             ((events & WEFT_FD_WRITE) ? UV_WRITABLE : 0),
                         fd_event);
}

struct fd_post {
    struct fd_wait *f;
    weft__proc *p;
};

static void post_abandon(void *arg)
{
    struct fd_post *post = arg;

    weft__proc_post(post->p, &post->f->mail);
}

/* The handle must be closed before its memory, in our frame, goes. */
static void fd_give_up(struct fd_wait *f, weft__proc *p)
{
    struct fd_post post = {f, p};
    weft__task *t = weft__self()->task;

    weft__waiter_init(&f->gone, t);
    f->mail.deliver = fd_abandon;
    weft__park(t, WEFT__WAIT_WORK, f, post_abandon, &post, WEFT_FOREVER);
}

/* What poll(2) sees now, for a deadline that has passed: the loop would look too late. */
static int fd_try(int fd, int events)
{
    struct pollfd p = {.fd = fd,
                       .events = (short)(((events & WEFT_FD_READ) ? POLLIN : 0) |
                                         ((events & WEFT_FD_WRITE) ? POLLOUT : 0))};
    int n = poll(&p, 1, 0);

    if (n < 0)
        return -errno;
    if (n == 0)
        return 0;
    if (p.revents & POLLNVAL)
        return UV_EBADF;
    if (p.revents & (POLLERR | POLLHUP))
        return events;
    return ((p.revents & POLLIN) ? WEFT_FD_READ : 0) | ((p.revents & POLLOUT) ? WEFT_FD_WRITE : 0);
}

static int fd_wait(weft__worker *w, int fd, int events, enum weft__reason why, const void *object,
                   weft_time deadline)
{
    struct fd_wait f;
    weft__proc *p = w->p;
    int rc;

    if (deadline <= weft__nanos() && (rc = fd_try(fd, events)) != 0)
        return rc;
    rc = fd_start(&f, p, fd, events);
    if (rc < 0)
        return rc;
    weft__add(&weft__sched.outside, 1);
    weft__waiter_init(&f.wt, w->task);
    rc = weft__park(w->task, why, object, NULL, NULL, deadline);
    if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED)
        fd_give_up(&f, p);
    weft__sub(&weft__sched.outside, 1);
    if (rc <= 0)
        return rc;
    return ((rc & UV_READABLE) ? WEFT_FD_READ : 0) | ((rc & UV_WRITABLE) ? WEFT_FD_WRITE : 0);
}

int weft_fd_wait_until(int fd, int events, weft_time deadline)
{
    weft__worker *w;
    int rc;

    if (fd < 0 || (events & ~(WEFT_FD_READ | WEFT_FD_WRITE)) || events == 0)
        return WEFT_EINVAL;
    w = weft__enter("weft_fd_wait");
    if (!w->p)
        weft__panic("weft: weft_fd_wait called on a thread that is no task");
    rc = fd_wait(w, fd, events, WEFT__WAIT_IO, (void *)(intptr_t)fd, deadline);
    weft__exit();
    return rc;
}

/* Child processes ------------------------------------------------------------------------------ */

/* Not libuv's: that takes SIGCHLD for itself, and never hears of a child that another thread has
 * waited for. A pidfd is ready when the child has ended, whoever takes its status. */

/* Waits, but for its deadline, like weft_fd_wait; not cancelable. */
static int child_wait(int fd, const char *const argv[])
{
    weft__worker *w = weft__enter("weft_process_run");
    int rc = fd_wait(w, fd, WEFT_FD_READ, WEFT__WAIT_PROCESS, argv, WEFT_FOREVER);

    weft__exit();
    return rc;
}

static WEFT__NOINLINE int child_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd >= 0 ? fd : -errno;
}

/* Takes the status of a child, and waits for it unless options have WNOHANG. Returns WEFT_EAGAIN if
 * it has not ended; -ECHILD if somebody else took the status. */
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

/* Without a descriptor for it the child keeps a thread. */
static int child_block(pid_t pid)
{
    int status;

    weft_blocking_begin();
    status = child_status(P_PID, (id_t)pid, 0);
    weft_blocking_end();
    return status;
}

static int child_end(pid_t pid, const char *const argv[])
{
    int fd = child_open(pid), rc;

    if (fd < 0)
        return fd == -ESRCH ? -ECHILD : child_block(pid);
    while ((rc = child_status(P_PIDFD, (id_t)fd, WNOHANG)) == WEFT_EAGAIN) {
        if (child_wait(fd, argv) < 0) {
            rc = child_block(pid);
            break;
        }
    }
    close(fd);
    return rc;
}

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

/* The program is started outside the runtime: if that takes its time, others get the processor. */
int weft_process_run(const char *const argv[])
{
    pid_t pid;
    int rc;

    if (!argv || !argv[0])
        return WEFT_EINVAL;
    if (!weft__enter("weft_process_run")->p)
        weft__panic("weft: weft_process_run called on a thread that is no task");
    weft__exit();
    rc = child_start(argv, &pid);
    return rc < 0 ? rc : child_end(pid, argv);
}
