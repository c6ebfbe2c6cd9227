/* SPDX-License-Identifier: MIT */
/* threads.c - see threads.h.
 *
 * Owns: the stacks by which this run's threads were made, with a count for each. A thread that ends
 * before the run does is subtracted.
 * Always:
 *   made = the counts in table + the makings in unfinished + runner.made, except makings on their
 *          way and those in unfinished whose thread has ended
 *   table is NULL outside a run, and threads are made in a run only
 *
 * The thread that makes another may not wait for the symbolizer: the monitor must hand a processor
 * over at once, and the maker of the symbolizer holds the symbolizer's lock. So it walks its stack
 * by the rules that are known, without a lock. If a rule is missing, the rest of the walk is
 * deferred, with a copy of the stack, until a profile is taken (deferred.h). weft_run's thread does
 * not walk at all: its context stays saved until the run ends, and its stack is walked when a
 * profile is taken.
 * Lock: taking. It is held while the symbolizer is asked, and keeps table from being freed
 * meanwhile. */
#include "profiles/account/threads.h"

#include "profiles/account/profile.h"
#include "profiles/capture/running.h"
#include "profiles/table/buckets.h"
#include "profiles/table/marks.h"
#include "profiles/walk/deferred.h"
#include "profiles/walk/symbolize.h"
#include "runtime/sched/sinks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How many frames of ours are above the maker's: note, and a sink's or the symbolizer's calls. */
enum { BY_SINK = 3, BY_SYMBOLIZER = 2 };

/* A thread that may end before the run does: its worker's field made. */
struct thread {
    weft__cell *cell; /* atomic: NULL as long as it is unfinished; &gone: its thread has ended */
};

static weft__cell *const gone = (weft__cell *)&gone;

struct making {
    struct making *next;
    struct thread *thread;  /* or NULL */
    weft_task_fn *made_for; /* or NULL */
    uint32_t ours;          /* frames above the maker's */
    void *sp;               /* the saved context of note */
    struct weft__deferred held;
};

static pthread_mutex_t taking = PTHREAD_MUTEX_INITIALIZER;
static weft__buckets *table;      /* stacks that are known; written under taking */
static struct making *unfinished; /* atomic */
static uint32_t made;             /* atomic */

static struct {
    pthread_t thread; /* weft_run's; constant during the run */
    uint32_t made;    /* atomic: threads that it made and that are not yet in table */
} runner;

static const struct weft__walk no_frames;

/* Stacks --------------------------------------------------------------------------------------- */

static bool thread_bounds(pthread_t thread, uintptr_t *lo, uintptr_t *hi)
{
    pthread_attr_t attr;
    void *at = NULL;
    size_t size = 0;

    if (pthread_getattr_np(thread, &attr) != 0)
        return false;
    pthread_attr_getstack(&attr, &at, &size);
    pthread_attr_destroy(&attr);
    *lo = (uintptr_t)at;
    *hi = (uintptr_t)at + size;
    return true;
}

/* Finds the bounds of the stack that the caller is on: its task's, or its thread's own. */
static bool own_bounds(uintptr_t sp, uintptr_t *lo, uintptr_t *hi)
{
    const weft__worker *w = weft__self();
    const weft__task *t = w ? w->task : NULL;

    if (t && weft__stack_bounds(t, lo, hi) && sp >= *lo && sp < *hi)
        return true;
    return thread_bounds(pthread_self(), lo, hi);
}

/* Appends the function of the task for which a thread was made, since the monitor's stack does not
 * show it. */
static void append_entry(struct weft__walk *walk, weft_task_fn *fn)
{
    if (!fn)
        return;
    walk->pcs[walk->kept++] = WEFT__MARK_MADE_FOR;
    walk->pcs[walk->kept++] = (uintptr_t)fn + 1; /* as if it were a return address */
    walk->depth += 2;
}

/* Counts a thread for the stack of cell, which made it. */
static void count(struct thread *t, weft__cell *cell)
{
    weft__cell *none = NULL;

    if (!cell)
        return;
    if (!t || weft__cas(&t->cell, &none, cell))
        weft__cell_add(table, cell, &(int64_t){1});
    else /* it has ended */
        free(t);
}

/* Its walk is as long as it will ever be. */
static void settle(struct making *m)
{
    struct weft__walk *walk = &m->held.walk;
    uint32_t ours = walk->kept < m->ours ? walk->kept : m->ours;

    weft__walk_close(walk);
    walk->kept -= ours;
    walk->depth -= ours;
    memmove(walk->pcs, walk->pcs + ours, walk->kept * sizeof(*walk->pcs));
    append_entry(walk, m->made_for);
    count(m->thread, weft__buckets_cell(table, walk));
    free(m);
}

/* Making --------------------------------------------------------------------------------------- */

/* Walks the caller's stack. The caller's context is saved in m->sp. */
static void walk_maker(void *arg)
{
    struct making *m = arg;
    struct weft__regs regs;
    uintptr_t lo, hi;

    if (own_bounds((uintptr_t)m->sp, &lo, &hi) && weft__regs_saved(&regs, m->sp, lo, hi))
        weft__deferred_begin(&m->held, &regs, lo, hi);
}

static void push(struct making *m)
{
    m->next = weft__load(&unfinished);
    while (!weft__cas(&unfinished, &m->next, m))
        ;
}

static WEFT__NOINLINE void note(weft_task_fn *made_for, struct thread *thread, uint32_t ours)
{
    struct making *m;

    weft__add(&made, 1);
    if (pthread_equal(pthread_self(), runner.thread)) {
        weft__add(&runner.made, 1);
        return;
    }
    m = malloc(sizeof(*m));
    if (!m) {
        count(thread, weft__buckets_cell(table, &no_frames));
        return;
    }
    m->thread = thread;
    m->made_for = made_for;
    m->ours = ours;
    m->held.walk.kept = m->held.walk.depth = 0;
    m->held.walk.missed = false;
    weft__ctx_call(&m->sp, walk_maker, m);
    if (m->held.walk.missed)
        push(m);
    else
        settle(m);
}

static void thread_made(struct weft__event_sink *s, weft__worker *w, weft_task_fn *made_for)
{
    struct thread *t = w ? calloc(1, sizeof(*t)) : NULL;

    (void)s;
    if (w)
        weft__store(&w->made, t);
    note(made_for, t, BY_SINK);
}

static void thread_gone(struct weft__event_sink *s, weft__worker *w)
{
    struct thread *t = weft__load(&w->made);
    weft__cell *cell = t ? weft__xchg(&t->cell, gone) : NULL;

    (void)s;
    if (!t)
        return;
    weft__sub(&made, 1);
    if (cell) {
        weft__cell_add(table, cell, &(int64_t){-1});
        free(t);
    }
}

static void symbolizer_made(void)
{
    note(NULL, NULL, BY_SYMBOLIZER);
}

/* The run -------------------------------------------------------------------------------------- */

static void start(struct weft__event_sink *s)
{
    (void)s;
    pthread_mutex_lock(&taking);
    table = weft__buckets_new(1);
    runner.thread = pthread_self();
    pthread_mutex_unlock(&taking);
    if (!table)
        weft__no_memory(NULL, "threads");
    if (weft__symbolizer_watch(symbolizer_made)) { /* nobody knows who made it */
        weft__add(&made, 1);
        weft__buckets_add(table, &no_frames, &(int64_t){1});
    }
}

/* Frees the entries of the workers that are left. No thread is made or ends any more. */
static void threads_free(void)
{
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (weft__worker *w = weft__sched.all; w; w = w->all)
        free(w->made);
    weft__unlock(&weft__sched.lock);
}

static void stop(struct weft__event_sink *s)
{
    struct making *m, *next;

    (void)s;
    weft__symbolizer_watch(NULL);
    pthread_mutex_lock(&taking);
    weft__buckets_free(table);
    table = NULL;
    for (m = weft__xchg(&unfinished, NULL); m; m = next) {
        next = m->next;
        if (m->thread && m->thread->cell == gone)
            free(m->thread);
        free(m);
    }
    threads_free();
    weft__store(&runner.made, 0);
    weft__store(&made, 0);
    pthread_mutex_unlock(&taking);
}

void weft__threads_attach(void)
{
    static struct weft__event_sink sink = {
        .start = start, .stop = stop, .thread_made = thread_made, .thread_gone = thread_gone};

    weft__sinks_add(&sink);
}

/* Taking --------------------------------------------------------------------------------------- */

static void add_runners(struct weft__walk *walk)
{
    uint32_t n = weft__xchg(&runner.made, 0);
    struct weft__regs regs;
    uintptr_t lo, hi;

    if (n == 0)
        return;
    walk->kept = walk->depth = 0;
    if (thread_bounds(runner.thread, &lo, &hi) &&
        weft__regs_saved(&regs, weft__sched.runner, lo, hi))
        weft__walk(walk, &regs, lo, hi, (const void *)lo, true);
    weft__walk_close(walk);
    weft__buckets_add(table, walk, &(int64_t){n});
}

/* A question to the symbolizer may make one more thread: the symbolizer's. */
static void finish_all(void)
{
    struct making *m, *next;

    while ((m = weft__xchg(&unfinished, NULL)) != NULL) {
        for (; m; m = next) {
            next = m->next;
            weft__deferred_finish(&m->held);
            settle(m);
        }
    }
}

/* Counts each thread that the library made in this run and that lives, by the stack that made it;
 * without frames if there is no such stack. Blocks the calling thread, which holds no lock, as
 * asking the symbolizer does. */
static void *take(const struct weft__asked *a)
{
    struct weft__walk *walk = malloc(sizeof(*walk));
    weft__buckets *b = weft__buckets_new(1);
    bool good = walk && b;

    (void)a;
    pthread_mutex_lock(&taking);
    if (good && table) {
        add_runners(walk);
        finish_all();
        good = weft__buckets_add_all(b, table, 1);
    }
    pthread_mutex_unlock(&taking);
    free(walk);
    if (good)
        return b;
    weft__buckets_free(b);
    return NULL;
}

static int count_living(const struct weft__profile *p)
{
    (void)p;
    return (int)weft__load(&made);
}

static const struct weft__pprof_type value = {"threadcreate", "count"};

const struct weft__profile weft__profile_threadcreate = {
    .name = "threadcreate",
    .about = "The threads that the library made, by the stack that made each.",
    .changes = true,
    .values = &value,
    .n_values = 1,
    .take = take,
    .count = count_living,
};
