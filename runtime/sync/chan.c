/* SPDX-License-Identifier: MIT */
/* chan.c - channels.
 *
 * Owns: weft_chan, its ring and its two queues of waiters.
 * Lock: c->lock (rank OBJECT) guards every field and every waiter linked on c.
 * Tasks and foreign threads call the public functions, and hold no lock. send and recv may wait.
 * Always, outside the lock:
 *   recvq or sendq is empty (both may hold cases of one select on the same channel)
 *   count > 0     implies recvq is empty
 *   count < cap   implies sendq is empty
 *   closed        implies that no waiter is served any more; close wakes them, some at a time
 *
 * A value goes straight from a sender to a waiting receiver, or from a waiting sender to a
 * receiver. The waker claims the waiter first, under the lock: a waiter whose deadline came first
 * must not lose a value. It makes the task ready after the lock is released, and then touches c no
 * more, since the woken task may free c.
 *
 * The fast path serves a buffer with room or values on which no task waits. It touches nothing but
 * c: it does not enter the runtime, so its processor may be taken in the middle of it. A trylock
 * is enough there: if another thread has the lock, the slow path waits for it. */
#include "runtime/sync/chan.h"

#include "runtime/sched/sinks.h"

#include <string.h>

weft_chan *weft_chan_new(size_t elem_size, size_t capacity)
{
    weft_chan *c;
    size_t bytes;

    weft__not_forked("weft_chan_new");
    if (__builtin_mul_overflow(elem_size, capacity, &bytes) || bytes > (SIZE_MAX >> 2))
        weft__panic("makechan: size out of range");
    c = weft__alloc(1, sizeof(*c) + bytes);
    c->elem_size = elem_size;
    c->cap = capacity;
    weft__tell(chan_new, c);
    return c;
}

/* Lets a weft_chan_close that is under way on another task continue. Caller holds c->lock before
 * and after it. */
static void let_close_end(weft_chan *c)
{
    weft__check_holds(&c->lock);
    weft__unlock(&c->lock);
    weft__breathe(weft__enter("weft_chan_free")->task);
    weft__exit();
    weft__chan_lock(c, "weft_chan_free");
}

/* Frees c. The freed memory looks like a channel that can neither take nor give a value. So every
 * later call takes its lock and panics there, until malloc uses the memory for something else. That
 * costs the fast path nothing. */
void weft_chan_free(weft_chan *c)
{
    weft__not_forked("weft_chan_free");
    if (!c)
        return;
    weft__chan_lock(c, "weft_chan_free");
    while (c->closing && weft__load_acq(&weft__sched.running))
        let_close_end(c);
    if ((c->recvq.head || c->sendq.head) && weft__load_acq(&weft__sched.running))
        weft__panic("weft: free of channel %p that tasks wait on", (void *)c);
    if (c->senders > 0)
        weft__panic("weft: free of channel %p that a timer or signals send to", (void *)c);
    weft__store(&c->count, 0);
    c->cap = 0;
    weft__lock_poison(&c->lock);
    weft__tell(chan_free, c);
    weft__free(c);
}

/* Panics if c was freed. */
static void not_freed(const weft_chan *c, const char *call)
{
    if (weft__unlikely(weft__load(&c->lock) == WEFT__FREED))
        weft__panic("weft: %s on channel %p, which was freed", call, (const void *)c);
}

WEFT__NOINLINE void weft__chan_lock_slow(weft_chan *c, const char *call)
{
    not_freed(c, call);
    weft__lock_slow(&c->lock, WEFT__RANK_OBJECT);
}

/* The tasks of an earlier run are gone, and so are their waiters, which lay on their stacks. The
 * first queue must not change c->run, or the second one would look renewed. */
WEFT__NOINLINE void weft__chan_renew(weft_chan *c)
{
    uint32_t run = c->run;

    weft__waitq_renew(&c->recvq, &run);
    weft__waitq_renew(&c->sendq, &c->run);
    c->closing = false;
}

void weft__chan_keep(weft_chan *c, bool keep, const char *call)
{
    weft__chan_lock(c, call);
    c->senders = (uint16_t)(c->senders + (keep ? 1 : -1));
    weft__unlock(&c->lock);
}

/* Copies a value. Most values are a word, and a memcpy of known length is one instruction. */
static inline void copy(void *to, const void *from, size_t n)
{
    if (weft__likely(n == 8))
        memcpy(to, from, 8);
    else if (n == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, n);
}

void weft__chan_zero(const weft_chan *c, void *elem)
{
    if (elem)
        memset(elem, 0, c->elem_size);
}

/* Returns the index i of the ring, for i < 2 * cap. A division would cost more than all the
 * rest. */
static inline size_t wrap(const weft_chan *c, size_t i)
{
    return i >= c->cap ? i - c->cap : i;
}

static inline void ring_put(weft_chan *c, const void *elem)
{
    copy(c->ring + wrap(c, c->head + c->count) * c->elem_size, elem, c->elem_size);
    weft__store(&c->count, c->count + 1);
}

static inline void ring_get(weft_chan *c, void *elem)
{
    if (elem)
        copy(elem, c->ring + c->head * c->elem_size, c->elem_size);
    c->head = wrap(c, c->head + 1);
    weft__store(&c->count, c->count - 1);
}

/* A waiting receiver comes before the buffer, which is then empty. */
enum weft__step weft__chan_try_send(weft_chan *c, const void *elem, weft__task **woken)
{
    weft__waiter *wt;

    *woken = NULL;
    if (c->closed)
        return WEFT__STEP_CLOSED;
    if (c->recvq.head && (wt = weft__waitq_claim(&c->recvq, 0)) != NULL) {
        if (wt->elem)
            copy(wt->elem, elem, c->elem_size);
        *wt->chosen = wt->index;
        *woken = wt->task;
        return WEFT__STEP_DONE;
    }
    if (c->count == c->cap)
        return WEFT__STEP_WAIT;
    ring_put(c, elem);
    return WEFT__STEP_DONE;
}

/* The buffer comes before a waiting sender, whose value is younger: it takes the freed place. A
 * closed channel gives the buffered values, but serves no sender: those get WEFT_ECLOSED. */
enum weft__step weft__chan_try_recv(weft_chan *c, void *elem, weft__task **woken)
{
    weft__waiter *wt;

    *woken = NULL;
    if (c->count > 0) {
        ring_get(c, elem);
        if (c->sendq.head && !c->closed && (wt = weft__waitq_claim(&c->sendq, 0)) != NULL) {
            ring_put(c, wt->elem);
            *wt->chosen = wt->index;
            *woken = wt->task;
        }
        return WEFT__STEP_DONE;
    }
    if (c->sendq.head && !c->closed && (wt = weft__waitq_claim(&c->sendq, 0)) != NULL) {
        if (elem)
            copy(elem, wt->elem, c->elem_size);
        *wt->chosen = wt->index;
        *woken = wt->task;
        return WEFT__STEP_DONE;
    }
    if (!c->closed)
        return WEFT__STEP_WAIT;
    weft__chan_zero(c, elem);
    return WEFT__STEP_CLOSED;
}

/* Waits on a NULL channel, as Go does on a nil one: until the deadline, or for ever. */
static int nil_wait(const char *call, enum weft__reason why, weft_time deadline)
{
    weft__worker *w = weft__enter(call);
    int rc = weft__park(w->task, why, NULL, NULL, NULL, deadline);

    weft__exit();
    return rc;
}

/* A direction of transfer: its call, its wait reasons, and whether it sends. */
struct direction {
    const char *call;
    enum weft__reason why, why_nil;
    bool send;
};

static const struct direction sending = {"weft_chan_send", WEFT__WAIT_CHAN_SEND,
                                         WEFT__WAIT_CHAN_SEND_NIL, true};
static const struct direction receiving = {"weft_chan_recv", WEFT__WAIT_CHAN_RECV,
                                           WEFT__WAIT_CHAN_RECV_NIL, false};

static inline enum weft__step try_once(weft_chan *c, void *elem, const struct direction *d,
                                       weft__task **woken)
{
    return d->send ? weft__chan_try_send(c, elem, woken) : weft__chan_try_recv(c, elem, woken);
}

static inline weft__waitq *queue(weft_chan *c, const struct direction *d)
{
    return d->send ? &c->sendq : &c->recvq;
}

/* Waits for a partner. Caller holds c->lock, which this function releases, and is inside the
 * runtime. The partner copies the value, so nothing is left to do on success. */
static int wait_turn(weft__task *t, weft_chan *c, void *elem, const struct direction *d,
                     weft_time deadline)
{
    weft__waiter wt;
    uint32_t chosen;
    int rc;

    weft__waiter_init_sole(&wt, t, deadline);
    wt.elem = elem;
    wt.index = 0;
    wt.chosen = &chosen;
    rc = weft__wait_in(queue(c, d), &wt, d->why, c, &c->lock, deadline);
    if (rc == WEFT_ECLOSED && !d->send)
        weft__chan_zero(c, elem);
    return rc;
}

/* Sends or receives under the lock, and waits if it must. */
static int transfer_slow(weft_chan *c, void *elem, const struct direction *d, weft_time deadline)
{
    weft__worker *w = weft__enter(d->call);
    weft__task *t = w->task, *woken;
    enum weft__step step;
    int rc;

    weft__chan_lock(c, d->call);
    step = try_once(c, elem, d, &woken);
    if (step == WEFT__STEP_WAIT) {
        rc = wait_turn(t, c, elem, d, deadline);
    } else {
        weft__unlock(&c->lock);
        if (woken)
            weft__ready_by(w, woken);
        rc = step == WEFT__STEP_CLOSED ? WEFT_ECLOSED : 0;
    }
    weft__exit_as(t);
    return rc;
}

int weft_chan_send_until(weft_chan *c, const void *elem, weft_time deadline)
{
    int rc;

    if (weft__unlikely(!c)) {
        rc = nil_wait(sending.call, sending.why_nil, deadline);
    } else if (weft__likely(!weft__forked) && weft__load(&c->count) < c->cap &&
               weft__trylock(&c->lock, WEFT__RANK_OBJECT)) {
        if (weft__likely(c->count < c->cap && !c->recvq.head && !c->closed)) {
            ring_put(c, elem);
            weft__unlock(&c->lock);
            return 0;
        }
        weft__unlock(&c->lock);
        rc = transfer_slow(c, (void *)(uintptr_t)elem, &sending, deadline);
    } else {
        rc = transfer_slow(c, (void *)(uintptr_t)elem, &sending, deadline);
    }
    return rc;
}

int weft_chan_recv_until(weft_chan *c, void *elem, weft_time deadline)
{
    int rc;

    if (weft__unlikely(!c)) {
        rc = nil_wait(receiving.call, receiving.why_nil, deadline);
    } else if (weft__likely(!weft__forked) && weft__load(&c->count) > 0 &&
               weft__trylock(&c->lock, WEFT__RANK_OBJECT)) {
        if (weft__likely(c->count > 0 && !c->sendq.head)) {
            ring_get(c, elem);
            weft__unlock(&c->lock);
            return 0;
        }
        weft__unlock(&c->lock);
        rc = transfer_slow(c, elem, &receiving, deadline);
    } else {
        rc = transfer_slow(c, elem, &receiving, deadline);
    }
    return rc;
}

/* The claimed tasks of a close. An array, since a list through their waiters would cost one more
 * cache miss for each. */
struct woken {
    weft__task *tasks[128];
    size_t n;
};

/* Claims as many waiters of a closed channel as fit. Caller holds c->lock. */
static void close_some(weft_chan *c, struct woken *w)
{
    weft__check_holds(&c->lock);
    enum { MOST = sizeof(w->tasks) / sizeof(*w->tasks) };
    weft__waiter *wt;

    for (w->n = 0; w->n < MOST; w->n++) {
        wt = weft__waitq_claim(&c->recvq, WEFT_ECLOSED);
        if (!wt)
            wt = weft__waitq_claim(&c->sendq, WEFT_ECLOSED);
        if (!wt)
            break;
        *wt->chosen = wt->index;
        w->tasks[w->n] = wt->task;
    }
    c->closing = c->recvq.head || c->sendq.head;
}

/* Makes the tasks ready, and fetches the records of the next ones meanwhile. */
static void ready_all(const struct woken *w)
{
    enum { SOON = 8 };

    for (size_t i = 0; i < w->n; i++) {
        if (i + SOON < w->n)
            __builtin_prefetch(w->tasks[i + SOON], 1);
        weft__ready(w->tasks[i]);
    }
}

/* Claims waiters under the lock and makes them ready after it. Once no waiter is left, the first
 * woken task may free c, so `more` is read before the unlock. With many waiters a close takes long,
 * so other tasks run between the pieces; c->closing keeps c in place meanwhile. */
void weft_chan_close(weft_chan *c)
{
    weft__task *t;
    struct woken woken;
    bool more;

    if (!c)
        weft__panic("close of nil channel");
    t = weft__enter("weft_chan_close")->task;
    weft__chan_lock(c, "weft_chan_close");
    if (c->closed)
        weft__panic("close of closed channel");
    weft__store(&c->closed, true);
    close_some(c, &woken);
    for (;;) {
        more = c->closing;
        weft__unlock(&c->lock);
        ready_all(&woken);
        if (!more)
            break;
        weft__breathe(t);
        weft__lock(&c->lock, WEFT__RANK_OBJECT);
        close_some(c, &woken);
    }
    weft__exit();
}

size_t weft_chan_len(weft_chan *c)
{
    weft__not_forked("weft_chan_len");
    if (!c)
        return 0;
    not_freed(c, "weft_chan_len");
    return weft__load(&c->count);
}

size_t weft_chan_cap(weft_chan *c)
{
    weft__not_forked("weft_chan_cap");
    if (!c)
        return 0;
    not_freed(c, "weft_chan_cap");
    return c->cap;
}

size_t weft__chan_elem_size(const weft_chan *c, const char *call)
{
    not_freed(c, call);
    return c->elem_size;
}

bool weft__chan_offer(weft_chan *c, const void *elem)
{
    weft__task *woken;
    enum weft__step step;

    weft__chan_lock(c, "a timer or a signal");
    step = weft__chan_try_send(c, elem, &woken);
    weft__unlock(&c->lock);
    if (woken)
        weft__ready_due(woken);
    return step == WEFT__STEP_DONE;
}

bool weft__chan_drain(weft_chan *c)
{
    bool any;

    weft__lock(&c->lock, WEFT__RANK_OBJECT);
    any = c->count > 0;
    weft__store(&c->count, 0);
    weft__unlock(&c->lock);
    return any;
}
