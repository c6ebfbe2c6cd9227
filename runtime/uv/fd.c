/* SPDX-License-Identifier: MIT */
/* uv/fd.c - waits for descriptors of the program, and for child processes by descriptors.
 *
 * Owns: fd_epoll of each loop; l->fds, the waits for each descriptor; and the list of children that
 * tasks wait for.
 * Lock: l->fd_lock (rank OBJECT) guards l->fds and the waits linked there. children.lock (rank
 * GROUP) guards the list of children.
 * Always, outside l->fd_lock: a number with waits is armed for every event that they want; a number
 * without waits is not armed (EPOLLONESHOT), since the program may close and reuse it.
 * Only tasks call the public functions, and hold no lock; they wait. The end of a run calls
 * weft__children_discard, when no task runs any more. A wait begins on the task's
 * processor, and its loop's owner sees the events. A wait that ends at its deadline, or canceled,
 * may leave from any thread: unlike a loop of libuv, the kernel's epoll may be changed by any.
 *
 * libuv's handles do not fit these descriptors: a handle makes its descriptor non-blocking, though
 * its flags are the program's; a loop takes one handle for a number, though several tasks may wait;
 * each error is reported as UV_EBADF; and closing a handle takes a turn of the loop. So each loop
 * has an epoll of its own for them, which libuv watches as one descriptor. */
#include "runtime/base/list.h"
#include "runtime/sched/park.h"
#include "runtime/uv/loop.h"

#include <weft/fd.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The least length of a loop's table, and the events that one call of epoll_wait takes. */
enum { FDS_MIN = 64, FOUND_MAX = 64 };
/* An event beside WEFT_FD_*: the peer has closed its side and sends no more. */
enum { GONE = 4 };

/* A wait, on its task's stack. */
struct weft__fd_wait {
    weft__fd_wait *next; /* the next wait for the same descriptor; guarded by l->fd_lock */
    weft__waiter wt;     /* its `queued` means: linked in fds */
    int events;          /* WEFT_FD_* or GONE; constant */
};

/* Events --------------------------------------------------------------------------------------- */

/* Returns the wanted events that are ready. A hang-up or an error ends any wait, since the next
 * call on the descriptor returns at once, with the error. */
static int ready_of(uint32_t epoll_events, int wanted)
{
    if (epoll_events & (EPOLLERR | EPOLLHUP))
        return wanted;
    return (((epoll_events & EPOLLRDHUP) ? GONE : 0) |
            ((epoll_events & EPOLLIN) ? WEFT_FD_READ : 0) |
            ((epoll_events & EPOLLOUT) ? WEFT_FD_WRITE : 0)) &
           wanted;
}

/* Arms fd for one event of all those that its waits want. Returns 0 or a negative errno. Tries to
 * change an armed number first, since most waits come again. Caller holds the lock. Not inlined: a
 * task may change threads in its caller, and errno's address belongs to a thread. */
static WEFT__NOINLINE int arm(weft__loop *l, int fd)
{
    weft__check_holds(&l->fd_lock);
    struct epoll_event e = {.events = EPOLLONESHOT, .data.fd = fd};

    for (const weft__fd_wait *f = l->fds[fd]; f; f = f->next) {
        e.events |= (f->events & WEFT_FD_READ) ? EPOLLIN : 0;
        e.events |= (f->events & WEFT_FD_WRITE) ? EPOLLOUT : 0;
        e.events |= (f->events & GONE) ? EPOLLRDHUP : 0;
    }
    if (epoll_ctl(l->fd_epoll, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    if (errno == ENOENT && epoll_ctl(l->fd_epoll, EPOLL_CTL_ADD, fd, &e) == 0)
        return 0;
    return -errno;
}

/* Unlinks the wait at *at. Caller holds the lock. */
static void unlink_wait(weft__loop *l, weft__fd_wait **at)
{
    weft__check_holds(&l->fd_lock);
    (*at)->wt.queued = false;
    *at = (*at)->next;
    weft__sub(&l->fd_waits, 1);
}

/* Ends the waits for fd that want one of these events; with rc < 0 ends all of them, with that
 * result. Caller holds the lock. */
static void wake_waits(weft__loop *l, int fd, uint32_t events, int rc)
{
    weft__check_holds(&l->fd_lock);
    weft__fd_wait **at = &l->fds[fd];

    while (*at) {
        weft__waiter *wt = &(*at)->wt;
        int result = rc < 0 ? rc : ready_of(events, (*at)->events);

        if (result == 0) {
            at = &(*at)->next;
            continue;
        }
        unlink_wait(l, at);
        if (weft__waiter_claim(wt, result))
            weft__ready(wt->task);
    }
}

/* Wakes the tasks whose events are ready, and arms the numbers again that have waits left. Runs on
 * the loop's owner, in its poll. */
static void on_events(uv_poll_t *h, int status, int unused)
{
    weft__loop *l = weft__container_of(h, weft__loop, fd_poll);
    struct epoll_event found[FOUND_MAX];
    int n = epoll_wait(l->fd_epoll, found, FOUND_MAX, 0); /* the next poll gets the rest */

    (void)status;
    (void)unused;
    for (int i = 0; i < n; i++) {
        int fd = found[i].data.fd, rc;

        weft__lock(&l->fd_lock, WEFT__RANK_OBJECT);
        wake_waits(l, fd, found[i].events, 0);
        if (l->fds[fd] && (rc = arm(l, fd)) < 0)
            wake_waits(l, fd, 0, rc);
        weft__unlock(&l->fd_lock);
    }
}

/* Makes the loop's epoll, and has libuv watch it. Returns 0 or a UV_E*. Runs on the loop's owner,
 * at the first wait: most programs have none. */
static WEFT__NOINLINE int make_epoll(weft__loop *l)
{
    int fd = epoll_create1(EPOLL_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    rc = WEFT__UV(l, uv_poll_init, &l->uv, &l->fd_poll, fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    l->fd_epoll = fd;
    return WEFT__UV(l, uv_poll_start, &l->fd_poll, UV_READABLE, on_events);
}

/* Makes room for fd in the table. Refuses a number that is no descriptor, since a wrong number
 * could ask for gigabytes. Caller holds the lock. */
static WEFT__NOINLINE int make_room(weft__loop *l, int fd)
{
    weft__check_holds(&l->fd_lock);
    size_t n = l->nfds ? l->nfds : FDS_MIN;
    weft__fd_wait **fds;

    if (fcntl(fd, F_GETFD) < 0)
        return -errno;
    while (n <= (size_t)fd)
        n *= 2;
    fds = weft__alloc(n, sizeof(*fds));
    if (l->nfds)
        memcpy(fds, l->fds, l->nfds * sizeof(*fds));
    weft__free(l->fds);
    l->fds = fds;
    l->nfds = n;
    return 0;
}

/* Waits ---------------------------------------------------------------------------------------- */

/* Begins a wait: links it and arms its number. Returns 0 or a negative errno. Runs on the loop's
 * owner. */
static int begin(weft__loop *l, int fd, weft__fd_wait *f)
{
    int rc = l->fd_epoll < 0 ? make_epoll(l) : 0;

    if (rc < 0)
        return rc;
    weft__lock(&l->fd_lock, WEFT__RANK_OBJECT);
    if ((size_t)fd >= l->nfds)
        rc = make_room(l, fd);
    if (rc == 0) {
        f->next = l->fds[fd];
        f->wt.queued = true;
        l->fds[fd] = f;
        weft__add(&l->fd_waits, 1);
        rc = arm(l, fd);
        if (rc < 0)
            unlink_wait(l, &l->fds[fd]);
    }
    weft__unlock(&l->fd_lock);
    return rc;
}

/* Removes a wait that ended without an event, on any thread. The last wait for a number disarms
 * it. */
static void leave(weft__loop *l, int fd, weft__fd_wait *f)
{
    weft__lock(&l->fd_lock, WEFT__RANK_OBJECT);
    if (f->wt.queued) {
        weft__fd_wait **at = &l->fds[fd];

        while (*at != f)
            at = &(*at)->next;
        unlink_wait(l, at);
        if (!l->fds[fd])
            /* Fails if fd was closed, which also ends the watch. */
            epoll_ctl(l->fd_epoll, EPOLL_CTL_DEL, fd, NULL);
    }
    weft__unlock(&l->fd_lock);
}

/* Returns the wanted events that are ready now; 0 if there are none; a negative errno. For waits
 * whose deadline has passed, which need no epoll. */
static WEFT__NOINLINE int look(int fd, int events)
{
    struct pollfd p = {.fd = fd,
                       .events = (short)(((events & WEFT_FD_READ) ? POLLIN : 0) |
                                         ((events & WEFT_FD_WRITE) ? POLLOUT : 0))};
    int n = poll(&p, 1, 0);

    if (n <= 0)
        return n < 0 && errno != EINTR ? -errno : 0;
    return (p.revents & POLLNVAL) ? UV_EBADF : ready_of((uint32_t)p.revents, events);
}
_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR &&
                   POLLHUP == EPOLLHUP,
               "events of poll are events of epoll");

/* Waits for events of fd, inside the runtime. Returns those that are ready, > 0; or a code. */
static int fd_wait(weft__worker *w, int fd, int events, enum weft__reason why, const void *object,
                   weft_time deadline)
{
    bool waits = deadline != WEFT_NOW && deadline > weft__nanos();
    weft__fd_wait f = {.events = events};
    weft__loop *l = w->p->loop;
    int rc;

    weft__waiter_init(&f.wt, w->task);
    rc = waits ? begin(l, fd, &f) : look(fd, events);
    if (rc != 0)
        return rc;
    rc = weft__park_outside(w->task, why, object, NULL, NULL, deadline);
    if (waits && (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED))
        leave(l, fd, &f);
    return rc;
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

int weft__fd_wait_gone(int fd)
{
    int rc = fd_wait(weft__enter("weft_http_server_serve"), fd, GONE, WEFT__WAIT_IO,
                     (void *)(intptr_t)fd, WEFT_FOREVER);

    weft__exit();
    return rc;
}

/* Child processes ------------------------------------------------------------------------------ */

/* uv_spawn is not used: it takes SIGCHLD for itself, and it waits for ever for a child whose status
 * another thread has taken. A pidfd is ready as soon as the child has ended. */

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

/* Waits for a child that the kernel gives no descriptor for. Blocks the thread meanwhile. */
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
    rc = fd_wait(w, c->fd, WEFT_FD_READ, WEFT__WAIT_PROCESS, argv, WEFT_FOREVER);
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
