/* SPDX-License-Identifier: MIT */
/* lane.c - what is known of functions that hog or block, and the queues of tasks that wait for it.
 *
 * Owns: the table of entry functions, the hog lane, and the tasks that wait for a thread.
 *
 * Hogs. Entry functions taken from HOG_TAKES times with CPU evidence are known hogs: to run, their
 * tasks need one of few lane slots, given back at their next wait or yield, and they are taken from
 * after 1 ms. Slots grow by one a second only while none turned over, else endless hogs would
 * starve the lane. The count of takes fades, so that a function that behaves again is no hog for
 * ever.
 *
 * Calls. From a function whose tasks sit in undeclared calls without a processor, or did so some
 * seconds ago, processors are taken sooner. While threads are short (spare.c) and some task of a
 * function sits so, its others wait here before they run. A task that came back from its call does
 * not, for it brought its thread. Tasks that declare a call wait here before it.
 *
 * Locks: lane.lock and held.lock, rank OBJECT, since leaving makes the next one ready. The table is
 * all atomics. */
#include "lane.h"

#include "park.h"
#include "spare.h"

#define SECOND INT64_C(1000000000)

enum { SITES = 256, HOG_TAKES = 4, BLOCK_TAKES = 2 };

struct site {
    weft_task_fn *fn; /* atomic */
    uint32_t takes;   /* atomic: while it burnt CPU */
    uint32_t blocked; /* atomic: takes while it sat in a call */
    uint32_t sitting; /* atomic: tasks that were taken from so and are not back */
};

uint32_t weft__gates;
static struct site sites[SITES];
static bool any_blocked; /* atomic: some site's blocked is not 0 */

struct queue {
    weft__task *head, *tail; /* linked by next */
};

static struct {
    uint32_t lock;
    uint32_t used, slots;
    uint32_t turned; /* slots given back since the last growth */
    int64_t grown;   /* monitor */
    struct queue queue;
} lane;

static struct {
    uint32_t lock;
    uint32_t n;         /* atomic: tasks in both; written under lock */
    bool calls_next;    /* which of the two is served next */
    struct queue tasks; /* picked to run, of functions that block */
    weft__waitq calls;  /* before a declared call */
} held;

static void link_last(struct queue *q, weft__task *t)
{
    weft__store(&t->next, NULL);
    if (q->tail)
        weft__store(&q->tail->next, t);
    else
        q->head = t;
    q->tail = t;
}

static weft__task *unlink_first(struct queue *q)
{
    weft__task *t = q->head;

    if (!t)
        return NULL;
    q->head = t->next;
    if (!q->head)
        q->tail = NULL;
    return t;
}

/* t, which was picked to run, waits in q. */
static void append(struct queue *q, weft__task *t, enum weft__reason why)
{
    link_last(q, t);
    weft__store(&t->since, weft__ticks());
    weft__store(&t->reason, (uint8_t)why);
}

static weft__task *pop(struct queue *q)
{
    weft__task *t = unlink_first(q);

    if (t)
        weft__store(&t->reason, WEFT__WAIT_NONE);
    return t;
}

static void run(weft__task *t)
{
    if (!t)
        return;
    weft__global_push(t);
    weft__fence_full();
    weft__wake_one();
}

/* Functions ------------------------------------------------------------------------------------ */

static struct site *site_of(weft_task_fn *fn, bool add)
{
    uintptr_t h = ((uintptr_t)fn >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    for (unsigned i = 0; i < 16; i++) {
        struct site *s = &sites[(h + i) % SITES];
        weft_task_fn *have = weft__load_acq(&s->fn);

        if (!have && add && weft__cas(&s->fn, &have, fn))
            return s;
        if (have == fn)
            return s;
        if (!have)
            return NULL;
    }
    return NULL;
}

void weft__site_burned(weft_task_fn *fn)
{
    struct site *s = site_of(fn, true);

    if (s && weft__add(&s->takes, 1) == HOG_TAKES - 1)
        weft__add(&weft__gates, 1);
}

bool weft__site_hogs(weft_task_fn *fn)
{
    const struct site *s = weft__hogs_known() ? site_of(fn, false) : NULL;

    return s && weft__load(&s->takes) >= HOG_TAKES;
}

void weft__site_blocked(weft_task_fn *fn)
{
    struct site *s = site_of(fn, true);

    if (!s)
        return;
    weft__add(&s->blocked, 1);
    weft__add(&s->sitting, 1);
    weft__store(&any_blocked, true);
}

static bool sits(weft_task_fn *fn)
{
    const struct site *s = weft__load(&any_blocked) ? site_of(fn, false) : NULL;

    return s && weft__load(&s->sitting) > 0;
}

bool weft__site_blocks(weft_task_fn *fn)
{
    const struct site *s = weft__load(&any_blocked) ? site_of(fn, false) : NULL;

    return s && (weft__load(&s->sitting) > 0 || weft__load(&s->blocked) >= BLOCK_TAKES);
}

static void fade_takes(struct site *s)
{
    uint32_t takes = weft__load(&s->takes), left = takes - takes / 4;

    if (takes >= HOG_TAKES && weft__cas(&s->takes, &takes, left) && left < HOG_TAKES)
        weft__sub(&weft__gates, 1);
}

static void fade_blocked(struct site *s)
{
    uint32_t blocked = weft__load(&s->blocked);

    weft__cas(&s->blocked, &blocked, blocked - (blocked + 3) / 4);
}

static void sites_fade(void)
{
    if (!weft__gates_any() && !weft__load(&any_blocked))
        return;
    for (unsigned i = 0; i < SITES; i++) {
        fade_takes(&sites[i]);
        fade_blocked(&sites[i]);
    }
}

/* The hog lane --------------------------------------------------------------------------------- */

static bool asks_for_slot(const weft__task *t)
{
    return !(t->flags & WEFT__LANE) && weft__site_hogs(t->fn);
}

bool weft__lane_admit(weft__task *t)
{
    bool admitted;

    weft__lock(&lane.lock);
    admitted = lane.used < lane.slots;
    if (admitted) {
        lane.used++;
        weft__flag_set(t, WEFT__LANE);
    } else {
        append(&lane.queue, t, WEFT__WAIT_HOG_LANE);
    }
    weft__unlock(&lane.lock);
    return admitted;
}

/* The next one in the lane, if there is room; it brings its slot with it. Caller holds the lock. */
static weft__task *lane_next(void)
{
    weft__task *t = lane.used < lane.slots ? pop(&lane.queue) : NULL;

    if (!t)
        return NULL;
    lane.used++;
    weft__flag_set(t, WEFT__LANE);
    return t;
}

/* A worker may be given up meanwhile: then the slot is gone, or weft__lane_clear, and with it the
 * end of the run, waits until the next one is in the queue that ends with the run. */
void weft__lane_leave(weft__task *t)
{
    weft__flag_clear(t, WEFT__LANE);
    weft__lock(&lane.lock);
    if (weft__load_acq(&t->worker->end) == WEFT__ALIVE) {
        lane.used--;
        lane.turned++;
        run(lane_next());
    }
    weft__unlock(&lane.lock);
}

static void lane_grow(void)
{
    weft__task *next = NULL;

    weft__lock(&lane.lock);
    if (lane.queue.head && lane.turned == 0 && lane.slots < 16 * (uint32_t)weft__sched.nprocs) {
        lane.slots++;
        next = lane_next();
    }
    lane.turned = 0;
    weft__unlock(&lane.lock);
    run(next);
}

void weft__lane_tend(int64_t now)
{
    if (now - lane.grown < SECOND)
        return;
    lane.grown = now;
    sites_fade();
    lane_grow();
}

/* Waiting for a thread ------------------------------------------------------------------------- */

static bool asks_for_thread(const weft__task *t)
{
    return weft__threads_short() && !(t->flags & WEFT__PASSED) && sits(t->fn);
}

/* The ground is looked at under the lock: whoever takes it away looks for tasks after that. */
static bool held_admit(weft__task *t)
{
    bool admitted;

    weft__lock(&held.lock);
    admitted = !weft__threads_short() || !sits(t->fn);
    if (!admitted) {
        append(&held.tasks, t, WEFT__WAIT_THREAD);
        weft__store_seq(&held.n, held.n + 1);
    }
    weft__unlock(&held.lock);
    if (!admitted)
        weft__supply_missed();
    return admitted;
}

void weft__held_wait(weft__task *t)
{
    weft__waiter wt;

    weft__supply_missed();
    weft__lock(&held.lock);
    while (weft__threads_short()) {
        weft__waiter_init(&wt, t);
        weft__waitq_push(&held.calls, &wt);
        weft__store_seq(&held.n, held.n + 1);
        weft__park_unlock(t, WEFT__WAIT_THREAD, NULL, &held.lock, WEFT_FOREVER);
        weft__lock(&held.lock);
    }
    weft__unlock(&held.lock);
}

/* Lets the next one go; false if there is none. */
static bool release_one(void)
{
    weft__waiter *wt = NULL;
    weft__task *t = NULL;

    weft__lock(&held.lock);
    if (held.calls_next || !held.tasks.head)
        wt = weft__waitq_claim(&held.calls, 0);
    if (!wt)
        t = pop(&held.tasks);
    held.calls_next = !wt;
    if (wt || t)
        weft__store_seq(&held.n, held.n - 1);
    if (t)
        weft__flag_set(t, WEFT__PASSED);
    weft__unlock(&held.lock);
    if (wt)
        weft__ready(wt->task);
    run(t);
    return wt || t;
}

void weft__held_release(int64_t n)
{
    while (n-- > 0 && release_one())
        ;
}

/* No task of fn sits in a call any more: its others may run. */
static void release_all_of(weft_task_fn *fn)
{
    struct queue go = {NULL, NULL}, stay = {NULL, NULL};
    weft__task *t;

    weft__lock(&held.lock);
    while ((t = unlink_first(&held.tasks)) != NULL)
        link_last(t->fn == fn ? &go : &stay, t);
    held.tasks = stay;
    for (t = go.head; t; t = t->next)
        weft__store_seq(&held.n, held.n - 1);
    weft__unlock(&held.lock);
    while ((t = pop(&go)) != NULL)
        run(t);
}

void weft__site_returned(weft_task_fn *fn)
{
    struct site *s = site_of(fn, false);

    if (s && weft__sub(&s->sitting, 1) == 1 && weft__held_count() > 0)
        release_all_of(fn);
}

uint32_t weft__held_count(void)
{
    return weft__load_seq(&held.n);
}

/* The gate ------------------------------------------------------------------------------------- */

bool weft__gate_asks(const weft__task *t)
{
    return asks_for_slot(t) || asks_for_thread(t);
}

bool weft__gate_admit(weft__task *t)
{
    if (asks_for_thread(t) && !held_admit(t))
        return false;
    weft__flag_clear(t, WEFT__PASSED);
    return !asks_for_slot(t) || weft__lane_admit(t);
}

void weft__gate_set(bool threads_are_short)
{
    if (threads_are_short)
        weft__or(&weft__gates, WEFT__GATE_SHORT);
    else
        weft__and(&weft__gates, ~WEFT__GATE_SHORT);
}

void weft__lane_clear(void)
{
    weft__lock(&lane.lock);
    lane.queue = (struct queue){NULL, NULL};
    lane.used = 0;
    lane.slots = 2 * (uint32_t)weft__sched.nprocs;
    weft__unlock(&lane.lock);
    weft__lock(&held.lock);
    held.tasks = (struct queue){NULL, NULL};
    held.calls = (weft__waitq){NULL, NULL};
    weft__store(&held.n, 0);
    weft__unlock(&held.lock);
    weft__gate_set(false);
    for (unsigned i = 0; i < SITES; i++) /* of tasks that the end of a run left in their calls */
        weft__store(&sites[i].sitting, 0);
}
