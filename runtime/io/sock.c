/* SPDX-License-Identifier: MIT */
/* sock.c - a socket's turns, waits and end.
 *
 * Owns: weft__sock and the registry of all of them.
 * Lock: s->lock (rank OBJECT) guards the socket; registry.lock (rank TASKS) guards the registry.
 * Callers: tasks and foreign threads inside the runtime, which hold no lock; on_event and deliver
 * run on the owner of the socket's home, or on weft_run's thread once no processor has an owner.
 * sock.h has the functions and a whole call.
 * Always, outside the lock:
 *   turns of a side is empty unless the side is busy
 *   io of a side is NULL unless the side is busy; only a connection that is being dialed waits
 *     without a turn, since no other task knows it yet
 *   if io is set and its index is not 0, then armed has its event, or mail is posted
 *   users counts the tasks between begin and end, or between hold and release; it rises no more
 *     once closed is set, so it reaches 0 once, and the socket ends once
 *
 * Watching. The loop of home, the processor where a task first waited, watches the descriptor. It
 * continues to watch when the wait is over, so in steady traffic a request costs no epoll_ctl.
 * Readiness is a level: an event that finds no task waiting would come again in each poll. So such
 * events end the watch. For writing the first one does, since a socket is nearly always writable.
 * For reading it takes several in a row, since a woken task may not have read yet: 64 while the
 * processor has other work, four while it has none, one in a flood. Also because readiness is a
 * level, a wait that begins without a try misses nothing. Only home's owner touches the loop; a
 * task that waits on another processor posts mail to home, and wakes up there.
 *
 * The end. Closing wakes all waiting tasks. The last task to leave (users is then 0) ends the
 * socket: on home, or by mail to home, or on any processor if no loop knows the socket. The order
 * is: first the handle in the loop, whose memory the loop frees; then the descriptor; then the
 * socket's own memory becomes unused. That memory is zeroed under s->lock when the next socket
 * takes it, since a call with an old handle may read it at any time. */
#include "runtime/io/sock.h"

#include "runtime/sched/sinks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A result of waits inside this file, beside those of sock.h: look at the socket again. */
enum { RETRY = 2 };
/* A watch for reading ends after STRAYS_MAX events that no task waited for. At leisure each of them
 * counts STRAYS_AT_LEISURE: the woken task is not queued behind others then, so four are enough. */
enum { STRAYS_MAX = 64, STRAYS_AT_LEISURE = 16 };
enum { SLAB = 64 /* sockets that are allocated at a time */ };

static struct {
    uint32_t lock;      /* rank TASKS; guards both lists */
    weft__link *all;    /* the sockets in use */
    weft__link *unused; /* the latest comes first, since it is still in the cache */
} registry;

static void deliver(weft__proc *p, weft__mail *m);

weft__task *weft__sock_enter(const char *call)
{
    return weft__enter(call)->task;
}

/* Adds a slab of unused sockets. Returns false if there is no memory: that is a code of the call,
 * not the program's end, since peers decide how many connections there are. */
static bool grow(void)
{
    char *slab = aligned_alloc(64, (size_t)SLAB * WEFT__SOCK_SIZE);

    if (!slab)
        return false;
    memset(slab, 0, (size_t)SLAB * WEFT__SOCK_SIZE);
    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    for (size_t i = SLAB; i-- > 0;) {
        weft__sock *s = (weft__sock *)(void *)(slab + i * WEFT__SOCK_SIZE);

        weft__list_push(&registry.unused, &s->link);
    }
    weft__unlock(&registry.lock);
    return true;
}

static weft__sock *at(weft__link *l)
{
    return weft__container_of(l, weft__sock, link);
}

/* Takes an unused socket. Returns NULL if there is no memory. */
static weft__sock *unused_get(void)
{
    weft__link *l;

    do {
        weft__lock(&registry.lock, WEFT__RANK_TASKS);
        l = registry.unused;
        if (l)
            weft__list_remove(l);
        weft__unlock(&registry.lock);
    } while (!l && grow());
    return l ? at(l) : NULL;
}

/* Makes the memory of s unused. After the last generation it stays so for ever: the next handle
 * would equal one that the program may still hold. */
static void unused_put(weft__sock *s)
{
    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    s->handle = NULL;
    weft__unlock(&s->lock);
    if (s->generation == UINT16_MAX)
        return;
    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    weft__list_push(&registry.unused, &s->link);
    weft__unlock(&registry.lock);
}

/* Begins a new generation of s. Its lock and its generation survive, so the memset begins behind
 * them. */
static void init(weft__sock *s, int fd)
{
    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    memset(&s->handle, 0, WEFT__SOCK_SIZE - offsetof(weft__sock, handle));
    s->generation++;
    s->handle = (void *)((uintptr_t)s | (uint64_t)s->generation << WEFT__SOCK_ADDRESS_BITS);
    s->fd = fd;
    s->mail.deliver = deliver;
    s->side[WEFT__READ].deadline = s->side[WEFT__WRITE].deadline = WEFT_FOREVER;
    weft__unlock(&s->lock);
}

void *weft__sock_new(int fd)
{
    weft__sock *s = unused_get();

    if (!s) {
        close(fd);
        return NULL;
    }
    init(s, fd);
    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    weft__list_push(&registry.all, &s->link);
    weft__unlock(&registry.lock);
    weft__tell(sock_open, s, fd);
    return s;
}

/* Takes s out of the list of all sockets. */
static void unlist(weft__sock *s)
{
    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    weft__list_remove(&s->link);
    weft__unlock(&registry.lock);
}

/* The end -------------------------------------------------------------------------------------- */

/* Ends s, which is closed and has no users. Runs on home's owner, or on any worker if no loop knows
 * s. Holds no lock: no other call can reach s any more, and closing the descriptor may take
 * long. */
static void end(weft__sock *s)
{
    weft__waiter *closer = s->closer;

    unlist(s);
    if (s->poll)
        weft__pollfd_close(s->poll);
    if (s->home)
        weft__sub(&s->home->nsocks, 1);
    if (s->gone)
        s->gone(s);
    weft__tell(sock_close, s, s->fd);
    close(s->fd);
    unused_put(s);
    if (closer && weft__waiter_claim(closer, 0))
        weft__ready(closer->task);
}

/* Returns whether close(2) will reset the connection; after a shutdown(2) it would end in order. */
static bool will_reset(const weft__sock *s)
{
    struct linger l = {0};
    socklen_t len = sizeof(l);

    return getsockopt(s->fd, SOL_SOCKET, SO_LINGER, &l, &len) == 0 && l.l_onoff && l.l_linger == 0;
}

/* Ends s, here or by mail to its home. Caller holds the lock of s, which is closed and has no
 * users; this function releases it. If mail is already posted, deliver finds the closed socket and
 * ends it. */
static void end_at_home(weft__sock *s)
{
    weft__check_holds(&s->lock);
    bool here = !s->posted && (!s->poll || s->home == weft__self()->p);

    if (!here && !s->posted) {
        s->posted = true;
        if (!s->closer && !will_reset(s))
            shutdown(s->fd, SHUT_RDWR); /* mail may take a while; the peer learns of the end now */
        weft__proc_post(s->home, &s->mail);
    }
    weft__unlock(&s->lock);
    if (here)
        end(s);
}

/* Ends a call on s. Caller holds the lock; this function releases it. s may be gone afterwards. */
static void leave(weft__sock *s)
{
    weft__check_holds(&s->lock);
    if (--s->users == 0 && s->closed)
        end_at_home(s);
    else
        weft__unlock(&s->lock);
}

void weft__socks_discard(void)
{
    while (registry.all) {
        weft__sock *s = at(registry.all);

        s->closer = NULL;
        end(s);
    }
}

/* Waking --------------------------------------------------------------------------------------- */

/* Ends the wait for the descriptor with this result. Returns the task, which the caller makes
 * ready; NULL if no task waits or another waker was first. Caller holds the lock. */
static weft__task *claim_io(weft__side *side, int result)
{
    weft__waiter *wt = side->io;

    side->io = NULL;
    return wt && weft__waiter_claim(wt, result) ? wt->task : NULL;
}

/* Ends all waits of a side with this result. Caller holds the lock: a woken task cannot leave the
 * socket without it, so s stays in place. */
static void wake_all(weft__side *side, int result)
{
    weft__task *t = claim_io(side, result);
    weft__waiter *wt;

    if (t)
        weft__ready(t);
    while ((wt = weft__waitq_claim(&side->turns, result)) != NULL)
        weft__ready(wt->task);
}

/* Returns whether a task waits for the descriptor in this direction. */
static bool wants(const weft__side *side)
{
    return side->io && side->io->index;
}

static void on_event(void *arg, int events);

/* Makes home's loop watch s for these events, and no others. Returns 0 or a UV_E*. Runs on home's
 * owner. Caller holds the lock. */
static int watch(weft__sock *s, int events)
{
    weft__check_holds(&s->lock);
    int rc = 0;

    if (!s->poll)
        rc = weft__pollfd_open(s->home->loop, s->fd, on_event, s, &s->poll);
    if (rc == 0)
        rc = weft__pollfd_watch(s->poll, events);
    if (rc == 0)
        s->armed = (uint8_t)events;
    return rc;
}

/* Counts an event that no task waits for. Returns true if the watch for it must end. Caller holds
 * the lock. */
static bool count_stray(weft__sock *s, int d, int events)
{
    weft__check_holds(&s->lock);
    weft__side *side = &s->side[d];

    side->strays = (uint8_t)(side->strays + (events & WEFT__AT_LEISURE ? STRAYS_AT_LEISURE : 1));
    if (d == WEFT__READ && side->strays < STRAYS_MAX && !(events & WEFT__FLOOD))
        return false;
    side->strays = 0;
    return true;
}

/* Wakes the tasks that these events are for. Runs on home's owner, inside the loop's poll. The
 * woken tasks become ready after the lock is released, since they soon take it. After an error
 * (events < 0) libuv has ended the watch; both waits then end, and the next system call on the
 * descriptor returns that error. */
static void on_event(void *arg, int events)
{
    weft__sock *s = arg;
    weft__task *woken[2] = {NULL, NULL};
    int keep;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    if (events < 0) {
        s->armed = 0;
        events = WEFT__READABLE | WEFT__WRITABLE;
    }
    keep = s->armed;
    for (int d = WEFT__READ; d <= WEFT__WRITE; d++) {
        weft__side *side = &s->side[d];

        if (!(events & 1 << d))
            continue;
        if (wants(side)) {
            side->strays = 0;
            woken[d] = claim_io(side, 0);
        } else if (count_stray(s, d, events)) {
            keep &= ~(1 << d);
        }
    }
    if (keep != s->armed)
        watch(s, keep); /* cannot fail, since it watches for less than before */
    weft__unlock(&s->lock);
    for (int d = WEFT__READ; d <= WEFT__WRITE; d++) {
        if (woken[d])
            weft__ready(woken[d]);
    }
}

/* Reads the mail of a socket, on home's owner: ends the socket if it is closed and has no users;
 * else watches for the events that tasks wait for. Those tasks may have left since the mail was
 * posted, so it looks at the socket rather than at the sender's wish. */
static void deliver(weft__proc *p, weft__mail *m)
{
    weft__sock *s = weft__container_of(m, weft__sock, mail);
    int events, rc = 0;

    (void)p;
    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    s->posted = false;
    if (s->closed && s->users == 0) {
        weft__unlock(&s->lock);
        end(s);
        return;
    }
    events = s->armed | wants(&s->side[WEFT__READ]) << WEFT__READ |
             wants(&s->side[WEFT__WRITE]) << WEFT__WRITE;
    if (events != s->armed)
        rc = watch(s, events);
    for (int d = WEFT__READ; d <= WEFT__WRITE && rc < 0; d++) {
        weft__task *t = wants(&s->side[d]) ? claim_io(&s->side[d], rc) : NULL;

        if (t)
            weft__ready(t);
    }
    weft__unlock(&s->lock);
}

/* Waiting -------------------------------------------------------------------------------------- */

/* Returns 0 if calls in this direction may continue; WEFT_ECLOSED or WEFT__SHUT if not. Caller
 * holds the lock. */
static int refused(const weft__sock *s, const weft__side *side)
{
    weft__check_holds(&s->lock);
    if (s->closed)
        return WEFT_ECLOSED;
    return side->shut ? WEFT__SHUT : 0;
}

/* Returns whether this deadline has passed. Reads no clock for the most frequent one. */
static bool is_past(weft_time when)
{
    return when != WEFT_FOREVER && when <= weft__nanos();
}

/* Releases the lock of a socket after its task has left its stack. */
static void unlock(void *arg)
{
    weft__sock *s = arg;

    weft__unlock(&s->lock);
}

/* Returns the result of a park. Turns a timeout into RETRY if another task has moved the deadline
 * to a later instant while the timer fired. Caller holds the lock, and has unlinked the waiter. */
static int settled(int rc, const weft_time *deadline)
{
    return rc == WEFT_ETIMEDOUT && !is_past(*deadline) ? RETRY : rc;
}

/* Waits for the turn. Returns 0 with the turn; else a code of begin. Caller holds the lock before
 * and after it. The turn is handed over: sock_end leaves busy set and claims the first waiter, so
 * no task that comes later can overtake it. */
static int wait_turn(weft__sock *s, weft__side *side, weft__task *t, const weft_time *deadline)
{
    weft__check_holds(&s->lock);
    weft__waiter wt;
    int rc = RETRY;

    while (rc == RETRY && (rc = refused(s, side)) == 0 && side->busy) {
        weft__waiter_init_sole(&wt, t, *deadline);
        weft__waitq_push(&side->turns, &wt);
        rc = weft__park_outside(t, WEFT__WAIT_IO, s, unlock, s, *deadline);
        weft__lock(&s->lock, WEFT__RANK_OBJECT);
        weft__waitq_remove(&side->turns, &wt);
        rc = settled(rc, deadline);
        if (rc == 0)
            return 0;
    }
    if (rc == 0)
        side->busy = true;
    return rc;
}

int weft__sock_begin(const void *handle, enum weft__direction d, weft__task *t,
                     const weft_time *deadline)
{
    weft__sock *s = weft__sock_at(handle);
    weft__side *side = &s->side[d];
    int rc;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    if (weft__unlikely(s->handle != handle || s->closed)) {
        weft__unlock(&s->lock);
        return WEFT_ECLOSED;
    }
    s->users++;
    if (deadline == &side->deadline && *deadline != WEFT_NOW && is_past(*deadline))
        rc = WEFT_ETIMEDOUT;
    else
        rc = wait_turn(s, side, t, deadline);
    if (rc != 0)
        leave(s);
    else
        weft__unlock(&s->lock);
    return rc;
}

/* Hands the turn over before it leaves: the next task counts as a user, so s outlives the ready. */
void weft__sock_end(weft__sock *s, enum weft__direction d)
{
    weft__side *side = &s->side[d];
    weft__waiter *next;
    weft__task *t = NULL;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    next = weft__waitq_claim(&side->turns, 0);
    if (next)
        t = next->task;
    else
        side->busy = false;
    leave(s);
    if (t)
        weft__ready(t);
}

/* Returns the processor whose loop will watch a socket: `here`, unless its loop has clearly more
 * sockets than the loop with the fewest. Without that rule the processor of a listener would get
 * all connections that it accepts. The counts may be slightly old; a fair spread needs no more. */
static weft__proc *choose_home(weft__proc *here)
{
    weft__proc *least = here;
    uint32_t n, fewest = weft__load(&here->nsocks);

    for (int i = 0; i < weft__load(&weft__sched.active); i++) {
        n = weft__load(&weft__sched.procs[i].nsocks);
        if (n < fewest) {
            fewest = n;
            least = &weft__sched.procs[i];
        }
    }
    return weft__load(&here->nsocks) > fewest + fewest / 8 + 1 ? least : here;
}

/* Posts the mail after the task has left its stack, so that home cannot wake it too early. */
static void post_and_unlock(void *arg)
{
    weft__sock *s = arg;

    weft__proc_post(s->home, &s->mail);
    weft__unlock(&s->lock);
}

/* Makes sure that home's loop watches for d: does nothing if it does already, changes the watch if
 * this is home, or sets *after to the function that will post mail to home. Returns 0 or a UV_E*.
 * Caller holds the lock, and parks with *after. */
static int watch_for(weft__sock *s, enum weft__direction d, weft__task *t, weft__after **after)
{
    weft__check_holds(&s->lock);
    weft__proc *here = t->worker->p;

    if (s->armed & 1 << d)
        return 0;
    if (!s->home) {
        s->home = choose_home(here ? here : weft__sched.procs); /* a foreign thread has none */
        weft__add(&s->home->nsocks, 1);
    }
    if (s->home == here)
        return watch(s, s->armed | 1 << d);
    if (!s->posted) {
        s->posted = true;
        *after = post_and_unlock;
    }
    return 0;
}

/* Sleeps until *deadline, with the turn; with event, also until the descriptor is ready. Returns
 * as weft__sock_wait does. A deadline of WEFT_NOW does not watch: its park ends at once. */
static int doze(weft__sock *s, enum weft__direction d, weft__task *t, const weft_time *deadline,
                bool event)
{
    weft__side *side = &s->side[d];
    weft__after *after = unlock;
    weft__waiter wt;
    int rc;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    rc = refused(s, side);
    if (rc == 0 && side->nudged)
        rc = RETRY;
    side->nudged = false;
    if (rc == 0 && event && *deadline != WEFT_NOW)
        rc = watch_for(s, d, t, &after);
    if (rc != 0) {
        weft__unlock(&s->lock);
        return rc == RETRY ? 0 : rc;
    }
    weft__waiter_init_sole(&wt, t, *deadline);
    wt.index = event;
    side->io = &wt;
    rc = weft__park_outside(t, event ? WEFT__WAIT_IO : WEFT__WAIT_IO_RETRY, s, after, s, *deadline);
    if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED) { /* no waker has unlinked the waiter */
        weft__lock(&s->lock, WEFT__RANK_OBJECT);
        if (side->io == &wt)
            side->io = NULL;
        rc = settled(rc, deadline);
        weft__unlock(&s->lock);
    }
    return rc == RETRY ? 0 : rc;
}

int weft__sock_wait(weft__sock *s, enum weft__direction d, weft__task *t, const weft_time *deadline)
{
    return doze(s, d, t, deadline, true);
}

int weft__sock_pause(weft__sock *s, enum weft__direction d, weft__task *t, weft_time until)
{
    int rc = doze(s, d, t, &until, false);

    return rc == WEFT_ETIMEDOUT ? 0 : rc;
}

/* Calls of other tasks ------------------------------------------------------------------------- */

int weft__sock_hold(const void *handle)
{
    weft__sock *s = weft__sock_at(handle);
    int rc = 0;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    if (s->handle != handle || s->closed)
        rc = WEFT_ECLOSED;
    else
        s->users++;
    weft__unlock(&s->lock);
    return rc;
}

void weft__sock_release(weft__sock *s)
{
    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    leave(s);
}

weft_addr weft__sock_local(const void *handle, const char *call)
{
    weft__task *t = weft__sock_enter(call);
    weft_addr local = {0};
    weft__sock *s;

    if (weft__sock_hold(handle) == 0) {
        s = weft__sock_at(handle);
        local = weft__addr_local(s->fd);
        weft__sock_release(s);
    }
    weft__exit_as(t);
    return local;
}

void weft__sock_nudge(const void *handle, enum weft__direction d)
{
    weft__sock *s = weft__sock_at(handle);
    weft__task *t = NULL;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    if (s->handle == handle) {
        t = claim_io(&s->side[d], RETRY);
        s->side[d].nudged = !t;
    }
    weft__unlock(&s->lock);
    if (t)
        weft__ready(t);
}

/* A waiting task's timer has the old deadline. So an earlier one wakes the task, which waits again
 * with the new deadline; a later one is noticed when the timer fires (settled). */
void weft__sock_set_deadline(const void *handle, enum weft__direction d, weft_time when)
{
    weft__sock *s = weft__sock_at(handle);
    weft__side *side = &s->side[d];
    weft_time before;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    if (s->handle == handle) {
        before = side->deadline;
        weft__store(&side->deadline, when);
        if (when < before)
            wake_all(side, RETRY);
    }
    weft__unlock(&s->lock);
}

void weft__sock_shut(weft__sock *s, enum weft__direction d)
{
    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    weft__store(&s->side[d].shut, true);
    wake_all(&s->side[d], WEFT__SHUT);
    weft__unlock(&s->lock);
}

/* Ends the socket if no call is under way; else the last call does. Releases the lock. */
static void closed(void *arg)
{
    weft__sock *s = arg;

    if (s->users == 0)
        end_at_home(s);
    else
        weft__unlock(&s->lock);
}

void weft__sock_close(const void *handle, weft__task *t, const char *what, bool waits)
{
    weft__sock *s = weft__sock_at(handle);
    weft__waiter wt;

    weft__lock(&s->lock, WEFT__RANK_OBJECT);
    if (s->handle != handle || s->closed) {
        weft__unlock(&s->lock);
        weft__panic("weft: close of closed %s %p", what, handle);
    }
    s->closed = true;
    wake_all(&s->side[WEFT__READ], WEFT_ECLOSED);
    wake_all(&s->side[WEFT__WRITE], WEFT_ECLOSED);
    if (!waits) {
        closed(s);
        return;
    }
    weft__waiter_init(&wt, t);
    s->closer = &wt;
    weft__park_outside(t, WEFT__WAIT_CLOSE, s, closed, s, WEFT_FOREVER);
}
