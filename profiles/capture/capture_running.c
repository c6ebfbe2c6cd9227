/* SPDX-License-Identifier: MIT */
/* capture_running.c - captures the tasks that do not rest: they run, or sit in system calls.
 *
 * Most of them wait or yield soon; then their worker records them. The dumper looks at the others
 * through their threads, all at once: syscalls.c reads the stacks of threads in calls, and
 * interrupt.c gets those of threads that compute. Owns nothing beyond a capture. Only the dumper
 * calls in. */
#include "profiles/capture/capture.h"
#include "profiles/capture/running.h"
#include "runtime/base/clock.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

/* All in ns, from the beginning of the wait. */
#define SPINS_FOR      INT64_C(50000)  /* the dumper then yields its CPU */
#define DIRECTED_AFTER INT64_C(300000) /* the dumper then looks at the threads of running tasks */
#define GIVE_UP_AFTER  INT64_C(200000000)  /* from that look on: records tasks without a stack */
#define GIVE_UP_ASKING INT64_C(3000000000) /* the same while a thread still has a question */

/* The tasks that have no record yet. */
struct pending {
    uint32_t *slots;
    /* The question to each slot's thread, or NULL. NULL itself if memory ran out. */
    weft__interrupt **asks;
    size_t n;      /* slots */
    size_t asking; /* how many of them have a question */
};

/* Records a task that has run for so long that no worker recorded it. r is its thread, or NULL if
 * that is not known. Does nothing while its stack may still come, unless this is the last look. */
static void record_running(struct capture *c, weft__task *t, uint32_t old,
                           const struct weft__runner *r, weft__interrupt **ask, bool last)
{
    bool done = last || (weft__load(&t->flags) & WEFT__FOREIGN);
    struct weft__record record;
    struct weft__walk walk;

    weft__capture_describe(&record, t);
    record.state = WEFT__REC_RUNNING;
    walk.kept = walk.depth = 0;
    if (r && weft__look_at_runner(&record, &walk, r, ask))
        done = true;
    if (!done)
        return;
    record.tags = weft__tags_of(t);
    if (weft__capture_move(t, old, c->epoch))
        weft__capture_publish(c, t->slot, &record, &walk);
    else
        weft__tags_drop(record.tags);
}

/* Returns whether t is to be recorded though it does not rest: it runs, or this is the last look.
 */
static bool is_due(const weft__task *t, bool last)
{
    uint32_t state = weft__load_acq(&t->state);

    if (last)
        return state != WEFT__IDLE && state != WEFT__DEAD;
    return state == WEFT__RUNNING || state == WEFT__LOST;
}

/* Records those of the pending tasks that run, through their threads. */
static void record_runners(struct capture *c, struct pending *p, bool last)
{
    size_t n;
    struct weft__runner *all = weft__runners_read(&n, true);

    if (!p->asks)
        p->asks = calloc(p->n, sizeof(*p->asks));
    for (size_t i = 0; i < p->n; i++) {
        weft__task *t = weft__tasks_at(p->slots[i]);
        uint32_t snap = weft__load_acq(&t->snap);
        const struct weft__runner *r = NULL;

        if (snap >= 2 * c->epoch || !is_due(t, last))
            continue;
        if (all && p->asks)
            r = weft__runner_find(all, n, t);
        record_running(c, t, snap, r, r ? &p->asks[i] : NULL, last);
    }
    free(all);
}

/* Drops the slots that have their record by now, and ends their questions. */
static void sift(struct capture *c, struct pending *p)
{
    size_t left = 0;

    p->asking = 0;
    for (size_t i = 0; i < p->n; i++) {
        weft__interrupt *ask = p->asks ? p->asks[i] : NULL;

        if (weft__capture_slot(c, p->slots[i])) {
            if (ask)
                weft__interrupt_end(ask);
            continue;
        }
        p->asking += ask != NULL;
        p->slots[left] = p->slots[i];
        if (p->asks)
            p->asks[left] = ask;
        left++;
    }
    p->n = left;
}

/* Waits before the next look. At first it spins, because most tasks leave their processor within
 * microseconds, while a thread that yields on a busy machine comes back after milliseconds. */
static void wait_a_little(int64_t waited, bool asking)
{
    static const struct timespec pause = {0, 200000};

    if (asking)
        nanosleep(&pause, NULL);
    else if (waited > SPINS_FOR)
        sched_yield();
    else
        weft__pause();
}

/* Gives up on the stacks of tasks that do not come in time. That takes longer while a thread has an
 * open question, since it may be waiting for a CPU. */
void weft__capture_pending(struct capture *c, uint32_t *slots, size_t n)
{
    struct pending p = {.slots = slots, .n = n};
    int64_t start = weft__mono(), lasted = 0, looked = 0;
    bool last = false;

    while (p.n > 0 && !last) {
        /* counted from the first look: before it, a busy machine may have run others */
        last = looked > 0 && lasted - looked > (p.asking ? GIVE_UP_ASKING : GIVE_UP_AFTER);
        if (lasted > DIRECTED_AFTER) {
            record_runners(c, &p, last);
            looked = looked ? looked : lasted;
        }
        sift(c, &p);
        if (p.n > 0)
            wait_a_little(lasted, p.asking > 0);
        lasted = weft__mono() - start;
    }
    for (size_t i = 0; p.asks && i < p.n; i++) {
        if (p.asks[i])
            weft__interrupt_end(p.asks[i]);
    }
    free(p.asks);
}
