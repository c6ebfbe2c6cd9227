/* SPDX-License-Identifier: MIT */
/* park.h - the waist: every wait of every primitive is a weft__park that one won weft__claim
 * followed by weft__ready ends. */
#ifndef WEFT_PARK_H
#define WEFT_PARK_H

#include "scheduler.h"

/* A waiting task in an object's queue; on its own stack, one per case of a select. Linked and
 * unlinked under the object's lock. */
typedef struct weft__waiter {
    struct weft__waiter *next, *prev;
    weft__task *task;
    uint64_t ticket;
    void *elem;
    uint32_t index;   /* of the select case; or the kind of wait */
    bool queued;
    uint32_t *chosen; /* channels: the claimer writes index there */
    int64_t n;        /* units wanted; when the wait began */
} weft__waiter;

typedef struct weft__waitq {
    weft__waiter *head, *tail;
} weft__waitq;

void weft__waitq_push(weft__waitq *q, weft__waiter *wt);
void weft__waitq_push_front(weft__waitq *q, weft__waiter *wt);
void weft__waitq_remove(weft__waitq *q, weft__waiter *wt);
weft__waiter *weft__waitq_pop(weft__waitq *q);

/* Prepares wt for the calling task's next park. */
void weft__waiter_init(weft__waiter *wt, weft__task *t);

/* t, the caller, waits. after(arg) is called as soon as the task's stack is nobody's: it releases the object's
 * lock. Returns the claimer's result, WEFT_ETIMEDOUT at the deadline, or WEFT_ECANCELED if the
 * reason is cancelable; in both last cases the waiter may still be queued. Afterwards t->worker may
 * be another. */
int weft__park(weft__task *t, enum weft__reason why, const void *object, weft__after *after, void *arg,
               weft_time deadline);
/* As above; releases one lock. */
int weft__park_unlock(weft__task *t, enum weft__reason why, const void *object, uint32_t *lock,
                      weft_time deadline);

/* True: you, and only you, end this wait; call weft__ready next. Before claiming hold what keeps
 * the object in place; after ready touch neither it nor the waiter. */
bool weft__claim(weft__task *t, uint64_t ticket, int result);
void weft__ready(weft__task *t);
void weft__ready_by(weft__worker *w, weft__task *t); /* w: the caller's own, or NULL */
/* Ends the open wait of t, if it is cancelable, with WEFT_ECANCELED. */
void weft__cancel(weft__task *t);

/* Claims and unlinks the first waiter whose wait is still open; NULL if there is none. */
weft__waiter *weft__waitq_claim(weft__waitq *q, int result);

/* A random yield or delay, when schedule chaos is on. */
void weft__chaos_slow(void);
static inline void weft__chaos(void)
{
    if (weft__unlikely(weft__sched.chaos != 0))
        weft__chaos_slow();
}

#endif
