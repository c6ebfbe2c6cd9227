/* SPDX-License-Identifier: MIT */
/* sample.c - decides which blocks are sampled, and takes the samples (component.h's hooks).
 *
 * Owns: the rate, and walks, which are too large for the stacks that malloc is called on. Each walk
 * belongs to the thread that set its flag.
 *
 * A sample's stack is walked at once. Rules that nobody has learned yet are read from the mapped
 * .eh_frame (walk/ehframe.c), which takes no lock and asks no other thread. So samples are whole
 * from the first one on, also before weft_run.
 */
#include "profiles/heap/heap.h"

#include "profiles/heap/bounds.h"
#include "profiles/heap/live.h"
#include "profiles/heap/poisson.h"
#include "profiles/heap/stacks.h"

#include "profiles/capture/running.h"
#include "profiles/table/marks.h"
#include "profiles/walk/unwind.h"
#include "runtime/base/clock.h"
#include "runtime/base/self.h"
#include "runtime/sched/scheduler.h"

#include <string.h>

enum {
    OFF_GAP = 1 << 20, /* bytes until a thread looks again whether sampling is off */
};

static int64_t rate = WEFT__HEAP_RATE;   /* atomic */
static int64_t period = WEFT__HEAP_RATE; /* atomic: the last rate that was not 0 */
static uint32_t epoch = 1;               /* atomic: grows with each change of the rate */
static uint64_t lost;                    /* atomic */

static struct scratch {
    struct scratch *next; /* constant */
    bool taken;           /* atomic */
    struct weft__walk walk;
} * scratches; /* atomic: grows only */

/* Deciding ------------------------------------------------------------------------------------- */

static void begin(struct weft__heap_thread *t)
{
    t->random = (uint64_t)weft__mono() ^ (uintptr_t)t * UINT64_C(0x9e3779b97f4a7c15);
    t->begun = true;
}

/* Returns the bytes up to the next sampled one. A rate of 1 has no gaps. */
static size_t gap(struct weft__heap_thread *t, int64_t now)
{
    if (now <= 0)
        return OFF_GAP;
    return now == 1 ? 0 : (size_t)weft__heap_gap(&t->random, (double)now) + 1;
}

/* The first gap of a thread, and the first one at a new rate, is drawn before the block. So the
 * block has the same chance as any other. */
static bool due(struct weft__heap_thread *t, size_t n)
{
    int64_t now = weft__load_acq(&rate);
    uint32_t e = weft__load(&epoch);

    t->asked++;
    if (!t->begun)
        begin(t);
    if (t->epoch != e) {
        t->epoch = e;
        t->left = gap(t, now);
        if (n < t->left) {
            t->left -= n;
            return false;
        }
    }
    t->left = gap(t, now);
    return now > 0;
}

static double weight_of(size_t n, int64_t now)
{
    return now <= 1 || n == 0 ? 1 : 1 / weft__heap_chance((double)n, (double)now);
}

/* Taking --------------------------------------------------------------------------------------- */

/* Maps one more. Returns NULL if memory ran out. */
static struct scratch *scratch_new(void)
{
    struct scratch *s = weft__map(sizeof(*s));

    if (!s)
        return NULL;
    s->taken = true;
    s->next = weft__load(&scratches);
    while (!weft__cas(&scratches, &s->next, s))
        ;
    return s;
}

/* There are as many as threads took samples at once so far. */
static struct scratch *scratch_take(void)
{
    for (struct scratch *s = weft__load_acq(&scratches); s; s = s->next) {
        if (!weft__load(&s->taken) && !weft__xchg(&s->taken, true))
            return s;
    }
    return scratch_new();
}

struct walker {
    struct weft__heap_thread *thread;
    struct weft__walk *walk;
    void *sp;
};

/* Walks the caller's stack, whose context is saved in sp. */
static void walk_caller(void *arg)
{
    struct walker *w = arg;
    struct weft__regs regs;
    uintptr_t lo, hi;

    w->walk->kept = 0;
    if (!weft__heap_bounds(w->thread, (uintptr_t)w->sp, &lo, &hi) ||
        !weft__regs_saved(&regs, w->sp, lo, hi))
        return;
    weft__walk_fault(w->walk, &regs, lo, hi, (const void *)lo, false);
    weft__walk_close(w->walk);
}

/* Drops the frames above the one that returns to caller. If the walk did not come there, the caller
 * is all that is known. */
static void drop_above(struct weft__walk *walk, const void *caller)
{
    uint32_t i = 0;

    if (!caller)
        return;
    while (i < walk->kept && walk->pcs[i] != (uintptr_t)caller)
        i++;
    if (i < walk->kept) {
        walk->kept -= i;
        memmove(walk->pcs, walk->pcs + i, walk->kept * sizeof(*walk->pcs));
    } else {
        walk->pcs[0] = (uintptr_t)caller;
        walk->pcs[1] = WEFT__MARK_CUT;
        walk->kept = 2;
    }
}

/* Returns the labels of the running task. They stay as long as it does not change them itself. */
static weft__tags *labels(void)
{
    const weft__worker *w = weft__self();
    const weft__task *t = w ? w->task : NULL;
    weft__tags *tags = t ? weft__load_acq(&t->tags) : NULL;

    return tags ? tags->set : NULL;
}

_Static_assert(sizeof(struct weft__heap_thread) <= WEFT__SELF_ROOM, "a thread has room for it");

static struct weft__heap_stack *stack_of(struct weft__heap_thread *t, const void *caller)
{
    struct scratch *s = scratch_take();
    struct walker w = {.thread = t, .walk = s ? &s->walk : NULL};
    struct weft__heap_stack *stack;

    if (!s) {
        weft__add(&lost, 1);
        return weft__heap_stack_of(NULL, 0, NULL);
    }
    weft__ctx_call(&w.sp, walk_caller, &w);
    drop_above(&s->walk, caller);
    stack = weft__heap_stack_of(s->walk.pcs, s->walk.kept, labels());
    weft__store_rel(&s->taken, false);
    return stack;
}

/* Returns false if there is no room for one more. */
static bool add(struct weft__heap_thread *t, uintptr_t key, size_t n, const void *caller)
{
    int error = *weft__errno_at();
    struct weft__heap_sample s = {n, stack_of(t, caller), weft__mono(),
                                  weight_of(n, weft__load(&rate))};
    bool added = s.stack && weft__heap_live_add(key, &s);

    if (added)
        weft__heap_stack_add(&s, 1, 1);
    else
        weft__add(&lost, 1);
    *weft__errno_at() = error;
    return added;
}

static bool note(struct weft__heap_thread *t, void *p, size_t n, const void *caller)
{
    return add(t, (uintptr_t)p, n, caller);
}

static bool forget(const void *p, struct weft__heap_sample *was)
{
    if (!weft__heap_live_remove((uintptr_t)p, was))
        return false;
    weft__heap_stack_add(was, 0, -1);
    return true;
}

static void restore(void *p, const struct weft__heap_sample *was)
{
    if (weft__heap_live_add((uintptr_t)p, was))
        weft__heap_stack_add(was, 0, 1);
    else
        weft__add(&lost, 1);
}

void weft__heap_seen(uintptr_t key, size_t n)
{
    struct weft__heap_thread *t = weft__self_room();

    if (t->busy || n < t->left) {
        t->left -= t->busy ? 0 : n;
        return;
    }
    t->busy = true;
    if (due(t, n))
        add(t, key, n, NULL);
    t->busy = false;
}

void weft__heap_gone(uintptr_t key)
{
    struct weft__heap_sample was;

    forget((const void *)key, &was);
}

/* The rate ------------------------------------------------------------------------------------- */

int64_t weft__heap_rate(void)
{
    return weft__load(&rate);
}

int64_t weft__heap_period(void)
{
    return weft__load(&period);
}

uint64_t weft__heap_lost(void)
{
    return weft__load(&lost);
}

void weft__heap_rate_set(int64_t bytes)
{
    if (bytes > 0)
        weft__store(&period, bytes);
    weft__store_rel(&rate, bytes > 0 ? bytes : 0);
    weft__add(&epoch, 1);
}

const struct weft__heap_hooks weft__heap_hooks = {due, note, forget, restore};
