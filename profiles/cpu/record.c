/* SPDX-License-Identifier: MIT */
/* record.c - see record.h. The signal handler's work.
 *
 * Owns: the records, and the copies of stacks for walks that missed a rule.
 * There is no lock. `inside` counts the handlers that run. A handler adds itself, then reads
 * whether the records are open; the controller closes them, then waits for the count to be 0. So
 * no handler uses a record that was freed.
 *
 * The stack pointer decides whose stack it is: that of the worker's task, or the thread's own. It
 * does not matter that the thread may be inside the runtime, since a rule of the walk is exact at
 * each instruction. In the middle of a switch of tasks SP may be on neither stack. */
#include "profiles/cpu/record.h"

#include "profiles/cpu/bounds.h"
#include "profiles/cpu/signal.h"
#include "profiles/table/marks.h"
#include "profiles/walk/deferred.h"
#include "runtime/sched/scheduler.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Frames of a sample: so many innermost, a mark, and so many outermost. */
enum { INNER = 64, OUTER = 64, FRAMES = INNER + 1 + OUTER };
enum { COPIES = 64 };

/* A sample in a ring, before its frames. */
struct entry {
    int64_t at;
    uint64_t task;
    weft__tags *tags;            /* a reference */
    struct weft__deferred *copy; /* of a walk that missed a rule; or NULL */
    uint32_t weight, proc;
    uint16_t n; /* frames behind it */
    uint8_t where;
    bool whole;
};

enum { ENTRY = sizeof(struct entry) / sizeof(uint64_t) };
_Static_assert(sizeof(struct entry) % sizeof(uint64_t) == 0, "a ring has words");

static struct {
    uint32_t inside, open;                           /* atomic */
    struct weft__cpu_record *all[WEFT__CPU_RECORDS]; /* atomic; by index */
    uint32_t next;                                   /* no index below is free */
    struct weft__deferred *copies;
    uint64_t copied; /* atomic: a bit for each copy that is used */
} records;

_Static_assert(COPIES == 64, "copied has a bit for each");

/* The handler ---------------------------------------------------------------------------------- */

/* async-signal-safe */
static struct weft__deferred *copy_take(void)
{
    uint64_t used;

    while (~(used = weft__load(&records.copied)) != 0) {
        unsigned i = (unsigned)__builtin_ctzll(~used);

        if (!(weft__or(&records.copied, UINT64_C(1) << i) >> i & 1))
            return &records.copies[i];
    }
    return NULL;
}

static void copy_give(const struct weft__deferred *copy)
{
    weft__and(&records.copied, ~(UINT64_C(1) << (copy - records.copies)));
}

static bool is_idle(const weft__worker *w, const weft__proc *p)
{
    return !p || w->now == WEFT__UNKNOWN ||
           (weft__load(&weft__sched.idle[p->index / 64]) >> (p->index % 64) & 1);
}

static void name_task(struct entry *e, const weft__task *t)
{
    e->task = t->id;
    e->tags = weft__tags_ref(weft__load(&t->tags)); /* which only this thread can replace */
}

static uint8_t where_of_task(const weft__worker *w, const weft__task *t)
{
    if (weft__load(&w->in_rt))
        return WEFT__CPU_RUNTIME;
    return weft__load(&t->state) == WEFT__LOST ? WEFT__CPU_LOST : WEFT__CPU_RUNNING;
}

/* Finds out whose stack sp is on, and its bounds. Returns false if there are none.
 * async-signal-safe */
static bool locate(struct entry *e, uintptr_t sp, uintptr_t *lo, uintptr_t *hi)
{
    const weft__worker *w = weft__self();
    const weft__task *t = w ? weft__load(&w->task) : NULL;
    const weft__proc *p = w ? weft__load(&w->p) : NULL;
    bool own;

    e->proc = p ? p->index : WEFT__CPU_NO_PROC;
    e->where = WEFT__CPU_THREAD;
    if (t && !w->foreign && sp >= t->ctx.lo && sp < t->ctx.hi) {
        e->where = where_of_task(w, t);
        name_task(e, t);
        *lo = t->ctx.lo;
        *hi = t->ctx.hi;
        return true;
    }
    own = weft__cpu_bounds_of(sp, lo, hi);
    if (w && w->foreign && t)
        name_task(e, t);
    else if (w && !w->foreign)
        e->where = !own ? WEFT__CPU_SWITCH : is_idle(w, p) ? WEFT__CPU_IDLE : WEFT__CPU_SCHEDULER;
    return own;
}

/* Walks the stack into r->walk, and closes the walk; or, if a rule is missing, leaves a copy.
 * async-signal-safe */
static void walk(struct weft__cpu_record *r, struct entry *e, const struct weft__regs *regs,
                 uintptr_t lo, uintptr_t hi)
{
    weft__walk(&r->walk, regs, lo, hi, (const void *)lo, false);
    e->whole = r->walk.whole;
    e->copy = r->walk.missed ? copy_take() : NULL;
    if (e->copy) {
        weft__deferred_begin(e->copy, regs, lo, hi);
        r->walk.kept = 0;
    }
    weft__walk_close(&r->walk);
}

/* Makes the walk of a stack without known bounds: its PC alone. async-signal-safe */
static void walk_leaf(struct weft__walk *to, uintptr_t pc)
{
    to->pcs[0] = pc + 1;
    to->pcs[1] = WEFT__MARK_CUT;
    to->kept = to->depth = 2;
}

/* Drops the middle frames of a walk that has more than FRAMES. async-signal-safe */
static void shorten(struct weft__walk *w)
{
    if (w->kept <= FRAMES)
        return;
    w->pcs[INNER] = WEFT__MARK_CUT;
    for (uint32_t i = 0; i < OUTER; i++)
        w->pcs[INNER + 1 + i] = w->pcs[w->kept - OUTER + i];
    w->kept = w->depth = FRAMES;
}

/* Puts the sample and its frames into the ring, which has room. async-signal-safe */
static void push(struct weft__cpu_record *r, const struct entry *e)
{
    const union {
        struct entry e;
        uint64_t words[ENTRY];
    } u = {*e};
    uint32_t head = r->head;

    for (uint32_t i = 0; i < ENTRY; i++)
        r->ring[head++ % WEFT__CPU_RING] = u.words[i];
    for (uint32_t i = 0; i < e->n; i++)
        r->ring[head++ % WEFT__CPU_RING] = r->walk.pcs[i];
    weft__store_rel(&r->head, head);
}

/* async-signal-safe */
static void take(struct weft__cpu_record *r, uint32_t weight, const ucontext_t *uc)
{
    struct entry e = {.at = weft__ticks(), .weight = weight};
    struct weft__regs regs = weft__regs_of(uc);
    uintptr_t lo, hi;

    if (WEFT__CPU_RING - (r->head - weft__load_acq(&r->tail)) < ENTRY + FRAMES) {
        weft__add(&r->lost, weight);
        return;
    }
    regs.exact = true;
    if (locate(&e, regs.sp, &lo, &hi))
        walk(r, &e, &regs, lo, hi);
    else
        walk_leaf(&r->walk, regs.pc);
    shorten(&r->walk);
    e.n = (uint16_t)r->walk.kept;
    push(r, &e);
}

/* The record must be the thread's own: nothing says that a value comes from the kernel. */
WEFT__NO_SANITIZE void weft__cpu_take_sample(uint32_t index, int overrun, void *ucontext)
{
    struct weft__cpu_record *r = NULL;

    weft__add_seq(&records.inside, 1);
    if (weft__load_seq(&records.open) && index < WEFT__CPU_RECORDS)
        r = weft__load_acq(&records.all[index]);
    if (r && r->tid == gettid())
        take(r, 1 + (uint32_t)overrun, ucontext);
    weft__sub(&records.inside, 1);
}

/* The records ---------------------------------------------------------------------------------- */

bool weft__cpu_records_open(void)
{
    records.copies = calloc(COPIES, sizeof(*records.copies));
    records.copied = 0;
    weft__store_seq(&records.open, records.copies != NULL);
    return records.copies != NULL;
}

void weft__cpu_records_quiet(void)
{
    while (weft__load_seq(&records.inside) > 0)
        sched_yield();
}

void weft__cpu_records_stop(void)
{
    weft__store_seq(&records.open, 0);
    weft__cpu_records_quiet();
}

void weft__cpu_records_close(void)
{
    weft__cpu_records_stop();
    for (uint32_t i = 0; i < WEFT__CPU_RECORDS; i++) {
        if (records.all[i])
            weft__cpu_record_free(records.all[i]);
    }
    free(records.copies);
    records.copies = NULL;
}

struct weft__cpu_record *weft__cpu_record_new(int tid)
{
    struct weft__cpu_record *r;
    uint32_t index = records.next;

    while (index < WEFT__CPU_RECORDS && records.all[index])
        index++;
    r = index < WEFT__CPU_RECORDS ? calloc(1, sizeof(*r)) : NULL;
    if (!r)
        return NULL;
    r->tid = tid;
    r->index = index;
    records.next = index + 1;
    weft__store_rel(&records.all[index], r);
    return r;
}

void weft__cpu_record_free(struct weft__cpu_record *r)
{
    weft__store_rel(&records.all[r->index], NULL);
    if (r->index < records.next)
        records.next = r->index;
    free(r);
}

/* Reading -------------------------------------------------------------------------------------- */

static struct entry pop(struct weft__cpu_record *r, struct weft__walk *walk)
{
    union {
        struct entry e;
        uint64_t words[ENTRY];
    } u;
    uint32_t tail = r->tail;

    for (uint32_t i = 0; i < ENTRY; i++)
        u.words[i] = r->ring[tail++ % WEFT__CPU_RING];
    walk->kept = walk->depth = u.e.n;
    for (uint32_t i = 0; i < u.e.n; i++)
        walk->pcs[i] = r->ring[tail++ % WEFT__CPU_RING];
    weft__store_rel(&r->tail, tail);
    return u.e;
}

/* Finishes the walk of a sample from its copy of the stack. Returns whether it is whole. */
static bool finish(struct weft__deferred *copy, struct weft__walk *walk)
{
    bool whole;

    weft__deferred_finish(copy);
    whole = copy->walk.whole;
    *walk = copy->walk;
    copy_give(copy);
    weft__walk_close(walk);
    shorten(walk);
    return whole;
}

bool weft__cpu_record_read(struct weft__cpu_record *r, struct weft__cpu_sample *s,
                           struct weft__walk *walk, struct weft__cpu_counts *counts)
{
    struct entry e;
    bool whole;

    if (r->tail == weft__load_acq(&r->head))
        return false;
    e = pop(r, walk);
    whole = e.copy ? finish(e.copy, walk) : e.whole;
    if (whole)
        ++*(e.copy ? &counts->deferred : &counts->whole);
    else
        counts->cut++;
    counts->weight += e.weight;
    counts->late += e.weight - 1;
    r->weight += e.weight;
    *s = (struct weft__cpu_sample){.at = e.at,
                                   .weight = e.weight,
                                   .where = e.where,
                                   .task = e.task,
                                   .tid = r->tid,
                                   .proc = e.proc,
                                   .tags = e.tags,
                                   .walk = walk};
    return true;
}
