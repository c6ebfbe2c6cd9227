/* SPDX-License-Identifier: MIT */
/* runq.c - the queues of runnable tasks.
 *
 * Owns: the rings, whose memory is in the processors, and the global queue.
 * Lock: global.lock (rank RUNQ) guards the global queue. The rings have none: runq.h says which
 * thread may call what. */
#include "runtime/sched/runq.h"

#include "runtime/sched/task.h"

/* An empty global queue with more places than this gives its memory back. */
enum { LARGE = 64 << 10 };
/* The distances of prefetches, in tasks: a few switches take less time than memory to answer. */
enum { SOON = 24, SOONER = 12 };

#define AT(q, i) ((q)->ring[(i) % WEFT__RING])

bool weft__runq_solo;

/* A growing ring of pointers. A list through the tasks would miss the cache at each of them. */
static struct {
    uint32_t lock;      /* rank RUNQ; guards all fields */
    uint32_t n;         /* also read without the lock */
    uint32_t head, cap; /* cap is a power of two */
    weft__task **ring;
} global;

/* Makes room for `more` tasks. Caller holds the lock. */
static void global_reserve(uint32_t more)
{
    weft__check_holds(&global.lock);
    uint32_t cap = global.cap ? global.cap : 1024;
    weft__task **ring;

    while (cap < global.n + more)
        cap *= 2;
    if (cap == global.cap)
        return;
    ring = weft__alloc(cap, sizeof(weft__task *));
    for (uint32_t i = 0; i < global.n; i++)
        ring[i] = global.ring[(global.head + i) & (global.cap - 1)];
    weft__free(global.ring);
    global.ring = ring;
    global.cap = cap;
    global.head = 0;
}

/* Appends n tasks, under one lock. */
static void global_append(weft__task *const *tasks, uint32_t n)
{
    weft__lock(&global.lock, WEFT__RANK_RUNQ);
    global_reserve(n);
    for (uint32_t i = 0; i < n; i++)
        global.ring[(global.head + global.n + i) & (global.cap - 1)] = tasks[i];
    weft__store(&global.n, global.n + n);
    weft__unlock(&global.lock);
}

void weft__global_push(weft__task *t)
{
    global_append(&t, 1);
}

void weft__global_push_front(weft__task *t)
{
    weft__lock(&global.lock, WEFT__RANK_RUNQ);
    global_reserve(1);
    global.head = (global.head - 1) & (global.cap - 1);
    global.ring[global.head] = t;
    weft__store(&global.n, global.n + 1);
    weft__unlock(&global.lock);
}

uint32_t weft__global_len(void)
{
    return weft__load(&global.n);
}

static void global_drop(void)
{
    weft__free(global.ring);
    global.ring = NULL;
    global.n = global.cap = global.head = 0;
}

void weft__global_clear(void)
{
    global_drop();
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

weft__task *weft__global_pop(weft__runq *q, int procs)
{
    weft__task *first = NULL;
    uint32_t room, share;

    if (weft__load(&global.n) == 0)
        return NULL;
    weft__lock(&global.lock, WEFT__RANK_RUNQ);
    room = WEFT__RING - (q->tail - weft__load_acq(&q->head));
    share = (global.n + (uint32_t)procs - 1) / (uint32_t)procs;
    share = least(share, least(WEFT__BATCH, room + 1));
    for (uint32_t i = 0; i < share; i++) {
        weft__task *t = global.ring[global.head++ & (global.cap - 1)];

        if (i < SOON) /* pop_head fetches those that follow */
            __builtin_prefetch(t, 1);
        if (i == 0) {
            first = t;
            continue;
        }
        weft__store(&AT(q, q->tail), t);
        weft__store_rel(&q->tail, q->tail + 1);
    }
    weft__store(&global.n, global.n - share);
    if (weft__unlikely(global.n == 0 && global.cap > LARGE))
        global_drop(); /* a burst is over */
    weft__unlock(&global.lock);
    return first;
}

/* Takes n tasks from the head. Returns false if another thread was quicker. Without thieves a plain
 * store does, at a fifth of the cost of a CAS. */
static bool take(weft__runq *q, uint32_t head, uint32_t n)
{
    if (weft__runq_solo) {
        weft__store(&q->head, head + n);
        return true;
    }
    return weft__cas(&q->head, &head, head + n);
}

/* Moves half of the ring, which is full, and t to the global queue. Half, so that the next push is
 * not a spill again. Returns false if a thief has made room meanwhile. */
static WEFT__NOINLINE bool spill(weft__runq *q, weft__task *t, uint32_t head)
{
    weft__task *batch[WEFT__RING / 2 + 1];
    uint32_t n = WEFT__RING / 2;

    for (uint32_t i = 0; i < n; i++)
        batch[i] = weft__load(&AT(q, head + i));
    if (!take(q, head, n))
        return false;
    batch[n] = t;
    global_append(batch, n + 1);
    return true;
}

void weft__runq_push(weft__runq *q, weft__task *t, bool to_next)
{
    uint32_t head;

    if (to_next) {
        weft__task *old = weft__load(&q->next);

        weft__store(&q->next, t);
        if (!old)
            return;
        t = old;
    }
    do {
        head = weft__load_acq(&q->head);
        if (weft__likely(q->tail - head < WEFT__RING)) {
            weft__store(&AT(q, q->tail), t);
            weft__store_rel(&q->tail, q->tail + 1);
            return;
        }
    } while (!spill(q, t, head));
}

void weft__runq_push_due(weft__runq *q, weft__task *t)
{
    if (weft__load_acq(&q->head) == q->tail) {
        weft__runq_push(q, t, true); /* the ring is empty, so next is as early */
    } else if (q->ndue == WEFT__DUE) {
        weft__runq_push(q, t, false);
    } else {
        q->due[(q->due_head + q->ndue) % WEFT__DUE] = t;
        weft__store_rel(&q->ndue, q->ndue + 1);
    }
}

static weft__task *pop_due(weft__runq *q)
{
    weft__task *t;

    if (q->ndue == 0)
        return NULL;
    t = q->due[q->due_head++ % WEFT__DUE];
    weft__store(&q->ndue, q->ndue - 1);
    return t;
}

void weft__runq_offer_next(weft__runq *q)
{
    weft__task *t = weft__load(&q->next);

    if (t) {
        weft__runq_push(q, t, false);
        weft__store(&q->next, NULL);
    }
    while ((t = pop_due(q)) != NULL)
        weft__runq_push(q, t, false);
}

static weft__task *pop_next(weft__runq *q)
{
    weft__task *t = weft__load(&q->next);

    if (t)
        weft__store(&q->next, NULL);
    return t;
}

/* Fetches the record of a task that comes soon, and the stack of one that comes sooner. With many
 * tasks each switch would miss the caches at both. The slots may be unused or old by then: a fetch
 * of NULL is harmless, and an old task costs a wasted fetch. */
static inline void prefetch(weft__runq *q, uint32_t head)
{
    const weft__task *soon, *sooner;
    const char *sp;

    if (q->tail - head < SOONER + 2)
        return;
    soon = weft__load(&AT(q, head + SOON));
    sooner = weft__load(&AT(q, head + SOONER));
    __builtin_prefetch(soon, 1);
    __builtin_prefetch((const char *)soon + 64, 1);
    sp = weft__load(&sooner->ctx.sp);
    __builtin_prefetch(sp, 1);
    __builtin_prefetch(sp + 64, 1);
    __builtin_prefetch(sp + 128, 1);
}

static weft__task *pop_head(weft__runq *q)
{
    weft__task *t;
    uint32_t head;

    for (;;) {
        head = weft__load_acq(&q->head);
        if (head == q->tail)
            return NULL;
        t = weft__load(&AT(q, head));
        prefetch(q, head);
        if (weft__likely(take(q, head, 1)))
            return t;
    }
}

/* Takes next first, but not for ever: two tasks that wake each other through it would starve the
 * ring. */
weft__task *weft__runq_pop(weft__runq *q)
{
    weft__task *t;

    if (q->next_runs < WEFT__NEXT_RUNS && (t = pop_next(q)) != NULL) {
        q->next_runs++;
        return t;
    }
    q->next_runs = 0;
    if (weft__unlikely(q->ndue > 0)) {
        if (q->due_runs++ < WEFT__DUE_RUNS)
            return pop_due(q);
        q->due_runs = 0;
    }
    t = pop_head(q);
    if (!t && !(t = pop_due(q)) && !(t = pop_next(q)))
        weft__store(&q->drains, q->drains + 1);
    return t;
}

/* Reads the tasks before the CAS: once the CAS has succeeded, the owner may overwrite the slots. If
 * it fails, the copies are worthless, and the loop reads again. */
weft__task *weft__runq_steal(weft__runq *q, weft__runq *from)
{
    weft__task *batch[WEFT__BATCH];
    uint32_t head, n;

    do {
        head = weft__load_acq(&from->head);
        n = weft__load_acq(&from->tail) - head;
        if (n <= weft__load(&from->keep))
            return NULL;
        n -= n / 2;
        if (n > WEFT__BATCH)
            n = WEFT__BATCH;
        for (uint32_t i = 0; i < n; i++)
            batch[i] = weft__load(&AT(from, head + i));
    } while (!weft__cas(&from->head, &head, head + n));
    for (uint32_t i = 1; i < n; i++)
        weft__runq_push(q, batch[i], false);
    return batch[0];
}
