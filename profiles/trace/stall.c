/* SPDX-License-Identifier: MIT */
/* stall.c - see stall.h.
 *
 * Owns: the notes on the processors. Lock: `lock`, a pthread mutex, guards them, and that the
 * processors are there; sched.lock (rank RUNQ) is taken under it.
 *
 * A processor stalls while its count of switches stands still and a task waits for it: in its
 * queue, in the global queue, or for a timer of its that is due. */
#include "profiles/trace/stall.h"

#include "runtime/sched/scheduler.h"

#include <pthread.h>
#include <string.h>

enum { LONGEST_GAP = 100000000 }; /* ns; a longer time between two looks counts as this */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint32_t tick;
    bool told;     /* this stall was reported */
    int64_t lasts; /* ns of the stall so far */
} seen[WEFT__PROCS_MAX];
static int64_t most, looked;
static bool looking;

void weft__stalls_begin(int64_t limit)
{
    pthread_mutex_lock(&lock);
    memset(seen, 0, sizeof(seen));
    most = limit;
    looked = weft__mono();
    looking = true;
    pthread_mutex_unlock(&lock);
}

void weft__stalls_end(void)
{
    pthread_mutex_lock(&lock);
    looking = false;
    pthread_mutex_unlock(&lock);
}

static bool is_waited_for(const weft__proc *p)
{
    int64_t next = weft__load_acq(&p->timers.next);

    return !weft__runq_empty(&p->runq) || weft__global_len() > 0 ||
           (next != WEFT_FOREVER && next <= weft__nanos());
}

/* Returns whether a processor has just stalled for the limit. Caller holds the lock. */
static bool has_stalled(uint32_t index, int64_t passed)
{
    const weft__proc *p = &weft__sched.procs[index];
    uint32_t tick = weft__load(&p->tick);

    if (tick != seen[index].tick || !is_waited_for(p)) {
        seen[index].tick = tick;
        seen[index].told = false;
        seen[index].lasts = 0;
        return false;
    }
    seen[index].lasts += passed;
    return seen[index].lasts >= most && !seen[index].told;
}

/* Finds the task that keeps the processor. */
static void find_task(struct weft__stall *out)
{
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (const weft__worker *w = weft__sched.all; w; w = w->all) {
        const weft__proc *p = weft__load(&w->p);
        const weft__task *t = weft__load(&w->task);

        if (p && p->index == out->proc && t) {
            out->task = weft__load(&t->id);
            out->fn = (uintptr_t)weft__load(&t->fn);
        }
    }
    weft__unlock(&weft__sched.lock);
}

bool weft__stalls_look(struct weft__stall *out)
{
    int64_t now = weft__mono(), passed;
    bool found = false;

    pthread_mutex_lock(&lock);
    passed = now - looked < LONGEST_GAP ? now - looked : LONGEST_GAP;
    looked = now;
    for (uint32_t i = 0; looking && i < (uint32_t)weft__sched.nprocs; i++) {
        if (!has_stalled(i, passed) || found)
            continue;
        found = seen[i].told = true;
        *out = (struct weft__stall){.proc = i, .lasted = seen[i].lasts};
        find_task(out);
    }
    pthread_mutex_unlock(&lock);
    return found;
}
