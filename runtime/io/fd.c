/* SPDX-License-Identifier: MIT */
/* fd.c - waits for descriptors of the program.
 *
 * Owns nothing: a wait is on its task's stack, and uv/watch.c links it while it lasts.
 * Only tasks call these functions, and hold no lock; they wait. A wait begins on the task's
 * processor, whose loop's owner sees the events. A wait that ends at its deadline, or canceled, may
 * leave from any thread. */
#include "runtime/io/fd.h"

#include "runtime/sched/park.h"

#include <weft/fd.h>

struct fd_wait {
    weft__watch watch;
    weft__waiter wt;
};

/* Wakes the task of a wait whose event has come. */
static void on_end(weft__watch *watch, int result)
{
    weft__waiter *wt = &weft__container_of(watch, struct fd_wait, watch)->wt;

    if (weft__waiter_claim(wt, result))
        weft__ready(wt->task);
}

int weft__fd_wait(weft__worker *w, int fd, int events, enum weft__reason why, const void *object,
                  weft_time deadline)
{
    bool waits = deadline != WEFT_NOW && deadline > weft__nanos();
    struct fd_wait f = {.watch = {.events = events, .ended = on_end}};
    weft__loop *l = w->p->loop;
    int rc;

    weft__waiter_init(&f.wt, w->task);
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
    if (!w->p)
        weft__panic("weft: weft_fd_wait called on a thread that is no task");
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
