/* SPDX-License-Identifier: MIT */
/* runq.c - see runq.h. */
#include "runq.h"

#include "task.h"

#define AT(q, i) ((q)->ring[(i) % WEFT__RING])

bool weft__runq_solo;

/* Lock: rank RUNQ; guards head, tail. n is also read without it. */
static struct {
    uint32_t lock;
    uint32_t n;
    weft__task *head, *tail;
} global;

static void global_append(weft__task *first, weft__task *last, uint32_t n)
{
    weft__lock(&global.lock);
    last->next = NULL;
    if (global.tail)
        global.tail->next = first;
    else
        global.head = first;
    global.tail = last;
    weft__store(&global.n, global.n + n);
    weft__unlock(&global.lock);
}

void weft__global_push(weft__task *t)
{
    global_append(t, t, 1);
}

uint32_t weft__global_len(void)
{
    return weft__load(&global.n);
}

void weft__global_clear(void)
{
    global.head = global.tail = NULL;
    global.n = 0;
}

weft__task *weft__global_pop(weft__runq *q, int procs)
{
    weft__task *t, *first;
    uint32_t room, share;

    if (weft__load(&global.n) == 0)
        return NULL;
    weft__lock(&global.lock);
    first = global.head;
    if (first) {
        room = WEFT__RING - (q->tail - weft__load_acq(&q->head));
        share = global.n / (uint32_t)procs + 1;
        if (share > WEFT__BATCH)
            share = WEFT__BATCH;
        if (share > room + 1)
            share = room + 1;
        global.head = first->next;
        weft__store(&global.n, global.n - 1);
        for (; share > 1 && (t = global.head); share--) {
            global.head = t->next;
            weft__store(&global.n, global.n - 1);
            weft__store(&AT(q, q->tail), t);
            weft__store_rel(&q->tail, q->tail + 1);
        }
        if (!global.head)
            global.tail = NULL;
    }
    weft__unlock(&global.lock);
    return first;
}

/* Takes n from the head; false if a thief was quicker. */
static bool take(weft__runq *q, uint32_t head, uint32_t n)
{
    if (weft__runq_solo) {
        weft__store(&q->head, head + n);
        return true;
    }
    return weft__cas(&q->head, &head, head + n);
}

/* The ring is full: half of it and t go to the global queue. */
static WEFT__NOINLINE bool spill(weft__runq *q, weft__task *t, uint32_t head)
{
    weft__task *first = NULL, *last = NULL, *next;
    uint32_t n = WEFT__RING / 2;

    if (!take(q, head, n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        next = weft__load(&AT(q, head + i));
        if (last)
            last->next = next;
        else
            first = next;
        last = next;
    }
    last->next = t;
    global_append(first, t, n + 1);
    return true;
}

static void push_tail(weft__runq *q, weft__task *t)
{
    uint32_t head;

    do {
        head = weft__load_acq(&q->head);
        if (weft__likely(q->tail - head < WEFT__RING)) {
            weft__store(&AT(q, q->tail), t);
            weft__store_rel(&q->tail, q->tail + 1);
            return;
        }
    } while (!spill(q, t, head));
}

void weft__runq_push(weft__runq *q, weft__task *t, bool to_next)
{
    weft__task *old;

    if (to_next) {
        if (weft__runq_solo) {
            old = weft__load(&q->next);
            weft__store(&q->next, t);
        } else {
            old = weft__xchg(&q->next, t);
        }
        t = old;
        if (!t)
            return;
    }
    push_tail(q, t);
}

static weft__task *pop_next(weft__runq *q)
{
    weft__task *t = weft__load(&q->next);

    if (!t)
        return NULL;
    if (weft__runq_solo) {
        weft__store(&q->next, NULL);
        return t;
    }
    return weft__xchg(&q->next, NULL);
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
        if (weft__likely(take(q, head, 1)))
            return t;
    }
}

/* next goes first, but not for ever: two tasks that ping-pong over it would starve the ring. */
weft__task *weft__runq_pop(weft__runq *q)
{
    weft__task *t;

    if (q->next_runs < WEFT__NEXT_RUNS && (t = pop_next(q)) != NULL) {
        q->next_runs++;
        return t;
    }
    q->next_runs = 0;
    t = pop_head(q);
    return t ? t : pop_next(q);
}

static weft__task *steal_next(weft__runq *from)
{
    if (!weft__load(&from->next) || !weft__load_acq(&from->next_stale))
        return NULL;
    weft__store(&from->next_stale, 0);
    return weft__xchg(&from->next, NULL);
}

weft__task *weft__runq_steal(weft__runq *q, weft__runq *from)
{
    weft__task *batch[WEFT__BATCH];
    uint32_t head, n;

    do {
        head = weft__load_acq(&from->head);
        n = weft__load_acq(&from->tail) - head;
        n -= n / 2;
        if (n == 0)
            return steal_next(from);
        if (n > WEFT__BATCH)
            n = WEFT__BATCH;
        for (uint32_t i = 0; i < n; i++)
            batch[i] = weft__load(&AT(from, head + i));
    } while (!weft__cas(&from->head, &head, head + n));
    for (uint32_t i = 1; i < n; i++)
        push_tail(q, batch[i]);
    return batch[0];
}
