/* SPDX-License-Identifier: MIT */
/* fd.c - waits for descriptors of the program.
 *
 * Owns nothing: a wait is on its task's stack, and uv/watch.c links it while it lasts.
 * Tasks and foreign threads call these functions, and hold no lock; they wait. A wait begins on the
 * task's processor, whose loop's owner sees the events. A foreign thread has no processor: it asks
 * one by mail to begin. A wait that ends at its deadline, or canceled, may leave from any
 * thread. */
#include "runtime/io/fd.h"

#include "runtime/sched/park.h"

#include <weft/fd.h>

#include <sched.h>

struct fd_wait {
    weft__watch watch;
    weft__waiter wt;
    /* Of a foreign thread: the request to the processor, and whether it was answered. */
    weft__mail mail;
    weft__proc *p;
    int fd;
    uint32_t answered; /* atomic */
};

/* Wakes the task of a wait whose event has come. */
static void on_end(weft__watch *watch, int result)
{
    weft__waiter *wt = &weft__container_of(watch, struct fd_wait, watch)->wt;

    if (weft__waiter_claim(wt, result))
        weft__ready(wt->task);
}

/* Begins the watch of a foreign thread, on the owner of f->p. The thread may have left its wait
 * already, but stays in the call until `answered` is set. */
static void deliver(weft__proc *p, weft__mail *m)
{
    struct fd_wait *f = weft__container_of(m, struct fd_wait, mail);
    int rc = weft__watch_begin(p->loop, f->fd, &f->watch);

    if (rc < 0)
        on_end(&f->watch, rc);
    weft__chaos();
    weft__store_rel(&f->answered, 1); /* from here on f may be gone */
}

static void post(void *arg)
{
    struct fd_wait *f = arg;

    weft__proc_post(f->p, &f->mail);
}

/* Waits for a foreign thread, as weft__fd_wait does. Once the mail is being delivered it waits for
 * that to end, which is a matter of moments. */
static int wait_by_mail(weft__worker *w, struct fd_wait *f, enum weft__reason why,
                        const void *object, weft_time deadline)
{
    int rc;

    f->p = &weft__sched
                .procs[weft__random(&w->random) % (uint32_t)weft__load_acq(&weft__sched.active)];
    f->mail.deliver = deliver;
    rc = weft__park_outside(w->task, why, object, post, f, deadline);
    if (!weft__load_acq(&f->answered) && weft__proc_unpost(f->p, &f->mail))
        return rc;
    while (!weft__load_acq(&f->answered))
        sched_yield();
    if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED)
        weft__watch_leave(f->p->loop, f->fd, &f->watch);
    return rc;
}

int weft__fd_wait(weft__worker *w, int fd, int events, enum weft__reason why, const void *object,
                  weft_time deadline)
{
    bool waits = deadline != WEFT_NOW && deadline > weft__nanos();
    struct fd_wait f = {.watch = {.events = events, .ended = on_end}, .fd = fd};
    weft__loop *l;
    int rc;

    weft__waiter_init(&f.wt, w->task);
    if (waits && w->foreign)
        return wait_by_mail(w, &f, why, object, deadline);
    l = waits ? w->p->loop : NULL;
    rc = waits ? weft__watch_begin(l, fd, &f.watch) : weft__watch_look(fd, events);
    if (rc != 0)
        return rc;
    rc = weft__park_outside(w->task, why, object, NULL, NULL, deadline);
    if (waits && (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED))
        weft__watch_leave(l, fd, &f.watch);
    return rc;
}

int weft_fd_wait_until(int fd, int events, weft_time deadline)
{
    weft__worker *w;
    int rc;

    if (fd < 0 || (events & ~(WEFT_FD_READ | WEFT_FD_WRITE)) || events == 0)
        return WEFT_EINVAL;
    w = weft__enter("weft_fd_wait");
    rc = weft__fd_wait(w, fd, events, WEFT__WAIT_IO, (void *)(intptr_t)fd, deadline);
    weft__exit();
    return rc;
}

int weft__fd_wait_gone(int fd)
{
    int rc = weft__fd_wait(weft__enter("weft_http_server_serve"), fd, WEFT__FD_GONE, WEFT__WAIT_IO,
                           (void *)(intptr_t)fd, WEFT_FOREVER);

    weft__exit();
    return rc;
}
