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

static int fd_wait(weft__worker *w, int fd, int events, weft_time deadline)
{
    struct fd_wait f;
    weft__proc *p = w->p;
    int rc;

    if (!p)
        weft__panic("weft: weft_fd_wait called on a thread that is no task");
    if (deadline <= weft__nanos() && (rc = fd_try(fd, events)) != 0)
        return rc;
    rc = fd_start(&f, p, fd, events);
    if (rc < 0)
        return rc;
    weft__add(&weft__sched.outside, 1);
    weft__waiter_init(&f.wt, w->task);
    rc = weft__park(w->task, WEFT__WAIT_IO, (void *)(intptr_t)fd, NULL, NULL, deadline);
    if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED)
        fd_give_up(&f, p);
    weft__sub(&weft__sched.outside, 1);
    if (rc <= 0)
        return rc;
    return ((rc & UV_READABLE) ? WEFT_FD_READ : 0) | ((rc & UV_WRITABLE) ? WEFT_FD_WRITE : 0);
}

int weft_fd_wait_until(int fd, int events, weft_time deadline)
{
    int rc;

    if (fd < 0 || (events & ~(WEFT_FD_READ | WEFT_FD_WRITE)) || events == 0)
        return WEFT_EINVAL;
    rc = fd_wait(weft__enter("weft_fd_wait"), fd, events, deadline);
    weft__exit();
    return rc;
}

/* Child processes ------------------------------------------------------------------------------ */

struct child {
    uv_process_t process;
    weft__waiter wt;
    weft__loop *loop;
    int status;
};

static void child_closed(uv_handle_t *h)
{
    struct child *c = weft__container_of(h, struct child, process);

    c->loop->users--;
    wake(&c->wt, c->status);
}

static void child_exited(uv_process_t *h, int64_t status, int signo)
{
    struct child *c = weft__container_of(h, struct child, process);

    c->status = signo ? 128 + signo : (int)status;
    uv_close((uv_handle_t *)h, child_closed);
}

static int process_run(weft__worker *w, const char *const argv[])
{
    uv_stdio_container_t io[3] = {
        {.flags = UV_INHERIT_FD, .data.fd = 0},
        {.flags = UV_INHERIT_FD, .data.fd = 1},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .file = argv[0],
        .args = (char **)(uintptr_t)argv,
        .exit_cb = child_exited,
        .stdio = io,
        .stdio_count = 3,
    };
    struct child c;
    int rc;

    if (!w->p)
        weft__panic("weft: weft_process_run called on a thread that is no task");
    c.loop = w->p->loop;
    c.loop->users++;
    weft__waiter_init(&c.wt, w->task);
    rc = uv_spawn(&c.loop->uv, &c.process, &options);
    c.status = rc;
    if (rc < 0)
        uv_close((uv_handle_t *)&c.process, child_closed);
    weft__add(&weft__sched.outside, 1);
    rc = weft__park(w->task, WEFT__WAIT_PROCESS, (void *)(uintptr_t)argv, NULL, NULL, WEFT_FOREVER);
    weft__sub(&weft__sched.outside, 1);
    return rc;
}

int weft_process_run(const char *const argv[])
{
    int rc;

    if (!argv || !argv[0])
        return WEFT_EINVAL;
    rc = process_run(weft__enter("weft_process_run"), argv);
    weft__exit();
    return rc;
}
