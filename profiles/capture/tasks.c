/* SPDX-License-Identifier: MIT */
/* tasks.c - takes snapshots of all tasks while everything runs on, and shares them; weft_dump, and
 * the reports of a dying process.
 *
 * The promise: each task that is alive at the cut has one record, taken at a point of its own
 * history, and no record shows the effect of anything that another task did after its own record. A
 * task that runs at the cut is recorded as running, no matter what it does next.
 *
 * How: the dumper publishes the snapshot (`active`), then raises weft__epoch to E, then fences
 * heavily. From then on every task with snap < 2E has to be recorded. The first thread that moves
 * snap to 2E by a CAS records it:
 *   - the dumper, for a task that waits or is runnable. It walks the stack without a claim, then
 *     moves snap. If that fails, another thread records the task, and the walk is dropped
 *   - the worker that is about to resume the task, before the task runs
 *   - the worker that the task comes to when it leaves RUNNING: its record says running
 * A worker stores a task's new state, fences lightly and then reads the epoch. So a worker that did
 * not see E did all that before the cut, and the dumper sees it. A worker that saw E and makes a
 * task ready stores E in the task's ready_epoch, and the task is recorded as still waiting. The
 * thread that moved snap writes records[slot], its state last. The dumper waits for the records
 * that other threads write. capture_running.c captures tasks that stay in user code or in a call.
 *
 * Owns: the capture under way, and the list of threads that wait for it.
 * Lock: captures.lock guards that list and the refs of every capture. It is a pthread mutex, since
 * no code under it can switch tasks.
 *
 * WEFT_BREAK makes mutants for tests. skip_copy_on_resume and late_running leave out one of the
 * workers' duties, and late_owners takes a lock's holder from after the cut (locks.c):
 * tests/profiles/torture_cut must notice. crash_in_* and hang_in_report are for
 * tests/profiles/test_dump.c and tests/profiles/test_crash.c. */
#include "profiles/capture/snapshot.h"

#include "profiles/capture/capture.h"
#include "profiles/capture/dying.h"
#include "profiles/capture/locks.h"
#include "profiles/capture/running.h"
#include "profiles/capture/tasks.h"
#include "profiles/table/marks.h"
#include "profiles/walk/symbolize.h"
#include "profiles/walk/unwind.h"
#include "runtime/base/env.h"
#include "runtime/sched/delay.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SPARE_SLOTS = 4096 }; /* records for tasks that are made while the snapshot is taken */
enum { MANY = 1000 };        /* tasks that take longer to look at than to hand a processor over */

static struct capture
    *active;               /* atomic: the capture that gets the records of this epoch, or NULL */
static uint32_t recorders; /* atomic: how many workers may be using `active` */

/* A thread that waits for the capture under way, to share it. On that thread's stack. */
struct asker {
    struct asker *next;
    struct capture *c;
    bool done;
};

/* There is one capture at a time; threads that ask meanwhile get its result. lock guards the
 * members that are not atomic, and the refs of every capture. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool busy;
    pthread_t holder; /* atomic: the thread that captures; 0: none */
    bool open;        /* atomic: a run is under way */
    struct asker *askers;
} captures = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

enum weft__mutant weft__mutant = WEFT__SOUND;

void weft__mutant_crash(void)
{
    *(volatile char *)mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

/* Records -------------------------------------------------------------------------------------- */

/* Returns when the caller's task lost its processor, in ns; 0 if it did not. */
static int64_t lost_since(void)
{
    int64_t since = weft__load(&weft__self()->lost_since);

    return since ? weft__ticks_to_nanos(since) : 0;
}

/* Records t for a worker, if c is the capture of the present epoch. Else only moves its snap. */
static void record_in(struct capture *c, weft__task *t, bool running)
{
    uint32_t epoch = weft__load_acq(&weft__epoch);
    struct weft__record r;
    struct weft__walk walk;

    if (!c || c->epoch != epoch) {
        weft__capture_move(t, weft__load(&t->snap), epoch);
        return;
    }
    if (weft__mutant == (running ? WEFT__LATE_RUNNING : WEFT__SKIP_COPY_ON_RESUME))
        return;
    if (weft__mutant == WEFT__CRASH_IN_RECORD)
        weft__mutant_crash();
    if (!weft__capture_move(t, weft__load_acq(&t->snap), epoch))
        return;
    if (running) {
        weft__capture_describe(&r, t);
        r.state = WEFT__REC_RUNNING;
        r.since = lost_since();
        weft__walk_saved(&walk, t);
    } else {
        weft__capture_describe_resting(&r, t, WEFT__RUNNABLE, epoch);
        weft__capture_walk_resting(&walk, &r, t);
    }
    r.tags = weft__tags_of(t);
    weft__capture_publish(c, t->slot, &r, &walk);
}

/* A worker that is descheduled in here may find the capture finished, but never freed:
 * capture_run waits until recorders is 0. */
void weft__snapshot_record(weft__task *t, bool running)
{
    weft__worker *w = weft__self();

    w->recording = true;
    weft__add_seq(&recorders, 1);
    record_in(weft__load_seq(&active), t, running);
    weft__sub(&recorders, 1);
    w->recording = false;
}

/* Capture -------------------------------------------------------------------------------------- */

/* Prefetches for the slots that follow: first a task's record, some slots later its stack. */
static inline void fetch_ahead(uint32_t slot, uint32_t n)
{
    if (n - slot > 2 * WEFT__WALK_AHEAD) {
        const weft__task *t = weft__tasks_at(slot + 2 * WEFT__WALK_AHEAD);

        __builtin_prefetch(t);
        __builtin_prefetch((const char *)t + 64);
        __builtin_prefetch((const char *)t + 128);
    }
    if (n - slot > WEFT__WALK_AHEAD) {
        const weft__task *t = weft__tasks_at(slot + WEFT__WALK_AHEAD);

        weft__walk_ahead((uintptr_t)weft__load(&t->ctx.sp), weft__load(&t->ctx.hi));
    }
}

/* Walks the caller's stack from where the signal interrupted it. */
static void walk_fault(struct weft__walk *walk, const weft__task *t, const void *ucontext)
{
    struct weft__regs regs = weft__regs_of(ucontext);
    uintptr_t lo = weft__fault_lo(t, regs.sp);

    regs.exact = true;
    weft__walk_fault(walk, &regs, lo, t->ctx.hi, (const void *)lo, false);
    weft__walk_close(walk);
}

/* Drops the innermost frames, those of a panic, before the return address `from`. */
static void drop_until(struct weft__walk *walk, uintptr_t from)
{
    uint32_t i = 0;

    while (i < walk->kept && walk->pcs[i] != from)
        i++;
    if (i == walk->kept)
        return;
    walk->kept -= i;
    walk->depth -= i;
    memmove(walk->pcs, walk->pcs + i, walk->kept * sizeof(walk->pcs[0]));
}

/* Records the task that asks, as running. */
static void publish_caller(struct capture *c, const struct weft__asking *a)
{
    struct weft__record r;
    struct weft__walk walk;

    weft__capture_describe(&r, a->self);
    r.state = WEFT__REC_RUNNING;
    if (a->ucontext)
        walk_fault(&walk, a->self, a->ucontext);
    else
        weft__walk_saved(&walk, a->self);
    drop_until(&walk, (uintptr_t)a->from);
    r.tags = weft__tags_of(a->self);
    weft__capture_publish(c, a->self->slot, &r, &walk);
}

/* Adds a row for each processor, for free(). */
static void read_delays(struct weft__sched_counts *to)
{
    int n = weft__load_acq(&weft__sched.nprocs);
    struct weft__delays all;

    weft__delays_read(&all);
    to->delay_error = all.error;
    to->delays = all.looks ? calloc((size_t)n, sizeof(*to->delays)) : NULL;
    for (int i = 0; to->delays && i < n; i++) {
        const struct weft__delay *d = &weft__sched.procs[i].delay;

        to->delays[to->n_delays++] = (struct weft__delay_row){
            (uint32_t)weft__load(&d->thread), weft__delay_of((uint32_t)i), weft__load(&d->latest)};
    }
}

static struct weft__sched_counts count(void)
{
    return (struct weft__sched_counts){
        .procs = (uint32_t)weft__load(&weft__sched.active),
        .procs_by = weft__load(&weft__sched.procs_by),
        .threads = weft__load(&weft__sched.nthreads),
        .spares = weft__load(&weft__sched.nspares),
        .lost = weft__load(&weft__sched.nlost),
        .max_threads = (uint32_t)weft__load(&weft__sched.max_threads),
        .capped = weft__threads_short(),
    };
}

static size_t records_bytes(const struct capture *c)
{
    return c->cap * sizeof(struct weft__record);
}

static void drop_tags(struct capture *c, size_t from, size_t end)
{
    for (size_t i = from; c->tagged && i < end && i < c->cap; i++)
        weft__tags_drop(c->s.records[i].tags);
}

static void capture_free(struct capture *c)
{
    drop_tags(c, 0, c->s.n);
    if (c->s.records)
        munmap(c->s.records, records_bytes(c));
    if (c->s.stacks)
        weft__stacktab_free(c->s.stacks);
    weft__locks_free(&c->locks);
    free(c->s.sched.delays);
    free(c);
}

static struct capture *capture_new(void)
{
    struct capture *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->cap = 2 * (size_t)weft__tasks_slots() + SPARE_SLOTS;
    c->refs = 1;
    c->s.locks = &c->locks;
    c->s.stacks = weft__stacktab_new();
    c->s.records = mmap(NULL, records_bytes(c), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->s.records == MAP_FAILED)
        c->s.records = NULL;
    if (!c->s.stacks || !c->s.records) {
        capture_free(c);
        return NULL;
    }
    c->s.now = weft__nanos();
    c->s.wall = weft__realtime();
    c->s.sched = count();
    read_delays(&c->s.sched);
    return c;
}

/* Makes a capture of the caller alone, when a capture of all tasks cannot end any more. */
static struct capture *capture_alone(const struct weft__asking *a)
{
    const weft__task *self = a->self;
    struct capture *c = capture_new();

    if (!c || !self || self->slot >= c->cap)
        return c;
    publish_caller(c, a);
    c->s.n = self->slot + 1;
    c->s.alive = 1;
    return c;
}

/* Makes a capture of all tasks. The caller is the dumper: it has set captures.busy. Returns NULL if
 * memory ran out. */
static struct capture *capture_run(const struct weft__asking *a)
{
    weft__task *self = a->self;
    struct capture *c = capture_new();
    uint32_t n, *pending;
    size_t npending = 0;

    if (!c)
        return NULL;
    weft__symbolizer_look();
    c->epoch = weft__epoch + 1;
    c->locks.epoch = c->epoch;
    c->locks.cut = weft__ticks();
    c->locks.late = weft__mutant == WEFT__LATE_OWNERS;
    weft__stacks_hold();
    weft__store_rel(&active, c);
    weft__store_seq(&weft__epoch, c->epoch);
    weft__fence_heavy();
    n = weft__tasks_slots();
    if (n > c->cap)
        n = (uint32_t)c->cap;
    c->s.n = n;
    pending = malloc((n + 1) * sizeof(*pending));
    if (weft__mutant == WEFT__CRASH_IN_CAPTURE)
        weft__mutant_crash();
    if (self && weft__capture_move(self, weft__load_acq(&self->snap), c->epoch))
        publish_caller(c, a);
    for (uint32_t slot = 0; slot < n; slot++) {
        fetch_ahead(slot, n);
        if (!weft__capture_slot(c, slot) && pending)
            pending[npending++] = slot;
    }
    weft__capture_pending(c, pending, npending);
    free(pending);
    weft__store_seq(&active, NULL);
    weft__fence_full(); /* pairs with record's add */
    while (weft__load_acq(&recorders) > 0)
        sched_yield();
    weft__stacks_release();
    drop_tags(c, n, weft__tasks_slots()); /* of tasks born after n was read that workers recorded */
    for (uint32_t slot = 0; slot < n; slot++)
        c->s.alive += c->s.records[slot].state != WEFT__REC_NONE;
    weft__locks_settle(&c->locks, c->s.records, n);
    return c;
}

/* Gives each thread that waits a reference to the capture. Caller holds captures.lock. */
static void hand_out(struct capture *c)
{
    for (struct asker *a = captures.askers; a; a = a->next) {
        a->c = c;
        a->done = true;
        if (c)
            c->refs++;
    }
    captures.askers = NULL;
    pthread_cond_broadcast(&captures.done);
}

/* Makes a capture, or waits for the one under way and shares it. Returns NULL if no run is under
 * way, or if memory ran out. */
static struct capture *capture_shared(const struct weft__asking *a)
{
    struct asker me = {NULL, NULL, false};

    pthread_mutex_lock(&captures.lock);
    if (weft__load(&captures.open) && captures.busy) {
        me.next = captures.askers;
        captures.askers = &me;
        while (!me.done)
            pthread_cond_wait(&captures.done, &captures.lock);
    } else if (weft__load(&captures.open)) {
        captures.busy = true;
        pthread_mutex_unlock(&captures.lock);
        weft__store(&captures.holder, pthread_self());
        me.c = capture_run(a);
        weft__store(&captures.holder, 0);
        pthread_mutex_lock(&captures.lock);
        captures.busy = false;
        hand_out(me.c);
    }
    pthread_mutex_unlock(&captures.lock);
    return me.c;
}

static void capture_release(struct capture *c)
{
    bool last;

    pthread_mutex_lock(&captures.lock);
    last = --c->refs == 0;
    pthread_mutex_unlock(&captures.lock);
    if (last)
        capture_free(c);
}

bool weft__holds_capture(const weft__worker *w)
{
    return weft__load(&captures.holder) == pthread_self() || (w && w->recording);
}

/* Requests ------------------------------------------------------------------------------------- */

/* Called below weft__ctx_call, which saves the caller's context. */
static void capture_for(void *arg)
{
    struct weft__asking *a = arg;

    a->c = (a->alone ? capture_alone : capture_shared)(a);
}

bool weft__stand_aside(size_t tasks)
{
    const weft__worker *w = weft__self();

    if (tasks <= MANY || !w || w->foreign)
        return false;
    return weft__blocking_try();
}

void weft__stand_back(void)
{
    weft__blocking_back();
}

int weft__snapshot_get_aside(const struct weft__snapshot **out, bool *aside)
{
    weft__worker *w = weft__enter_try("weft_dump");
    struct weft__asking a = {.self = NULL};

    *aside = false;
    if (!w)
        return WEFT_EINVAL;
    a.self = w->task;
    weft__exit();
    *aside = weft__stand_aside(weft__tasks_slots());
    weft__ctx_call(&a.self->ctx.sp, capture_for, &a);
    if (!a.c)
        return weft__load(&captures.open) ? WEFT_ENOMEM : WEFT_EINVAL;
    *out = &a.c->s;
    return 0;
}

int weft__snapshot_get(const struct weft__snapshot **out)
{
    bool aside;
    int rc = weft__snapshot_get_aside(out, &aside);

    if (aside)
        weft__stand_back();
    return rc;
}

const struct weft__snapshot *weft__snapshot_of_death(struct weft__asking *a)
{
    void *sp;

    weft__ctx_call(a->self && !a->ucontext ? &a->self->ctx.sp : &sp, capture_for, a);
    return a->c ? &a->c->s : NULL;
}

void weft__snapshot_put(const struct weft__snapshot *s)
{
    if (s)
        capture_release(weft__container_of((void *)(uintptr_t)s, struct capture, s));
}

static void start(struct weft__event_sink *s)
{
    static const char *const ways[] = {"skip_copy_on_resume", "late_running",    "late_owners",
                                       "crash_in_capture",    "crash_in_record", "crash_in_first",
                                       "crash_in_names",      "hang_in_report",  NULL};

    (void)s;
    weft__mutant = (enum weft__mutant)weft__env_word("WEFT_BREAK", ways, WEFT__SOUND);
    pthread_mutex_lock(&captures.lock); /* a thread that finds it open sees the run set up */
    weft__store(&captures.open, true);
    pthread_mutex_unlock(&captures.lock);
}

static void stop(struct weft__event_sink *s)
{
    (void)s;
    pthread_mutex_lock(&captures.lock);
    weft__store(&captures.open, false);
    while (captures.busy)
        pthread_cond_wait(&captures.done, &captures.lock);
    pthread_mutex_unlock(&captures.lock);
}

void weft__capture_attach(void)
{
    static struct weft__event_sink sink = {.start = start, .stop = stop};

    weft__sinks_add(&sink);
}

const struct weft__snapshot *weft__snapshot_take(void)
{
    struct capture *c = capture_run(&(struct weft__asking){.self = NULL});

    return c ? &c->s : NULL;
}

void weft__snapshot_free(const struct weft__snapshot *s)
{
    capture_free(weft__container_of((void *)(uintptr_t)s, struct capture, s));
}
