/* SPDX-License-Identifier: MIT */
/* park.h - the waist: each wait of a task begins with weft__park, and one weft__claim that succeeds
 * and the weft__ready after it end the wait.
 *
 * A task parks itself, inside the runtime, and holds at most the locks of the objects that it waits
 * for, which the park releases. Any thread may claim, under the object's lock, and then make the
 * task ready, under no lock of a rank above OBJECT. Queues of waiters are guarded by the object's
 * lock. */
#ifndef WEFT_PARK_H
#define WEFT_PARK_H

#include "runtime/sched/chaos.h"
#include "runtime/sched/scheduler.h"

/* A waiting task in an object's queue; on its own stack, one per case of a select. Linked and
 * unlinked under the object's lock. */
typedef struct weft__waiter {
    struct weft__waiter *next, *prev;
    weft__task *task;
    uint64_t ticket;
    void *elem;
    uint32_t index;   /* of the select case; or the kind of wait */
    bool queued;      /* it is in the object's queue */
    bool sole;        /* the object's lock alone orders the claims */
    uint32_t *chosen; /* of a channel: the claimer writes index there */
    int64_t n;        /* the units wanted; or when the wait began; or a group's result */
    uint64_t owed;    /* charge.h explains this field and the next two */
    uint32_t count;
    int64_t from;
} weft__waiter;

typedef struct weft__waitq {
    weft__waiter *head, *tail; /* head is atomic: select looks at it without the lock */
} weft__waitq;

static inline void weft__waitq_push(weft__waitq *q, weft__waiter *wt)
{
    wt->next = NULL;
    wt->prev = q->tail;
    if (q->tail)
        q->tail->next = wt;
    else
        weft__store(&q->head, wt);
    q->tail = wt;
    wt->queued = true;
}

static inline void weft__waitq_push_front(weft__waitq *q, weft__waiter *wt)
{
    wt->prev = NULL;
    wt->next = q->head;
    if (q->head)
        q->head->prev = wt;
    else
        q->tail = wt;
    weft__store(&q->head, wt);
    wt->queued = true;
}

static inline void weft__waitq_remove(weft__waitq *q, weft__waiter *wt)
{
    if (!wt->queued)
        return;
    if (wt->prev)
        wt->prev->next = wt->next;
    else
        weft__store(&q->head, wt->next);
    if (wt->next)
        wt->next->prev = wt->prev;
    else
        q->tail = wt->prev;
    wt->queued = false;
}

static inline weft__waiter *weft__waitq_pop(weft__waitq *q)
{
    weft__waiter *wt = q->head;

    if (wt)
        weft__waitq_remove(q, wt);
    return wt;
}

/* Empties q. Returns what was in it: for waits that nothing but the object ends, since a waiter
 * that gives up looks for itself in q. */
static inline weft__waitq weft__waitq_take(weft__waitq *q)
{
    weft__waitq all = *q;

    weft__store(&q->head, NULL);
    q->tail = NULL;
    return all;
}

/* Empties the queue of an object whose waiters are of an earlier run: an object may outlive a run,
 * its waiters' stacks do not. Only for waits that the end of a run cancels, so that no foreign
 * thread is in them. Caller holds the object's lock. */
static inline void weft__waitq_renew(weft__waitq *q, uint32_t *run)
{
    if (weft__unlikely(*run != weft__run_number)) {
        weft__waitq_take(q);
        weft__store(run, weft__run_number);
    }
}

/* Prepares wt for the next park of t, the calling task. */
static inline void weft__waiter_init(weft__waiter *wt, weft__task *t)
{
    wt->task = t;
    wt->ticket = weft__load(&t->ticket) + 1;
    wt->queued = false;
    wt->sole = false;
}

/* Makes wt a mark: a place in a queue that is no wait of t, the caller, so that its claims fail. */
#define WEFT__MARK UINT64_MAX /* a ticket that no wait ever has */
static inline void weft__waiter_mark(weft__waiter *wt, weft__task *t)
{
    weft__waiter_init(wt, t);
    wt->ticket = WEFT__MARK;
}

/* Prepares wt as weft__waiter_init does. If only the object can end the wait (no deadline, no group
 * that could be canceled, no thread that the end of the run cancels), marks it so: its claims are
 * then ordered by the object's lock. */
static inline void weft__waiter_init_sole(weft__waiter *wt, weft__task *t, weft_time deadline)
{
    weft__waiter_init(wt, t);
    wt->sole = deadline == WEFT_FOREVER && !t->group && !(t->flags & WEFT__FOREIGN);
}

/* Makes t, the caller, wait. after(arg) is called as soon as t has left its stack: it releases the
 * object's lock. Returns the claimer's result, WEFT_ETIMEDOUT at the deadline, or
 * WEFT_ECANCELED if the reason is cancelable; in both last cases the waiter may still be queued.
 * Afterwards t->worker may be another. */
int weft__park(weft__task *t, enum weft__reason why, const void *object, weft__after *after,
               void *arg, weft_time deadline);
/* Parks as weft__park does, for a reason with WEFT__WAIT_OUTSIDE: no deadlock is reported while it
 * lasts. */
int weft__park_outside(weft__task *t, enum weft__reason why, const void *object, weft__after *after,
                       void *arg, weft_time deadline);
/* Parks as weft__park does, and releases one lock. */
int weft__park_unlock(weft__task *t, enum weft__reason why, const void *object, uint32_t *lock,
                      weft_time deadline);

/* Takes wt out of q, if it is still there, after a wait that the deadline or a cancelation ended.
 * rank: that of lock, which guards q. */
static inline void weft__waitq_leave(weft__waitq *q, weft__waiter *wt, uint32_t *lock,
                                     enum weft__rank rank)
{
    weft__lock(lock, rank);
    weft__waitq_remove(q, wt);
    weft__unlock(lock);
}

/* Queues wt, which weft__waiter_init or _sole prepared, in q, and waits for a claim. Returns as
 * weft__park; wt is in no queue then. Caller holds lock, the object's, which guards q; releases
 * it. */
static inline int weft__wait_in(weft__waitq *q, weft__waiter *wt, enum weft__reason why,
                                const void *object, uint32_t *lock, weft_time deadline)
{
    enum weft__rank rank = (enum weft__rank)weft__load(lock);
    int rc;

    weft__check_holds(lock);
    weft__waitq_push(q, wt);
    rc = weft__park_unlock(wt->task, why, object, lock, deadline);
    if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED)
        weft__waitq_leave(q, wt, lock, rank);
    return rc;
}

/* Claims t's wait. Returns true if the caller, and no other thread, ends the wait: it calls
 * weft__ready next. The caller holds the lock that keeps the object in place, and touches neither
 * the object nor the waiter after ready. */
bool weft__claim(weft__task *t, uint64_t ticket, int result);
void weft__ready_by(weft__worker *w, weft__task *t); /* w: the caller's own, or NULL */
static inline void weft__ready(weft__task *t)
{
    weft__ready_by(weft__self(), t);
}
void weft__ready_due(weft__task *t); /* of a task whose time has come: it runs before others */
void weft__start_due(weft__task *t); /* the same for a task that was just made */
/* Ends the open wait of t, if it is cancelable, with WEFT_ECANCELED. */
void weft__cancel(weft__task *t);

/* Called by weft__park when a wait may have used up its worker's sampler. Dumps hide this name. */
void weft__waited_slow(weft__task *t, weft__worker *w, int64_t ticks);

static inline bool weft__waiter_claim(weft__waiter *wt, int result)
{
    if (!wt->sole)
        return weft__claim(wt->task, wt->ticket, result);
    weft__check(weft__load(&wt->task->ticket) == wt->ticket);
    wt->task->result = result;
    weft__store_rel(&wt->task->ticket, wt->ticket + 1);
    return true;
}

/* Claims and unlinks the first waiter whose wait is still open; NULL if there is none. */
static inline weft__waiter *weft__waitq_claim(weft__waitq *q, int result)
{
    weft__waiter *wt;

    while ((wt = weft__waitq_pop(q)) != NULL) {
        if (weft__waiter_claim(wt, result))
            return wt;
    }
    return NULL;
}

/* Wake-ups in a row, or claims under one lock, before other tasks get a turn. */
enum { WEFT__PIECE = 128 };

/* Lets other tasks run after each piece of a loop of wake-ups; i counts the rounds. t is the
 * caller, and holds no lock. */
static inline void weft__breathe_at(unsigned i, weft__task *t)
{
    if (weft__unlikely(i % WEFT__PIECE == WEFT__PIECE - 1))
        weft__breathe(t);
}

/* Makes the tasks of these waiters, which were claimed, ready in their order. With many of them
 * others run in between. Caller holds no lock. */
void weft__ready_all(weft__waitq *woken);

/* Claims every waiter that is in q now, and then makes all of them ready. With many of them others
 * run in between, without the lock: then the object must stay in place until the last is claimed,
 * and new waiters queue up behind a mark. t is the caller. Caller holds lock, the object's, which
 * guards q; releases it. */
void weft__wake_all(weft__task *t, weft__waitq *q, uint32_t *lock);

#endif
