/* SPDX-License-Identifier: MIT */
/* capture_running.c - captures the tasks that do not rest: they run, or sit in system calls.
 *
 * Most of them wait or yield soon, and then a worker records them. The others are looked at through
 * their threads: syscalls.c reads the stacks of those in calls, and interrupt.c asks those that
 * compute, all at once. */
#include "profiles/capture/capture.h"
#include "profiles/capture/running.h"
#include "runtime/base/clock.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define SPINS_FOR      INT64_C(50000) /* ns that the dumper waits for a running task without a yield */
#define DIRECTED_AFTER INT64_C(300000) /* ns that a running task has to come by itself */
#define GIVE_UP_AFTER  INT64_C(200000000)
#define GIVE_UP_ASKING INT64_C(3000000000)

/* Tasks that did not rest, or were being recorded by others, in the first pass. */
struct pending {
    uint32_t *slots;
    weft__ask **asks; /* the question to the thread of each, or NULL; NULL without memory */
    size_t n, asking;
};

/* Records a task that runs for long, and so reaches no worker. r: what is known of its thread, or
 * NULL. If there is no stack yet it is looked at again; the last time it is shown without. */
static void record_running(struct capture *c, weft__task *t, uint32_t old,
                           const struct weft__runner *r, weft__ask **ask, bool last)
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

/* Returns whether t is to be recorded though it may not rest. */
static bool is_due(const weft__task *t, bool last)
{
    uint32_t state = weft__load_acq(&t->state);

    if (last)
        return state != WEFT__IDLE && state != WEFT__DEAD;
    return state == WEFT__RUNNING || state == WEFT__LOST;
}

/* Records those of the pending tasks that threads run. */
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

/* Keeps the slots that are left to record. */
static void sift(struct capture *c, struct pending *p)
{
    size_t left = 0;

    p->asking = 0;
    for (size_t i = 0; i < p->n; i++) {
        weft__ask *ask = p->asks ? p->asks[i] : NULL;

        if (weft__capture_slot(c, p->slots[i])) {
            if (ask)
                weft__ask_end(ask);
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

/* Lets other threads get on: most tasks leave their processor within microseconds, and a thread
 * that yields to a busy machine comes back after milliseconds. */
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

/* Records all that are pending. Gives up a task without its stack if that cannot be had in time,
 * which is longer while a thread that was asked may be waiting for a CPU. */
void weft__capture_pending(struct capture *c, uint32_t *slots, size_t n)
{
    struct pending p = {.slots = slots, .n = n};
    int64_t start = weft__mono(), lasted = 0, looked = 0;
    bool last = false;

    while (p.n > 0 && !last) {
        /* from the first look on: the machine may have been busy with others before */
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
            weft__ask_end(p.asks[i]);
    }
    free(p.asks);
}
