/* SPDX-License-Identifier: MIT */
/* timer.c - the heaps of timers.
 *
 * Owns: weft__timers and the fields of each weft__timer. timer.h has the lock and says which
 * threads may call.
 *
 * A heap is 4-ary, and its slots have the instants. Four brothers are one cache line, so sifting
 * touches one line a level. It touches the timers themselves only to write their new place, which
 * disarm needs: a program disarms most of its timers before they fire. A wheel of timers would need
 * a tick, and rounds each instant to it. */
#include "runtime/sched/park.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The slots of a cache line; the first room of a heap; the room that an empty heap gives back. */
enum { LINE = 64 / sizeof(struct weft__timer_slot), FIRST = 64, LARGE = 64 << 10 };

/* Doubles the room. The second slot begins a cache line, so the four children of each slot share
 * one. Caller holds the lock. */
static void grow(weft__timers *ts)
{
    uint32_t cap = ts->cap ? 2 * ts->cap : FIRST;
    struct weft__timer_slot *memory = aligned_alloc(64, (cap + LINE) * sizeof(*memory));

    if (!memory)
        weft__no_memory(NULL, "%u timers", cap);
    if (ts->n)
        memcpy(memory + LINE - 1, ts->heap, ts->n * sizeof(*memory));
    free(ts->memory);
    ts->memory = memory;
    ts->heap = memory + LINE - 1;
    ts->cap = cap;
}

/* Puts s at this place. The release orders home before pos: disarm reads pos first. */
static void place(weft__timers *ts, uint32_t pos, struct weft__timer_slot s)
{
    ts->heap[pos - 1] = s;
    weft__store_rel(&s.timer->pos, pos);
}

/* Puts s at pos or above it. Caller holds the lock, here and in the next functions. */
static void sift_up(weft__timers *ts, uint32_t pos, struct weft__timer_slot s)
{
    while (pos > 1) {
        uint32_t parent = (pos - 2) / 4 + 1;

        if (ts->heap[parent - 1].when <= s.when)
            break;
        place(ts, pos, ts->heap[parent - 1]);
        pos = parent;
    }
    place(ts, pos, s);
}

/* Puts s at pos or below it. Fetches the grandchildren while it compares the children. */
static void sift_down(weft__timers *ts, uint32_t pos, struct weft__timer_slot s)
{
    for (;;) {
        uint32_t first = 4 * (pos - 1) + 2, least = first;

        if (first > ts->n)
            break;
        for (uint32_t c = first; c < first + 4; c++)
            __builtin_prefetch(&ts->heap[4 * (c - 1) + 1]);
        for (uint32_t c = first + 1; c < first + 4 && c <= ts->n; c++) {
            if (ts->heap[c - 1].when < ts->heap[least - 1].when)
                least = c;
        }
        if (ts->heap[least - 1].when >= s.when)
            break;
        place(ts, pos, ts->heap[least - 1]);
        pos = least;
    }
    place(ts, pos, s);
}

/* Frees the room of a heap that is empty after a burst. */
static void shrink(weft__timers *ts)
{
    free(ts->memory);
    ts->memory = NULL;
    ts->heap = NULL;
    ts->cap = 0;
}

/* Stores the earliest instant, which workers read without the lock. */
static void next_changed(weft__timers *ts)
{
    if (weft__unlikely(ts->n == 0 && ts->cap > LARGE))
        shrink(ts);
    weft__store_rel(&ts->next, ts->n ? ts->heap[0].when : WEFT_FOREVER);
}

/* Takes the timer at pos out of the heap. The release orders `firing` before pos: so disarm_wait,
 * which finds pos 0, then sees the callback under way. */
static void remove_at(weft__timers *ts, uint32_t pos)
{
    struct weft__timer_slot last = ts->heap[ts->n - 1];

    weft__store_rel(&ts->heap[pos - 1].timer->pos, 0);
    ts->n--;
    if (pos <= ts->n) {
        if (pos > 1 && ts->heap[(pos - 2) / 4].when > last.when)
            sift_up(ts, pos, last);
        else
            sift_down(ts, pos, last);
    }
}

/* The owner of a heap need not be woken: it looks at its timers before it sleeps. */
void weft__timer_arm(weft__timer *t, int64_t when, uint64_t arg)
{
    weft__worker *w = weft__self();
    weft__proc *p = w && w->p ? w->p : &weft__sched.procs[0];
    weft__timers *ts = &p->timers;
    bool earliest;

    weft__lock(&ts->lock, WEFT__RANK_TIMERS);
    weft__assert(t->pos == 0);
    if (ts->n == ts->cap)
        grow(ts);
    t->arg = arg;
    weft__store(&t->home, (uint16_t)p->index);
    ts->n++;
    sift_up(ts, ts->n, (struct weft__timer_slot){when, t});
    earliest = t->pos == 1;
    if (earliest)
        next_changed(ts);
    weft__unlock(&ts->lock);
    if (earliest && (!w || w->p != p))
        weft__proc_wake(p);
}

/* Locks the heap that t is in, and returns it; NULL if t is in none. A callback on another worker
 * may arm t in another heap meanwhile, so home is checked under the lock. home is used only while t
 * is in a heap: else it may be a processor of an earlier run that had more of them. */
static weft__timers *lock_heap_of(const weft__timer *t)
{
    while (weft__load_acq(&t->pos) != 0) {
        uint16_t home = weft__load(&t->home);
        weft__timers *ts = &weft__sched.procs[home].timers;

        weft__lock(&ts->lock, WEFT__RANK_TIMERS);
        if (weft__load_acq(&t->pos) != 0 && weft__load(&t->home) == home)
            return ts;
        weft__unlock(&ts->lock);
    }
    return NULL;
}

bool weft__timer_disarm(weft__timer *t)
{
    weft__timers *ts = lock_heap_of(t);
    bool first;

    if (!ts)
        return false;
    first = t->pos == 1;
    remove_at(ts, t->pos);
    if (first)
        next_changed(ts);
    weft__unlock(&ts->lock);
    return true;
}

bool weft__timer_disarm_wait(weft__timer *t)
{
    bool armed = weft__timer_disarm(t);

    while (!armed && weft__load_acq(&t->firing))
        sched_yield();
    return armed;
}

/* Fetches the memory that the first steps of a woken task need: the rest of its record, and the
 * frames up to the caller of sleep. A task that slept long is in no cache. */
static inline void prefetch_sleeper(const weft__task *t)
{
    enum { LINE_SIZE = 64, FRAMES = 7 * LINE_SIZE };
    const char *sp = weft__load(&t->ctx.sp);

    __builtin_prefetch((const char *)t + 2 * LINE_SIZE, 1);
    for (unsigned i = 0; i < FRAMES; i += LINE_SIZE)
        __builtin_prefetch(sp + i, 1);
}

/* Fires a timer that was popped: calls its function, or wakes the task whose deadline it is. The
 * claim fails if the wait has ended meanwhile. */
static void fire(weft__timer *t, uint64_t arg, int64_t now)
{
    if (t->fire) {
        t->fire(t, arg, now);
        weft__sub(&t->firing, 1);
    } else {
        weft__task *task = weft__container_of(t, weft__task, timer);

        if (weft__claim(task, arg, WEFT_ETIMEDOUT)) {
            prefetch_sleeper(task);
            weft__ready_due(task);
        }
    }
}

/* Fetches the timers that can come next, at the root and below it, and the tasks around them: with
 * many timers all are cold. */
static inline void prefetch(const weft__timers *ts)
{
    for (uint32_t i = 0; i < 5 && i < ts->n; i++) {
        __builtin_prefetch(ts->heap[i].timer, 1);
        __builtin_prefetch((const char *)ts->heap[i].timer - offsetof(weft__task, timer), 1);
    }
}

/* Pops due timers in batches under the lock, and fires each batch without it: making a task ready
 * is not allowed under a lock of rank TIMERS, and callbacks take locks of lower ranks. */
unsigned weft__timers_run(weft__proc *p)
{
    weft__timers *ts = &p->timers;
    struct {
        weft__timer *timer;
        uint64_t arg;
    } due[64];
    unsigned n, fired = 0;
    int64_t now;

    if (weft__load(&ts->next) == WEFT_FOREVER)
        return 0;
    now = weft__nanos();
    while (weft__load(&ts->next) <= now) {
        weft__lock(&ts->lock, WEFT__RANK_TIMERS);
        for (n = 0; n < 64 && ts->n && ts->heap[0].when <= now; n++) {
            due[n].timer = ts->heap[0].timer;
            due[n].arg = due[n].timer->arg;
            if (due[n].timer->fire)
                weft__add(&due[n].timer->firing, 1);
            remove_at(ts, 1);
            prefetch(ts);
        }
        next_changed(ts);
        weft__unlock(&ts->lock);
        for (unsigned i = 0; i < n; i++)
            fire(due[i].timer, due[i].arg, now);
        fired += n;
    }
    return fired;
}

void weft__timers_free(weft__timers *ts)
{
    for (uint32_t i = 0; i < ts->n; i++)
        ts->heap[i].timer->pos = 0;
    free(ts->memory);
    *ts = (weft__timers){.next = WEFT_FOREVER};
}
