/* SPDX-License-Identifier: MIT */
/* select.c - waits for the first of several channel operations.
 *
 * First the cases that look ready are tried in random order, each under its own channel's lock. If
 * none runs, the channels are locked together, in the order of their addresses, each once however
 * many cases name it, and the cases are tried again. If still none runs, a waiter of each is queued
 * with one ticket: the waker that claims the ticket has chosen the case. The locks are released
 * when the stack is left, so no waker claims before. Up to SMALL cases need no memory but the
 * caller's stack. */
#include "chan.h"

#include <weft/select.h>

#include <stdlib.h>

enum { SMALL = 16 };

struct select {
    weft_case *cases;
    int n;
    int nlocks;
    uint16_t *order; /* case numbers sorted by channel address, those without a channel left out */
    uint16_t *ready; /* room for n case numbers */
    weft__waiter *waiters;
};

static void lock_all(const struct select *s)
{
    weft_chan *last = NULL;

    for (int i = 0; i < s->nlocks; i++) {
        weft_chan *c = s->cases[s->order[i]].chan;

        if (c != last)
            weft__chan_lock(c, "weft_select");
        last = c;
    }
}

/* Not in the frame of a task that may be running again elsewhere: the last unlock lets a waker in,
 * and with it the end of this select. So what follows an unlock is read before it. */
static void unlock_all(void *arg)
{
    const struct select *s = arg;
    weft_chan *chans[SMALL], **all = chans, *last = NULL;
    int n = 0;

    if (s->nlocks > SMALL)
        all = weft__alloc((size_t)s->nlocks, sizeof(weft_chan *));
    for (int i = 0; i < s->nlocks; i++) {
        weft_chan *c = s->cases[s->order[i]].chan;

        if (c != last)
            all[n++] = c;
        last = c;
    }
    for (int i = 0; i < n; i++)
        weft__unlock(&all[i]->lock);
    if (all != chans)
        weft__free(all);
}

/* Insertion sort: few cases, mostly in order already. */
static void sort(struct select *s)
{
    s->nlocks = 0;
    for (int i = 0; i < s->n; i++) {
        int at = s->nlocks;

        if (!s->cases[i].chan)
            continue;
        for (; at > 0 && (uintptr_t)s->cases[s->order[at - 1]].chan > (uintptr_t)s->cases[i].chan;
             at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = (uint16_t)i;
        s->nlocks++;
    }
}

static bool ran(weft_case *k, weft__task **woken)
{
    enum weft__step step = k->op == WEFT_CASE_SEND ? weft__chan_try_send(k->chan, k->elem, woken)
                                                   : weft__chan_try_recv(k->chan, k->elem, woken);

    if (step == WEFT__STEP_WAIT)
        return false;
    k->result = step == WEFT__STEP_CLOSED ? WEFT_ECLOSED : 0;
    return true;
}

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
        uint32_t at = n > 1 ? (uint32_t)((weft__random(w) >> 32) * n >> 32) : 0;
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

static weft__waitq *queue(const weft_case *k)
{
    return k->op == WEFT_CASE_SEND ? &k->chan->sendq : &k->chan->recvq;
}

static void enqueue_all(const struct select *s, weft__task *t, uint32_t *chosen)
{
    for (int i = 0; i < s->n; i++) {
        weft__waiter *wt = &s->waiters[i];

        if (!s->cases[i].chan)
            continue;
        weft__waiter_init(wt, t);
        wt->elem = s->cases[i].elem;
        wt->index = (uint32_t)i;
        wt->chosen = chosen;
        weft__waitq_push(queue(&s->cases[i]), wt);
    }
}

/* The waiter that was claimed, -1 if none, is in no queue any more. Whoever pops another in vain
 * holds its channel's lock for as long as it looks at it. */
static void dequeue_all(const struct select *s, int claimed)
{
    for (int i = 0; i < s->n; i++) {
        weft_case *k = &s->cases[i];

        if (!k->chan || i == claimed)
            continue;
        weft__lock(&k->chan->lock);
        weft__waitq_remove(queue(k), &s->waiters[i]);
        weft__unlock(&k->chan->lock);
    }
}

/* Under the locks; no case can run. */
static int wait_for_one(const struct select *s, weft__task *t, weft_time deadline)
{
    uint32_t chosen = 0;
    weft_case *k;
    bool in_vain;
    int rc;

    enqueue_all(s, t, &chosen);
    rc = weft__park(t, s->nlocks ? WEFT__WAIT_SELECT : WEFT__WAIT_SELECT_NONE, NULL, unlock_all,
                    (void *)(uintptr_t)s, deadline);
    in_vain = rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED;
    dequeue_all(s, in_vain ? -1 : (int)chosen);
    if (in_vain)
        return rc;
    k = &s->cases[chosen];
    k->result = rc;
    if (rc == WEFT_ECLOSED && k->op == WEFT_CASE_RECV)
        weft__chan_zero(k->chan, k->elem);
    return (int)chosen;
}

static int run(struct select *s, weft_time deadline)
{
    weft__worker *w = weft__enter("weft_select");
    weft__task *t = w->task, *woken;
    int at = try_ready(w, s, false, &woken);

    if (at < 0) {
        sort(s);
        lock_all(s);
        at = try_ready(w, s, true, &woken);
        if (at < 0 && deadline != WEFT_NOW) {
            at = wait_for_one(s, t, deadline);
            weft__exit_as(t);
            return at;
        }
        unlock_all(s);
    }
    if (at >= 0 && woken)
        weft__ready_by(w, woken);
    if (at < 0)
        at = weft__is_canceled(t) ? WEFT_ECANCELED : WEFT_ETIMEDOUT;
    weft__exit_as(t);
    return at;
}

int weft_select_until(weft_case *cases, int n, weft_time deadline)
{
    uint16_t order[SMALL], ready[SMALL];
    weft__waiter waiters[SMALL];
    struct select s = {cases, n, 0, order, ready, waiters};
    int rc;

    if (n < 0 || n > UINT16_MAX)
        weft__panic("weft: select of %d cases", n);
    if (n <= SMALL)
        return run(&s, deadline);
    s.order = weft__alloc((size_t)n, sizeof(*order));
    s.ready = weft__alloc((size_t)n, sizeof(*ready));
    s.waiters = weft__alloc((size_t)n, sizeof(*waiters));
    rc = run(&s, deadline);
    weft__free(s.order);
    weft__free(s.ready);
    weft__free(s.waiters);
    return rc;
}
