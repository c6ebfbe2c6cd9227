/* SPDX-License-Identifier: MIT */
/* watch.c - watches descriptors of the program, while tasks wait for them (netpoll.h).
 *
 * Owns: fd_epoll of each loop, and l->fds, the watches of each descriptor.
 * Lock: l->fd_lock (rank OBJECT) guards l->fds and the watches linked there.
 * Always, outside l->fd_lock: a number with watches is armed for every event that they want; a
 * number without watches is not armed (EPOLLONESHOT), since the program may close and reuse it.
 * Only the loop's owner calls weft__watch_begin, and its polls see the events. Any thread may call
 * weft__watch_leave: unlike a loop of libuv, the kernel's epoll may be changed by any.
 *
 * libuv's handles do not fit these descriptors: a handle makes its descriptor non-blocking, though
 * its flags are the program's; a loop takes one handle for a number, though several tasks may wait;
 * each error is reported as UV_EBADF; and closing a handle takes a turn of the loop. So each loop
 * has an epoll of its own for them, which libuv watches as one descriptor. */
#include "runtime/uv/loop.h"

#include <weft/fd.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The least length of a loop's table, and the events that one call of epoll_wait takes. */
enum { FDS_MIN = 64, FOUND_MAX = 64 };

/* Returns the wanted events that are ready. A hang-up or an error ends any wait, since the next
 * call on the descriptor returns at once, with the error. */
static int ready_of(uint32_t epoll_events, int wanted)
{
    if (epoll_events & (EPOLLERR | EPOLLHUP))
        return wanted;
    return (((epoll_events & EPOLLRDHUP) ? WEFT__FD_GONE : 0) |
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

    for (const weft__watch *f = l->fds[fd]; f; f = f->next) {
        e.events |= (f->events & WEFT_FD_READ) ? EPOLLIN : 0;
        e.events |= (f->events & WEFT_FD_WRITE) ? EPOLLOUT : 0;
        e.events |= (f->events & WEFT__FD_GONE) ? EPOLLRDHUP : 0;
    }
    if (epoll_ctl(l->fd_epoll, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    if (errno == ENOENT && epoll_ctl(l->fd_epoll, EPOLL_CTL_ADD, fd, &e) == 0)
        return 0;
    return -errno;
}

/* Unlinks the wait at *at. Caller holds the lock. */
static void unlink_wait(weft__loop *l, weft__watch **at)
{
    weft__check_holds(&l->fd_lock);
    (*at)->linked = false;
    *at = (*at)->next;
    weft__sub(&l->fd_waits, 1);
}

/* Ends the waits for fd that want one of these events; with rc < 0 ends all of them, with that
 * result. Caller holds the lock. */
static void wake_waits(weft__loop *l, int fd, uint32_t events, int rc)
{
    weft__check_holds(&l->fd_lock);
    weft__watch **at = &l->fds[fd];

    while (*at) {
        weft__watch *f = *at;
        int result = rc < 0 ? rc : ready_of(events, f->events);

        if (result == 0) {
            at = &f->next;
            continue;
        }
        unlink_wait(l, at);
        f->ended(f, result);
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
    weft__watch **fds;

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

int weft__watch_begin(weft__loop *l, int fd, weft__watch *f)
{
    int rc = l->fd_epoll < 0 ? make_epoll(l) : 0;

    if (rc < 0)
        return rc;
    weft__lock(&l->fd_lock, WEFT__RANK_OBJECT);
    if ((size_t)fd >= l->nfds)
        rc = make_room(l, fd);
    if (rc == 0) {
        f->next = l->fds[fd];
        f->linked = true;
        l->fds[fd] = f;
        weft__add(&l->fd_waits, 1);
        rc = arm(l, fd);
        if (rc < 0)
            unlink_wait(l, &l->fds[fd]);
    }
    weft__unlock(&l->fd_lock);
    return rc;
}

/* The last wait for a number disarms it. */
void weft__watch_leave(weft__loop *l, int fd, weft__watch *f)
{
    weft__lock(&l->fd_lock, WEFT__RANK_OBJECT);
    if (f->linked) {
        weft__watch **at = &l->fds[fd];

        while (*at != f)
            at = &(*at)->next;
        unlink_wait(l, at);
        if (!l->fds[fd])
            /* Fails if fd was closed, which also ends the watch. */
            epoll_ctl(l->fd_epoll, EPOLL_CTL_DEL, fd, NULL);
    }
    weft__unlock(&l->fd_lock);
}

int weft__watch_look(int fd, int events)
{
    struct pollfd p = {.fd = fd,
                       .events = (short)(((events & WEFT_FD_READ) ? POLLIN : 0) |
                                         ((events & WEFT_FD_WRITE) ? POLLOUT : 0))};
    int n = poll(&p, 1, 0);

    if (n <= 0)
        return n < 0 && errno != EINTR ? -errno : 0;
    return (p.revents & POLLNVAL) ? -EBADF : ready_of((uint32_t)p.revents, events);
}
_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR &&
                   POLLHUP == EPOLLHUP,
               "events of poll are events of epoll");
