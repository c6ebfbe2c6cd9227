/* SPDX-License-Identifier: MIT */
/* runq.h - queues of runnable tasks: a ring and two short queues for each processor, and one global
 * queue.
 *
 * The ring is first in, first out. Its owner, the worker that has the processor, pushes at the
 * tail; owner and thieves take at the head by CAS. A thief takes half. There is no lock.
 *
 * `next` is one task that runs before the ring. Only the owner touches it, so a wake and its pick
 * cost no locked instruction; that saves 24 ns of a round trip over channels. After 32 turns it is
 * passed over. While a task runs on for long, the monitor moves the task in next to the ring, where
 * thieves find it.
 *
 * `due` has tasks whose time has come while others were in the ring: they should not wait behind
 * the many tasks that one poll may have made ready. It belongs to the owner alone, too. It gets
 * four turns of five at most, so many timers do not starve the ring either.
 *
 * The global queue has a lock, and any thread may push to it.
 *
 * Why no Chase-Lev deque: its owner takes the newest task, so two tasks that make each other ready
 * starve the rest. The ring with next hands over as fast and is fair.
 *
 * Why is a task not fetched into the cache when it becomes ready? A chain of 10,000 tasks over
 * unbuffered channels (a sieve) with 1,500 values in flight costs 170 ns a hop at one processor and
 * 79 at two, which looks like cold caches. But it is 171 and 153 ns of CPU: two processors work at
 * the same time. With the top of the woken task's stack fetched, it was 212 and 75. */
#ifndef WEFT_RUNQ_H
#define WEFT_RUNQ_H

#include "runtime/base/lock.h"

struct weft__task;

enum {
    WEFT__RING = 1024,    /* places of a ring */
    WEFT__BATCH = 128,    /* the most tasks that move from the global queue or a victim at once */
    WEFT__NEXT_RUNS = 32, /* turns in a row that next goes before the ring */
    WEFT__DUE = 32,       /* places for due tasks */
    WEFT__DUE_RUNS = 4,   /* turns in a row that due goes before the ring */
};

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

extern WEFT__HIDDEN bool weft__runq_solo; /* one processor, so no thread steals */

/* The next five functions are for the owner of q. */

/* Pushes a task: into next, whose former task goes to the tail, or to the tail itself. */
void weft__runq_push(weft__runq *q, struct weft__task *t, bool to_next);
/* Pushes a task whose time has come. */
void weft__runq_push_due(weft__runq *q, struct weft__task *t);
/* Takes the task that runs next; NULL if the queue is empty. */
struct weft__task *weft__runq_pop(weft__runq *q);
/* Moves next and due to the tail, where thieves find them. The monitor calls it, too, with the
 * owner kept out of the runtime. */
void weft__runq_offer_next(weft__runq *q);
/* Steals: moves up to half of the ring `from` to q, and returns one of the tasks; NULL if there was
 * none. */
struct weft__task *weft__runq_steal(weft__runq *q, weft__runq *from);

/* Returns whether the queue was empty at some moment during the call. Any thread. */
static inline bool weft__runq_empty(const weft__runq *q)
{
    return weft__load_acq(&q->head) == weft__load_acq(&q->tail) && !weft__load_acq(&q->next) &&
           weft__load_acq(&q->ndue) == 0;
}

/* Returns whether a thief should come. Any thread. */
static inline bool weft__runq_stealable(const weft__runq *q)
{
    uint32_t head = weft__load_acq(&q->head);

    return weft__load_acq(&q->tail) - head > weft__load(&q->keep);
}

/* The global queue: for tasks that no processor has, and for what overflows a ring. */

/* Pushes a task to the end, or ahead of all. Any thread, under locks of a rank below RUNQ; the
 * caller wakes a processor afterwards. */
void weft__global_push(struct weft__task *t);
void weft__global_push_front(struct weft__task *t);
/* Takes a processor's share for q, whose owner is the caller, and returns one of the tasks; NULL if
 * there is none. */
struct weft__task *weft__global_pop(weft__runq *q, int procs);
uint32_t weft__global_len(void); /* any thread; slightly old */
void weft__global_clear(void);   /* at the end of a run */

#endif
