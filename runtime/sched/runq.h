/* SPDX-License-Identifier: MIT */
/* runq.h - queues of runnable tasks: a ring with a run-next slot for each processor, and one
 * global list.
 *
 * The ring is first in, first out. Its owner pushes at the tail; owner and thieves take at the
 * head by CAS. A thief takes half. next is the owner's alone, so that a wake and its pick cost no
 * locked instruction; while a task runs on, the monitor moves the task in next to the ring. The
 * ring moves between threads with its processor: the owner is the worker that has the processor.
 * next saves 24 ns of a round trip over channels, and is passed over after 32 turns.
 *
 * Why no Chase-Lev deque: its owner takes the newest, so two tasks that ready each other starve the
 * rest. The ring with next hands over as fast and is fair.
 *
 * Why no prefetch of a task that was made ready: a chain of 10,000 tasks over unbuffered channels
 * (a sieve) with 1,500 values in flight costs 170 ns a hop at one processor and 79 at two, which
 * looks like cold caches. But it is 171 and 153 ns of CPU: two processors work at the same time.
 * With the top of the woken task's stack fetched when it becomes ready, it was 212 and 75.
 *
 * due holds tasks whose time has come while others were in the ring: they do not wait behind the
 * many that one poll may have made ready. They are the owner's alone, like next, and get four turns
 * of five at most, so that many timers do not starve the ring either. */
#ifndef WEFT_RUNQ_H
#define WEFT_RUNQ_H

#include "runtime/base/lock.h"

struct weft__task;

enum { WEFT__RING = 1024, WEFT__BATCH = 128, WEFT__NEXT_RUNS = 32 };
enum { WEFT__DUE = 32, WEFT__DUE_RUNS = 4 };

typedef struct weft__runq {
    uint32_t head __attribute__((aligned(64))); /* atomic */
    uint32_t tail __attribute__((aligned(64))); /* written by the owner */
    uint32_t next_runs;                         /* owner: times in a row that next went first */
    uint32_t keep;           /* atomic: thieves come only for more than so many; the monitor's */
    uint32_t drains;         /* atomic: times that the owner found nothing; written by it */
    struct weft__task *next; /* atomic; written by the owner */
    uint32_t due_head;       /* these two: owner only */
    uint32_t due_runs;       /* times in a row that due went before the ring */
    uint32_t ndue;           /* atomic; written by the owner */
    struct weft__task *due[WEFT__DUE];
    struct weft__task *ring[WEFT__RING];
} weft__runq;

extern WEFT__HIDDEN bool weft__runq_solo; /* one processor: nobody steals */

/* Owner. to_next: run it before the ring; what stood there goes to the tail. */
void weft__runq_push(weft__runq *q, struct weft__task *t, bool to_next);
/* Pushes a task whose time has come. Owner. */
void weft__runq_push_due(weft__runq *q, struct weft__task *t);
struct weft__task *weft__runq_pop(weft__runq *q);
/* Moves next and due to the tail, where thieves find them. */
void weft__runq_offer_next(weft__runq *q);
/* Thief: moves up to half of from to q, and returns one of them; NULL if there was none. */
struct weft__task *weft__runq_steal(weft__runq *q, weft__runq *from);

static inline bool weft__runq_empty(const weft__runq *q)
{
    return weft__load_acq(&q->head) == weft__load_acq(&q->tail) && !weft__load_acq(&q->next) &&
           weft__load_acq(&q->ndue) == 0;
}

static inline bool weft__runq_stealable(const weft__runq *q)
{
    uint32_t head = weft__load_acq(&q->head);

    return weft__load_acq(&q->tail) - head > weft__load(&q->keep);
}

/* The global queue. */
void weft__global_push(struct weft__task *t);
void weft__global_push_front(struct weft__task *t); /* ahead of all that wait there */
/* Owner of q: takes a share for q and returns one of them; NULL if there is none. */
struct weft__task *weft__global_pop(weft__runq *q, int procs);
uint32_t weft__global_len(void);
void weft__global_clear(void);

#endif
