/* SPDX-License-Identifier: MIT */
/* wall.c - the fgprof profile: where tasks spend their time, whether they run or wait. fgprof calls
 * this wall clock.
 *
 * Owns nothing beyond one request: the task or foreign thread that asked for the profile does all
 * the work, with no lock held. Several may do so at once.
 *
 * Each PERIOD it looks at every task that a thread runs, whether the task computes or sits in a
 * call. There are no more of them than threads, so each counts for itself. Of the other tasks,
 * which rest, it looks at one slot chosen at random in each of several equal parts of the registry.
 * A task found there counts for its part. So sums are right on average, and a look costs the same
 * with a hundred tasks and a million. The number of parts is chosen to find about WANTED tasks.
 *
 * A task that rests is walked without a claim. If it waits, its ticket shows whether it was one
 * wait all the time. If it is runnable, two walks must agree.
 *
 * A task that sits in a call is walked once (syscalls.c). While its thread uses no CPU after that,
 * it is still there, and a look at the thread's CPU clock is enough.
 *
 * A thread that computes is asked (interrupt.c), and answers some milliseconds later, perhaps in
 * another task. The time counts for the stack that it answers with. This is right on average: a
 * thread is found computing as often as it computes, and each stack is shown in proportion to the
 * CPU that it uses. To count the time for the first task, when its stack can be read, would move
 * the time of all short computations to the waits after them. */
#include "profiles/account/sample.h"
#include "profiles/capture/interrupt.h"
#include "profiles/capture/running.h"
#include "profiles/capture/tasks.h"
#include "profiles/render/stack_text.h"
#include "profiles/render/tasks_merged.h"
#include "profiles/table/labelset.h"
#include "runtime/sched/scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weft/task.h>

#define PERIOD (10 * WEFT_MILLISECOND)

enum { WANTED = 50, PARTS_FIRST = 200, PARTS_MOST = 2000, PATIENCE = 20 /* ms */ };
enum { NAP = 3000000 /* ns */ };

/* A worker, and the tasks that its thread was seen to run. */
struct thread {
    uint32_t worker;
    /* The task sat in a call at place when the thread had used so much CPU; NULL: it did not. */
    weft__cell *place;
    uint64_t task; /* its id */
    int64_t cpu;
    /* The time and looks that will count for the stack with which the thread answers. */
    int64_t owed;
    uint32_t looks;
    weft__interrupt *ask;
    weft__cell *last; /* where it was last known to be; NULL: it never was */
    weft_task_fn *fn; /* that its task began with */
};

struct sampler {
    weft__buckets *b;
    const weft__task *self;
    uint64_t random;
    int64_t elapsed; /* ns since the last time */
    uint32_t parts, found;
    struct thread *threads; /* by worker, the latest first */
    size_t n_threads;
    struct weft__walk walk, again;
};

enum look { NOBODY, RESTS, RUNS };

static uint32_t below(struct sampler *s, uint32_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (uint32_t)((s->random >> 32) * n >> 32);
}

/* Keeps stacks mapped until weft__stacks_release. Until then the caller makes no call that may
 * switch tasks: the end of a run might discard it inside such a call, and the stacks would never be
 * released. */
static void hold(void)
{
    weft__stacks_hold();
    weft__fence_heavy();
}

/* Makes the stack of a task that has just begun with fn. The PC is fn + 1, as return addresses are
 * looked up at PC - 1. */
static void walk_entry(struct weft__walk *to, weft_task_fn *fn)
{
    to->kept = to->depth = 1;
    to->pcs[0] = (uintptr_t)fn + 1;
}

static void walk(struct weft__walk *to, const weft__task *t)
{
    if (weft__load(&t->flags) & WEFT__STARTED)
        weft__walk_saved(to, t);
    else
        walk_entry(to, weft__load(&t->fn));
}

static bool agree(const struct weft__walk *a, const struct weft__walk *b)
{
    return a->kept == b->kept && memcmp(a->pcs, b->pcs, a->kept * sizeof(a->pcs[0])) == 0;
}

/* Returns whether t has rested at one place all the time, with the stack that was walked. */
static bool rests_still(struct sampler *s, const weft__task *t, uint64_t ticket, uint32_t state)
{
    if (!(ticket & 1)) {
        walk(&s->again, t);
        if (!agree(&s->walk, &s->again))
            return false;
    }
    weft__fence_full();
    return weft__load(&t->ticket) == ticket && weft__load(&t->state) == state;
}

/* Walks the stack of a task if it rests. s->walk is empty if it does not. */
static enum look look(struct sampler *s, const weft__task *t)
{
    uint64_t ticket = weft__load_acq(&t->ticket);
    uint32_t state = weft__load_acq(&t->state);

    s->walk.kept = s->walk.depth = 0;
    if (state == WEFT__IDLE || state == WEFT__DEAD || t == s->self ||
        (weft__load(&t->flags) & WEFT__FOREIGN))
        return NOBODY;
    if ((state != WEFT__PARKED && state != WEFT__RUNNABLE) || weft__load_acq(&t->on_cpu))
        return RUNS;
    walk(&s->walk, t);
    if (rests_still(s, t, ticket, state))
        return RESTS;
    s->walk.kept = s->walk.depth = 0;
    return RUNS;
}

static void add_to(struct sampler *s, weft__cell *cell, int64_t count, int64_t time)
{
    weft__cell_add(s->b, cell, (int64_t[]){count * WEFT__PARTS, time});
}

/* Adds time to the place that s->walk and the labels of tags are. Returns the place; NULL without
 * memory. */
static weft__cell *add(struct sampler *s, const weft__tags *tags, int64_t count, int64_t time)
{
    size_t first = weft__stack_text_first(s->walk.pcs, s->walk.kept, 0);
    const struct weft__sample one = {.pcs = s->walk.pcs + first,
                                     .n = s->walk.kept - first,
                                     .labels = weft__labelset_keep(weft__tags_set(tags))};
    weft__cell *cell;

    weft__sample_join(&s->again, &one);
    cell = weft__buckets_cell(s->b, &s->again);
    if (cell)
        add_to(s, cell, count, time);
    return cell;
}

static weft__cell *count(struct sampler *s, const weft__task *t, uint32_t weight)
{
    weft__tags *tags = weft__tags_of(t);
    weft__cell *cell = add(s, tags, weight, weight * s->elapsed);

    weft__tags_drop(tags);
    return cell;
}

/* Threads that run tasks ---------------------------------------------------------------------- */

/* Counts the time that is owed: for the stack with which the thread answered; if it did not answer,
 * for its last known stack, or else for the function that its task began with. */
static void settle(struct sampler *s, struct thread *h)
{
    weft__tags *tags = NULL;

    s->walk.kept = 0;
    if (h->ask && weft__interrupt_look(h->ask) == WEFT__INTERRUPT_STACK)
        weft__interrupt_take(h->ask, &s->walk, &tags);
    if (h->owed > 0 && s->walk.kept > 0) {
        h->last = add(s, tags, h->looks, h->owed);
    } else if (h->owed > 0 && h->last) {
        add_to(s, h->last, h->looks, h->owed);
    } else if (h->owed > 0) {
        walk_entry(&s->walk, h->fn);
        add(s, NULL, h->looks, h->owed);
    }
    weft__tags_drop(tags);
    if (h->ask)
        weft__interrupt_end(h->ask);
    h->ask = NULL;
    h->owed = 0;
    h->looks = 0;
}

/* Returns whether the wait for the thread's answer is over. */
static bool is_settled(struct thread *h)
{
    return !h->ask || weft__interrupt_look(h->ask) != WEFT__INTERRUPT_OPEN ||
           weft__interrupt_is_vain(h->ask);
}

/* Has the time counted for the stack at which the thread will be found computing next. */
static void owe(struct sampler *s, struct thread *h, const struct weft__runner *r)
{
    h->fn = weft__load(&r->task->fn);
    h->owed += s->elapsed;
    h->looks++;
    if (!h->ask)
        h->ask = weft__interrupt_begin(r->tid, (struct weft__wanted){.not_that = s->self});
    if (!h->ask)
        settle(s, h);
}

/* Counts a task that a thread runs. */
static void look_at_runner(struct sampler *s, struct thread *h, const struct weft__runner *r)
{
    uint64_t id = weft__load(&r->task->id);

    if (h->place && h->task == id && weft__cpu_nanos(weft__cpu_clock_of(r->tid)) == h->cpu) {
        add_to(s, h->place, 1, s->elapsed);
        return;
    }
    h->place = NULL;
    if (weft__runner_in_call(&s->walk, r, &h->cpu) == WEFT__SYSCALL_SITS) {
        if (s->walk.kept == 0)
            walk_entry(&s->walk, weft__load(&r->task->fn));
        h->task = id;
        h->place = h->last = count(s, r->task, 1);
        return;
    }
    switch (look(s, r->task)) {
    case NOBODY:
        return;
    case RESTS:
        count(s, r->task, 1);
        return;
    case RUNS:
        owe(s, h, r);
    }
}

/* Updates the list of threads by the present workers. Both lists are in descending order of worker
 * ids. */
static struct thread *follow(struct sampler *s, const struct weft__runner *all, size_t n)
{
    struct thread *now = calloc(n + 1, sizeof(*now));
    size_t old = 0;

    for (size_t i = 0; now && i < n; i++) {
        for (; old < s->n_threads && s->threads[old].worker > all[i].worker; old++)
            settle(s, &s->threads[old]);
        if (old < s->n_threads && s->threads[old].worker == all[i].worker)
            now[i] = s->threads[old++];
        now[i].worker = all[i].worker;
    }
    for (; now && old < s->n_threads; old++)
        settle(s, &s->threads[old]);
    return now;
}

/* Looks at the tasks that threads run just now. */
static void look_at_runners(struct sampler *s)
{
    size_t n;
    struct weft__runner *all = weft__runners_read(&n, false);
    struct thread *threads = all ? follow(s, all, n) : NULL;
    bool aside = weft__stand_aside(n);

    if (threads) {
        free(s->threads);
        s->threads = threads;
        s->n_threads = n;
    }
    hold();
    for (size_t i = 0; threads && i < n; i++) {
        if (threads[i].ask && is_settled(&threads[i]))
            settle(s, &threads[i]);
        if (all[i].task && all[i].task != s->self)
            look_at_runner(s, &threads[i], &all[i]);
    }
    weft__stacks_release();
    if (aside)
        weft__stand_back();
    free(all);
}

/* Waits for a while for answers of threads that have no known stack yet. */
static void end_runners(struct sampler *s)
{
    static const struct timespec pause = {0, 1000000};
    bool aside = weft__stand_aside(SIZE_MAX);

    for (int ms = 0; ms < PATIENCE; ms++) {
        size_t open = 0;

        for (size_t i = 0; i < s->n_threads; i++)
            open += !s->threads[i].last && !is_settled(&s->threads[i]);
        if (open == 0)
            break;
        nanosleep(&pause, NULL);
    }
    for (size_t i = 0; i < s->n_threads; i++)
        settle(s, &s->threads[i]);
    free(s->threads);
    if (aside)
        weft__stand_back();
}

/* Looks at some of the tasks that rest; look_at_runners looks at those that run. */
static void look_at_resting(struct sampler *s)
{
    uint64_t n = weft__tasks_slots(), parts = s->parts < n ? s->parts : n;

    s->found = 0;
    for (uint64_t i = 0; i < parts; i++) {
        uint32_t lo = (uint32_t)(i * n / parts), weight = (uint32_t)((i + 1) * n / parts) - lo;
        weft__task *t = weft__tasks_at(lo + below(s, weight));
        enum look now = look(s, t);

        s->found += now != NOBODY;
        if (now == RESTS && s->walk.kept > 0)
            count(s, t, weight);
    }
}

static void tick(struct sampler *s)
{
    uint32_t found;

    hold();
    look_at_resting(s);
    weft__stacks_release();
    look_at_runners(s);
    found = s->found ? s->found : 1;
    s->parts = s->parts * WANTED / found;
    if (s->parts < WANTED)
        s->parts = WANTED;
    if (s->parts > PARTS_MOST)
        s->parts = PARTS_MOST;
}

/* Moves to an idle processor if there is one, after a nap of up to NAP without any. A sleeper wakes
 * up on the processor on which it went to sleep, and only when the task there rests. So it would
 * never see that task compute. */
static void change_place(struct sampler *s)
{
    struct timespec nap = {0, (long)below(s, NAP)};

    if (weft__clock_virtual || !weft__stand_aside(SIZE_MAX))
        return;
    nanosleep(&nap, NULL);
    weft__stand_back();
}

/* Looks at the tasks every PERIOD for the time that is asked for. Returns false if the profile is
 * not wanted any more. */
static bool look_over_time(struct sampler *s, const struct weft__asked *a)
{
    weft_time last = weft_now(), end = last + a->over;

    while (last < end) {
        weft_time now;

        if (!weft__asked_wait(a, end - last < PERIOD ? end : last + PERIOD))
            return false;
        change_place(s);
        now = weft_now();
        s->elapsed = now - last;
        last = now;
        tick(s);
    }
    return true;
}

/* Looks at all tasks but the caller for the time that is asked for. */
static void *sample(const struct weft__asked *a, int *rc)
{
    struct sampler *s = calloc(1, sizeof(*s));
    weft__buckets *b = weft__buckets_new(WEFT__SAMPLE_VALUES);
    bool good = s && b;

    if (good) {
        s->b = b;
        s->self = weft__caller("weft_profile_write");
        s->random = (uint64_t)weft__ticks() | 1;
        s->parts = PARTS_FIRST;
        good = look_over_time(s, a);
        if (!good)
            *rc = -ECANCELED;
        end_runners(s);
    }
    free(s);
    if (good)
        return b;
    weft__buckets_free(b);
    return NULL;
}

static const struct weft__pprof_type value = {"wall", "nanoseconds"};

const struct weft__profile weft__profile_fgprof = {
    .name = "fgprof",
    .about = "Where tasks spend their time, whether they run or wait, by looking at some of them "
             "every 10 ms for seconds=N.",
    .path = "/debug/fgprof",
    .text_head = "--- wall:\ncycles/second=1000000000\n",
    .usual_time = 30 * WEFT_SECOND,
    .values = &value,
    .n_values = 1,
    .period = PERIOD,
    .sample = sample,
    .write = weft__samples_write,
};
