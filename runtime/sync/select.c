/* SPDX-License-Identifier: MIT */
/* select.c - waits for the first of several channel operations.
 *
 * Owns no state beyond a call: its waiters and slots are on the caller's stack, or on the heap for
 * more than SMALL cases. It takes the locks of channels (rank OBJECT), several at a time.
 * Tasks and foreign threads call weft_select, and hold no lock; it may wait.
 *
 * 1. The cases that look ready are tried in random order, each under its own channel's lock.
 * 2. If none runs, all channels are locked together, in the order of their addresses, each once
 *    however many cases name it, and the cases are tried again.
 * 3. If still none runs, a waiter for each case is queued. All have one ticket, so the waker that
 *    claims the ticket chooses the case. The locks are released when the stack is left, so no waker
 *    claims before.
 * With many cases other tasks run in between, but not while the locks are held: the cases are
 * sorted and the waiters prepared before. */
#include "runtime/sync/chan.h"

#include <weft/select.h>

#include <stdlib.h>

enum {
    SMALL = 16,   /* cases that need no memory but the stack */
    PIECE = 4096, /* cases after which other tasks may run */
    SOON = 8,     /* the distance of prefetches, in slots */
};

/* A case that has a channel. */
struct slot {
    weft_chan *chan;
    uint16_t index; /* of the case */
    bool send;
};

/* A call of select. */
struct select {
    weft_case *cases;      /* the caller's */
    int n;                 /* the number of cases */
    int nslots;            /* the number of cases that have a channel */
    struct slot *slots;    /* sorted by the address of the channel */
    struct slot *spare;    /* room for n, for the sort; only if n > SMALL */
    uint16_t *ready;       /* room for n case numbers */
    weft__waiter *waiters; /* one for each slot */
};

/* Lets other tasks run now and then, in a loop over all cases that holds no lock. */
static inline void pause_at(int i, weft__task *t)
{
    if (weft__unlikely(i % PIECE == PIECE - 1))
        weft__breathe(t);
}

static inline void prefetch(const struct select *s, int i)
{
    if (i + SOON < s->nslots)
        __builtin_prefetch(s->slots[i + SOON].chan, 1);
}

/* Locks all channels. By address, so that two selects cannot wait for each other's locks. */
static void lock_all(const struct select *s)
{
    weft_chan *last = NULL;

    for (int i = 0; i < s->nslots; i++) {
        weft_chan *c = s->slots[i].chan;

        prefetch(s, i);
        if (c != last)
            weft__chan_lock(c, "weft_select");
        last = c;
    }
}

/* Unlocks the channels, of which there is at least one. The task may already be running again on
 * another thread: a cancellation woke it, or a waker whose channel is unlocked. It cannot get past
 * the channels that are still locked, so the slots stay in place until the last unlock. After that
 * they may be gone, so the next channel is read before each unlock. */
static void unlock_all(void *arg)
{
    const struct select *s = arg;
    const struct slot *at = s->slots, *end = at + s->nslots;
    weft_chan *c = at->chan, *next;

    for (; c; c = next) {
        while (at < end && at->chan == c)
            at++;
        next = at < end ? at->chan : NULL;
        weft__unlock(&c->lock);
    }
}

/* Sorts by insertion: the cases are few, and mostly in order already. */
static void sort_few(struct slot *slots, int n)
{
    for (int i = 1; i < n; i++) {
        struct slot k = slots[i];
        int at = i;

        for (; at > 0 && (uintptr_t)slots[at - 1].chan > (uintptr_t)k.chan; at--)
            slots[at] = slots[at - 1];
        slots[at] = k;
    }
}

/* Sorts by radix, a byte of the address at a time; bytes that all addresses share cost little. */
static void sort_many(struct select *s)
{
    for (unsigned shift = 0; shift < 8 * sizeof(uintptr_t); shift += 8) {
        struct slot *from = s->slots;
        uint32_t start[257] = {0};

        for (int i = 0; i < s->nslots; i++)
            start[((uintptr_t)from[i].chan >> shift & 255) + 1]++;
        if (s->nslots == 0 ||
            start[((uintptr_t)from->chan >> shift & 255) + 1] == (uint32_t)s->nslots)
            continue;
        for (int i = 0; i < 256; i++)
            start[i + 1] += start[i];
        for (int i = 0; i < s->nslots; i++)
            s->spare[start[(uintptr_t)from[i].chan >> shift & 255]++] = from[i];
        s->slots = s->spare;
        s->spare = from;
    }
}

/* Fills slots and waiters, except the ticket, which must be read under the locks. */
static void prepare(struct select *s, weft__task *t, uint32_t *chosen)
{
    s->nslots = 0;
    for (int i = 0; i < s->n; i++) {
        const weft_case *k = &s->cases[i];

        pause_at(i, t);
        if (k->chan)
            s->slots[s->nslots++] = (struct slot){k->chan, (uint16_t)i, k->op == WEFT_CASE_SEND};
    }
    if (s->n <= SMALL)
        sort_few(s->slots, s->nslots);
    else
        sort_many(s);
    for (int i = 0; i < s->nslots; i++) {
        weft__waiter *wt = &s->waiters[i];

        pause_at(i, t);
        weft__waiter_init(wt, t);
        wt->index = s->slots[i].index;
        wt->elem = s->cases[wt->index].elem;
        wt->chosen = chosen;
    }
}

/* Tries a case. Returns whether it ran, with its result. Caller holds the channel's lock. */
static bool ran(weft_case *k, weft__task **woken)
{
    enum weft__step step = k->op == WEFT_CASE_SEND ? weft__chan_try_send(k->chan, k->elem, woken)
                                                   : weft__chan_try_recv(k->chan, k->elem, woken);

    if (step == WEFT__STEP_WAIT)
        return false;
    k->result = step == WEFT__STEP_CLOSED ? WEFT_ECLOSED : 0;
    return true;
}

/* Returns whether a case could run, by a look without the lock. A wrong answer is harmless: the
 * case is tried under the lock, and all cases are looked at again under all locks. */
static bool looks_ready(const weft_case *k)
{
    const weft_chan *c = k->chan;

    if (!c)
        return false;
    if (weft__load(&c->closed))
        return true;
    if (k->op == WEFT_CASE_SEND)
        return weft__load(&c->recvq.head) || weft__load(&c->count) < c->cap;
    return weft__load(&c->sendq.head) || weft__load(&c->count) > 0;
}

/* Runs one of the cases that look ready, each as likely as the others. locked: the caller holds all
 * locks. Returns the case's number; -1 if none ran. */
static int try_ready(weft__worker *w, const struct select *s, bool locked, weft__task **woken)
{
    uint32_t n = 0;

    for (int i = 0; i < s->n; i++) {
        if (looks_ready(&s->cases[i]))
            s->ready[n++] = (uint16_t)i;
    }
    while (n > 0) {
        uint32_t at = n > 1 ? (uint32_t)((weft__random(&w->random) >> 32) * n >> 32) : 0;
        int chosen = s->ready[at];
        weft_case *k = &s->cases[chosen];
        bool done;

        if (!locked)
            weft__chan_lock(k->chan, "weft_select");
        done = ran(k, woken);
        if (!locked)
            weft__unlock(&k->chan->lock);
        if (done)
            return chosen;
        s->ready[at] = s->ready[--n];
    }
    return -1;
}

static inline weft__waitq *queue(const struct slot *k)
{
    return k->send ? &k->chan->sendq : &k->chan->recvq;
}

/* Queues a waiter of each case. Caller holds all locks. */
static void enqueue_all(const struct select *s, const weft__task *t)
{
    uint64_t ticket = weft__load(&t->ticket) + 1;

    for (int i = 0; i < s->nslots; i++) {
        prefetch(s, i);
        s->waiters[i].ticket = ticket;
        weft__waitq_push(queue(&s->slots[i]), &s->waiters[i]);
    }
}

/* Unlinks the waiters. claimed: the case whose waiter the waker has unlinked; -1 if there is none.
 * Takes each channel's lock even if the waiter is unlinked: a waker that popped it and lost the
 * claim keeps that lock while it reads the waiter, which is about to be gone. */
static void dequeue_all(const struct select *s, weft__task *t, int claimed)
{
    for (int i = 0; i < s->nslots; i++) {
        weft_chan *c = s->slots[i].chan;

        pause_at(i, t);
        if (s->slots[i].index == claimed)
            continue;
        prefetch(s, i);
        weft__lock(&c->lock, WEFT__RANK_OBJECT);
        weft__waitq_remove(queue(&s->slots[i]), &s->waiters[i]);
        weft__unlock(&c->lock);
    }
}

/* Waits until a case runs. Returns its number, or a code. Caller holds all locks, which this
 * function releases. */
static int wait_for_one(const struct select *s, weft__task *t, const uint32_t *chosen,
                        weft_time deadline)
{
    bool none;
    weft_case *k;
    int rc;

    enqueue_all(s, t);
    rc = weft__park(t, s->nslots ? WEFT__WAIT_SELECT : WEFT__WAIT_SELECT_NONE, NULL,
                    s->nslots ? unlock_all : NULL, (void *)(uintptr_t)s, deadline);
    none = rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED;
    dequeue_all(s, t, none ? -1 : (int)*chosen);
    if (none)
        return rc;
    k = &s->cases[*chosen];
    k->result = rc;
    if (rc == WEFT_ECLOSED && k->op == WEFT_CASE_RECV)
        weft__chan_zero(k->chan, k->elem);
    return (int)*chosen;
}

/* Runs a select whose memory is there. */
static int run(struct select *s, weft_time deadline)
{
    weft__task *t = weft__enter("weft_select")->task, *woken;
    int at = try_ready(t->worker, s, false, &woken);
    uint32_t chosen = 0;

    if (at < 0) {
        prepare(s, t, &chosen);
        lock_all(s);
        at = try_ready(t->worker, s, true, &woken);
        if (at < 0 && deadline != WEFT_NOW) {
            at = wait_for_one(s, t, &chosen, deadline);
            weft__exit_as(t);
            return at;
        }
        if (s->nslots)
            unlock_all(s);
    }
    if (at >= 0 && woken)
        weft__ready_by(t->worker, woken);
    if (at < 0)
        at = weft__is_canceled(t) ? WEFT_ECANCELED : WEFT_ETIMEDOUT;
    weft__exit_as(t);
    return at;
}

static int run_many(struct select *s, weft_time deadline)
{
    size_t n = (size_t)s->n;
    struct slot *slots = weft__alloc(2 * n, sizeof(*slots));
    int rc;

    s->slots = slots;
    s->spare = slots + n;
    s->ready = weft__alloc(n, sizeof(*s->ready));
    s->waiters = weft__alloc(n, sizeof(*s->waiters));
    rc = run(s, deadline);
    weft__free(slots);
    weft__free(s->ready);
    weft__free(s->waiters);
    return rc;
}

int weft_select_until(weft_case *cases, int n, weft_time deadline)
{
    struct slot slots[SMALL];
    uint16_t ready[SMALL];
    weft__waiter waiters[SMALL];
    struct select s = {cases, n, 0, slots, NULL, ready, waiters};

    if (n < 0 || n > UINT16_MAX)
        weft__panic("weft: select of %d cases", n);
    return n <= SMALL ? run(&s, deadline) : run_many(&s, deadline);
}
