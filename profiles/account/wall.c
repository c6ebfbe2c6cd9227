/* SPDX-License-Identifier: MIT */
/* wall.c - see wall.h.
 *
 * Every PERIOD each task that a thread runs is looked at, whether it computes or sits in a call,
 * and counts for itself: there are no more of them than threads. Of all others, which wait, one
 * slot of the registry is looked at by chance in each of so many equal parts of it, and a task that
 * is found there counts for the part: sums are right on average, and a look costs the same with a
 * hundred tasks and a million. There are as many parts as find about WANTED tasks.
 *
 * A task that rests is walked without any claim. If it waits, its ticket tells whether that was one
 * wait all the time; if it is runnable, two walks that agree do. One that runs is looked at again,
 * when it may rest, and then by its thread (running.c). */
#include "profiles/account/wall.h"

#include "profiles/account/sample.h"
#include "profiles/capture/running.h"
#include "profiles/capture/tasks.h"
#include "profiles/render/listing.h"
#include "profiles/render/merged.h"
#include "profiles/table/labelset.h"
#include "runtime/sched/scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weft/task.h>

#define PERIOD (10 * WEFT_MILLISECOND)

enum { WANTED = 50, PARTS_FIRST = 200, PARTS_MOST = 2000, RUNNING_MOST = 4096 };

struct sampler {
    weft__buckets *b;
    const weft__task *self;
    uint64_t random;
    int64_t elapsed; /* ns since the last time */
    uint32_t parts, found;
    weft__task *running[RUNNING_MOST];
    uint32_t n_running;
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

/* Until weft__stacks_release, with no call in between that may switch tasks: the end of a run may
 * discard the one that holds. */
static void hold(void)
{
    weft__stacks_hold();
    weft__fence_heavy();
}

/* As if it had just been called: return addresses. */
static void walk_entry(struct weft__walk *to, const weft__task *t)
{
    to->kept = to->depth = 1;
    to->pcs[0] = (uintptr_t)weft__load(&t->fn) + 1;
}

static void walk(struct weft__walk *to, const weft__task *t)
{
    if (weft__load(&t->flags) & WEFT__STARTED)
        weft__walk_saved(to, t);
    else
        walk_entry(to, t);
}

static bool agree(const struct weft__walk *a, const struct weft__walk *b)
{
    return a->kept == b->kept && memcmp(a->pcs, b->pcs, a->kept * sizeof(a->pcs[0])) == 0;
}

/* Did it rest in one place since, with the stack that was walked? */
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

/* Leaves the stack of a task that rests in s->walk, else nothing. */
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

static void count(struct sampler *s, const weft__task *t, uint32_t weight)
{
    weft__tags *tags = weft__tags_of(t);
    size_t first = weft__listing_first(s->walk.pcs, s->walk.kept, 0);
    const struct weft__sample one = {.pcs = s->walk.pcs + first,
                                     .n = s->walk.kept - first,
                                     .labels = weft__labelset_keep(weft__tags_set(tags))};

    weft__tags_drop(tags);
    weft__sample_join(&s->again, &one);
    weft__buckets_add(s->b, &s->again, weight, weight * s->elapsed);
}

static void walk_runner(struct sampler *s, weft__task *t)
{
    int tid = weft__thread_of(t);
    struct weft__record record;

    if (tid)
        weft__look_at_thread(&record, &s->walk, t, tid);
    if (s->walk.kept > 0)
        s->walk.pcs[0]++; /* where it is, no return address */
}

/* Counts a task that a thread runs; if it does not show its stack, at its entry. */
static void look_at_runner(struct sampler *s, weft__task *t)
{
    enum look now = look(s, t);

    if (now == RUNS)
        walk_runner(s, t);
    if (now == RUNS && s->walk.kept == 0)
        now = look(s, t);
    if (now == NOBODY)
        return;
    if (s->walk.kept == 0)
        walk_entry(&s->walk, t);
    count(s, t, 1);
}

/* Looks at the tasks that threads run just now. */
static void find_runners(struct sampler *s)
{
    s->n_running = 0;
    weft__lock(&weft__sched.lock);
    for (weft__worker *w = weft__sched.all; w && s->n_running < RUNNING_MOST; w = w->all) {
        weft__task *t = weft__load_acq(&w->task);

        if (t && t != s->self)
            s->running[s->n_running++] = t;
    }
    weft__unlock(&weft__sched.lock);
}

/* Their threads are waited for: others may have the processor meanwhile. */
static void look_at_runners(struct sampler *s)
{
    bool aside = weft__stand_aside(SIZE_MAX);

    hold();
    for (uint32_t i = 0; i < s->n_running; i++)
        look_at_runner(s, s->running[i]);
    weft__stacks_release();
    if (aside)
        weft__stand_back();
}

/* A task that is found to run was found by find_runners. */
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
    find_runners(s);
    look_at_resting(s);
    weft__stacks_release();
    if (s->n_running > 0)
        look_at_runners(s);
    found = s->found ? s->found : 1;
    s->parts = s->parts * WANTED / found;
    if (s->parts < WANTED)
        s->parts = WANTED;
    if (s->parts > PARTS_MOST)
        s->parts = PARTS_MOST;
}

static bool sample(struct sampler *s, weft_duration duration, weft__wall_wait *wait, void *arg)
{
    weft_time last = weft_now(), end = last + duration;

    while (last < end) {
        weft_time now;

        if (!wait(arg, end - last < PERIOD ? end : last + PERIOD))
            return false;
        now = weft_now();
        s->elapsed = now - last;
        last = now;
        tick(s);
    }
    return true;
}

weft__buckets *weft__wall_sample(weft_duration duration, weft__wall_wait *wait, void *arg, int *rc)
{
    struct sampler *s = calloc(1, sizeof(*s));
    weft__buckets *b = weft__buckets_new();

    *rc = -ENOMEM;
    if (s && b) {
        s->b = b;
        s->self = weft__caller("weft_profile_write");
        s->random = (uint64_t)weft__ticks() | 1;
        s->parts = PARTS_FIRST;
        *rc = sample(s, duration, wait, arg) ? 0 : -ECANCELED;
    }
    free(s);
    if (*rc == 0)
        return b;
    weft__buckets_free(b);
    return NULL;
}

int weft__wall_pprof(const weft__buckets *b, int64_t duration, const struct weft__sink *to)
{
    static const struct weft__pprof_type type = {"wall", "nanoseconds"};
    const struct weft__pprof_head head = {.types = &type,
                                          .n_types = 1,
                                          .period_type = type,
                                          .period = PERIOD,
                                          .time = weft__realtime() - duration,
                                          .duration = duration};

    return weft__samples_pprof(&head, b, to);
}

int weft__wall_text(const weft__buckets *b, const struct weft__sink *to)
{
    return weft__samples_text("--- wall:\ncycles/second=1000000000\n", b, to);
}
