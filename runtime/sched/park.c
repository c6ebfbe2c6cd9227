/* SPDX-License-Identifier: MIT */
/* park.c - the waist: every wait of a task begins and ends here.
 *
 * Owns: a task's wait: its ticket, reason, object, start and result. weft__park runs on the waiting
 * task; weft__claim and weft__ready run on any thread. park.h says which locks they hold.
 *
 * The ticket decides among racing wakers (the object, the deadline, a cancellation). It is odd
 * while a wait is open. It goes up by one when the wait opens, and again when a waker claims it. So
 * a late waker, which has the ticket of an earlier wait, cannot end a later one.
 *
 * A cancellation and a park cannot miss each other:
 *   park:   writes the wait, state PARKED, opens the ticket, fences lightly, reads canceled, arms
 *           the deadline, leaves the stack; then on_cpu is cleared and the object's lock released
 *   cancel: writes canceled, fences heavily, reads the ticket
 * Either the cancellation finds the open ticket, or park finds the cancellation. */
#include "runtime/sched/park.h"

#include "runtime/sched/observe.h"
#include "runtime/sched/sinks.h"

const struct weft__wait_kind weft__wait_kinds[] = {
#define XX(name, text, flags) {text, flags},
    WEFT__WAIT_MAP(XX)
#undef XX
};

const char *weft__wait_text(unsigned reason)
{
    return weft__wait_kinds[reason < WEFT__WAIT_COUNT ? reason : 0].text;
}

unsigned weft__wait_flags(unsigned reason)
{
    return weft__wait_kinds[reason < WEFT__WAIT_COUNT ? reason : 0].flags;
}

bool weft__claim(weft__task *t, uint64_t ticket, int result)
{
    weft__check(ticket & 1);
    weft__chaos();
    if (!weft__cas(&t->ticket, &ticket, ticket + 1))
        return false;
    t->result = result;
    return true;
}

/* Queues t in the global queue, for a caller without a processor. The full fence orders the push
 * before the look at idle processors. */
static WEFT__NOINLINE void ready_for_all(weft__task *t)
{
    weft__global_push(t);
    weft__fence_full();
    weft__wake_one();
}

/* Returns true if t, which is RUNNABLE, belongs in the queue of w's processor; the caller puts it
 * there. Otherwise queues t globally and returns false. */
static inline bool goes_here(const weft__worker *w, weft__task *t)
{
    if (w && weft__likely(w->p != NULL) && weft__load(&w->in_rt))
        return true;
    ready_for_all(t);
    return false;
}

/* Makes t RUNNABLE, whose wait was claimed, and returns as goes_here does. A foreign thread is
 * woken instead; its record may be gone as soon as it is RUNNABLE, so the flag is read before. */
static inline bool runnable_here(const weft__worker *w, weft__task *t)
{
    bool foreign = weft__load(&t->flags) & WEFT__FOREIGN;

    weft__check(weft__rank_allows_ready());
    weft__check(!(weft__load(&t->ticket) & 1));
    weft__store(&t->ready_epoch, weft__load_acq(&weft__epoch));
    weft__task_move(t, WEFT__PARKED, WEFT__RUNNABLE);
    if (weft__unlikely(foreign)) {
        weft__foreign_wake(t);
        return false;
    }
    return goes_here(w, t);
}

WEFT__NOINLINE void weft__ready_by(weft__worker *w, weft__task *t)
{
    weft__tell(ready, t, __builtin_return_address(0));
    if (!runnable_here(w, t))
        return;
    weft__runq_push(&w->p->runq, t, !(weft__sched.chaos && weft__random(&w->random) % 4 == 0));
    if (weft__runq_stealable(&w->p->runq))
        weft__wake_one();
}

static void queue_due(weft__worker *w, weft__task *t)
{
    weft__runq_push_due(&w->p->runq, t);
    if (weft__runq_stealable(&w->p->runq))
        weft__wake_one();
}

void weft__ready_due(weft__task *t)
{
    weft__worker *w = weft__self();

    weft__tell(ready, t, __builtin_return_address(0));
    if (runnable_here(w, t))
        queue_due(w, t);
}

void weft__start_due(weft__task *t)
{
    weft__worker *w = weft__self();

    weft__visible(t);
    if (goes_here(w, t))
        queue_due(w, t);
}

void weft__cancel(weft__task *t)
{
    uint64_t ticket = weft__load_acq(&t->ticket);

    if ((ticket & 1) && weft__is_canceled(t) &&
        (weft__wait_flags(weft__load(&t->reason)) & WEFT__WAIT_CANCELABLE) &&
        weft__claim(t, ticket, WEFT_ECANCELED))
        weft__ready(t);
}

int64_t weft__wait_period, weft__charge_period;

/* The slow path of waited: the budget `left` ran out, or w->now was unknown. Undoes the
 * subtraction, lets the sampler adapt its period, reads the clock if need be, and subtracts again.
 * The wait that drives left below zero is told to the sinks. */
WEFT__NOINLINE void weft__waited_slow(weft__task *t, weft__worker *w, int64_t ticks)
{
    int64_t left = weft__load(&w->waits.left) + ticks;

    if (weft__load(&weft__wait_period) == 0) {
        weft__store(&w->waits.left, WEFT__NEVER);
        return;
    }
    weft__store(&w->waits.left, left);
    weft__samplers_check(w);
    left = weft__load(&w->waits.left);
    if (w->now == WEFT__UNKNOWN) {
        w->now = weft__ticks();
        ticks = w->now - t->since;
    }
    weft__store(&w->waits.left, left - ticks);
    if (left - ticks < 0)
        weft__tell_waited(t, (enum weft__reason)weft__load(&t->reason), ticks);
}

/* Subtracts the length of t's wait from the worker's budget. w->now is when the previous task on
 * this worker parked, that is, when t resumed: so no clock is read. */
static inline void waited(weft__task *t, weft__worker *w)
{
    int64_t ticks = w->now - t->since;

    if (weft__unlikely(weft__sub_own(&w->waits.left, ticks)))
        weft__waited_slow(t, w, ticks);
}

/* Writes the wait, which begins now, and opens its ticket. */
static inline uint64_t wait_open(weft__worker *w, weft__task *t, enum weft__reason why,
                                 const void *object, int64_t now)
{
    uint64_t ticket = weft__load(&t->ticket) + 1;

    weft__store(&t->reason, (uint8_t)why);
    weft__store(&t->object, object);
    weft__store(&t->since, now);
    w->now = now;
    weft__task_move(t, WEFT__RUNNING, WEFT__PARKED);
    weft__store_rel(&t->ticket, ticket);
    weft__fence_light();
    return ticket;
}

/* Ends a wait that was claimed before the task left its stack. */
static int wait_skip(weft__task *t, weft__after *after, void *arg)
{
    weft__tell(skip, t);
    weft__task_move(t, WEFT__PARKED, WEFT__RUNNING);
    if (after)
        after(arg);
    return t->result;
}

int weft__park(weft__task *t, enum weft__reason why, const void *object, weft__after *after,
               void *arg, weft_time deadline)
{
    weft__worker *w = t->worker;
    int64_t now = weft__heard(park) ? weft__tell_park(t, why, object) : weft__ticks();
    uint64_t ticket = wait_open(w, t, why, object, now);

    weft__check(!(weft__wait_flags(why) & WEFT__WAIT_OUTSIDE) ||
                weft__load(&weft__sched.outside) > 0);
    weft__chaos();
    if (weft__unlikely(weft__is_canceled(t)) && (weft__wait_flags(why) & WEFT__WAIT_CANCELABLE) &&
        weft__claim(t, ticket, WEFT_ECANCELED))
        return wait_skip(t, after, arg);
    if (deadline != WEFT_FOREVER) {
        if ((deadline == WEFT_NOW || deadline <= weft__nanos()) &&
            weft__claim(t, ticket, WEFT_ETIMEDOUT))
            return wait_skip(t, after, arg);
        if (!w->foreign)
            weft__timer_arm(&t->timer, deadline, ticket);
    }
    if (weft__unlikely(w->foreign)) {
        if (after)
            after(arg);
        weft__foreign_wait(t, ticket, deadline);
        w = t->worker; /* the same: read again, it needs no register over the other branch's switch
                        */
    } else {
        w->after = after;
        w->after_arg = arg;
        w = weft__switch_away(w, WEFT__LEAVE_PARK);
        if (deadline != WEFT_FOREVER) {
            weft__timer_disarm(&t->timer);
            w = t->worker; /* likewise */
        }
    }
#ifndef WEFT__UNWATCHED /* bench/resume.py counts what the line costs */
    waited(t, w);
#endif
    return t->result;
}

int weft__park_outside(weft__task *t, enum weft__reason why, const void *object, weft__after *after,
                       void *arg, weft_time deadline)
{
    int rc;

    weft__check(weft__wait_flags(why) & WEFT__WAIT_OUTSIDE);
    weft__add(&weft__sched.outside, 1);
    rc = weft__park(t, why, object, after, arg, deadline);
    weft__sub(&weft__sched.outside, 1);
    return rc;
}

static void unlock_one(void *lock)
{
    weft__unlock(lock);
}

int weft__park_unlock(weft__task *t, enum weft__reason why, const void *object, uint32_t *lock,
                      weft_time deadline)
{
    return weft__park(t, why, object, unlock_one, lock, deadline);
}

void weft__ready_all(weft__waitq *woken)
{
    weft__waiter *wt;

    for (unsigned i = 0; (wt = weft__waitq_pop(woken)) != NULL; i++) {
        weft__ready(wt->task);
        if (woken->head)
            weft__breathe_at(i, weft__self()->task);
    }
}

/* Claims a piece of q's front, up to a mark at most, which leaves the queue. */
static void claim_piece(weft__waitq *q, weft__waitq *woken)
{
    weft__waiter *wt;

    for (int n = 0; n < WEFT__PIECE && (wt = weft__waitq_pop(q)) != NULL; n++) {
        if (wt->ticket == WEFT__MARK)
            break;
        if (weft__waiter_claim(wt, 0))
            weft__waitq_push(woken, wt);
    }
}

/* Claims all other waiters that are in q now. Another waker may pop the mark; every waiter before
 * it is claimed then. Caller holds lock, also after it. */
static WEFT__NOINLINE void claim_rest(weft__task *t, weft__waitq *q, uint32_t *lock,
                                      weft__waitq *woken)
{
    enum weft__rank rank = (enum weft__rank)weft__load(lock);
    weft__waiter mark;

    weft__waiter_mark(&mark, t);
    weft__waitq_push(q, &mark);
    do {
        weft__unlock(lock);
        weft__breathe(t);
        weft__lock(lock, rank);
        claim_piece(q, woken);
    } while (mark.queued);
}

/* Wakes the only waiter of q, if there is one, and releases the lock. */
static inline void wake_sole(weft__waitq *q, uint32_t *lock)
{
    weft__waiter *wt = weft__waitq_pop(q);
    bool claimed = wt && wt->ticket != WEFT__MARK && weft__waiter_claim(wt, 0);

    weft__unlock(lock);
    if (claimed) /* it is parked until ready, so its waiter is there */
        weft__ready(wt->task);
}

/* None is made ready before the last is claimed: the first one that returns may free the object. */
void weft__wake_all(weft__task *t, weft__waitq *q, uint32_t *lock)
{
    weft__check_holds(lock);
    weft__waitq woken = {NULL, NULL};

    if (weft__likely(q->head == q->tail)) {
        wake_sole(q, lock);
        return;
    }
    claim_piece(q, &woken);
    if (weft__unlikely(q->head != NULL))
        claim_rest(t, q, lock, &woken);
    weft__unlock(lock);
    weft__ready_all(&woken);
}
