/* SPDX-License-Identifier: MIT */
/* monitor.c - takes processors from threads whose task hogs or blocks, and keeps the hog lane.
 *
 * Evidence, cheapest first: the processor's tick has not moved for the limit; the thread burnt CPU
 * for most of it (a hog), or sits in a system call (blocked). A thread that did neither was
 * descheduled by the kernel: it gets four times the limit. Wall time alone is no ground.
 *
 * Entry functions taken from HOG_TAKES times with CPU evidence are known hogs: to run, their tasks
 * need one of few lane slots, given back at their next wait or yield, and they are taken from after
 * 1 ms. Slots grow by one a second only while none turned over, else endless hogs would starve the
 * lane. The count of takes fades, so that a site that behaves again is no hog for ever.
 *
 * Runs every millisecond while anything does; asleep when everything is idle. */
#include "monitor.h"

#include "observe.h"
#include "park.h"
#include "signals.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS           INT64_C(1000000)
#define WORKER_SLICE (MS / 10)
#define HOG_SLICE    (6 * MS)

enum { SITES = 256, HOG_TAKES = 4, IDLE_ROUNDS = 20 };
enum { FINE = 500, TRIAL = 32 };    /* switches in a round of the monitor; rounds */
enum { FEW = 8, ALL = WEFT__RING }; /* tasks */

struct site {
    weft_task_fn *fn; /* atomic */
    uint32_t takes;   /* atomic */
};

uint32_t weft__hog_sites;
static struct site sites[SITES];

/* Lock: rank OBJECT, since leaving the lane makes the next one ready. */
static struct {
    uint32_t lock;
    uint32_t used, slots;
    uint32_t turned; /* slots given back since the last growth */
    weft__task *head, *tail;
} lane;

static struct {
    pthread_t thread;
    bool stop; /* atomic */
    int64_t grown, trimmed;
    int64_t backoff, last_blocked; /* between two takes that need a new thread */
} monitor;

/* Hogs ----------------------------------------------------------------------------------------- */

static struct site *site_of(weft_task_fn *fn, bool add)
{
    uintptr_t h = ((uintptr_t)fn >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    for (unsigned i = 0; i < 16; i++) {
        struct site *s = &sites[(h + i) % SITES];
        weft_task_fn *have = weft__load_acq(&s->fn);

        if (!have && add && weft__cas(&s->fn, &have, fn))
            return s;
        if (have == fn)
            return s;
        if (!have)
            return NULL;
    }
    return NULL;
}

static bool is_hog(weft_task_fn *fn)
{
    const struct site *s = weft__monitor_knows_hogs() ? site_of(fn, false) : NULL;

    return s && weft__load(&s->takes) >= HOG_TAKES;
}

static void burned(weft_task_fn *fn)
{
    struct site *s = site_of(fn, true);

    if (s && weft__add(&s->takes, 1) == HOG_TAKES - 1)
        weft__add(&weft__hog_sites, 1);
}

bool weft__lane_wanted(const weft__task *t)
{
    return !(t->flags & WEFT__LANE) && is_hog(t->fn);
}

bool weft__lane_admit(weft__task *t)
{
    bool admitted;

    weft__lock(&lane.lock);
    admitted = lane.used < lane.slots;
    if (admitted) {
        lane.used++;
        weft__flag_set(t, WEFT__LANE);
    } else {
        weft__store(&t->next, NULL);
        if (lane.tail)
            weft__store(&lane.tail->next, t);
        else
            lane.head = t;
        lane.tail = t;
        weft__store(&t->since, weft__ticks());
        weft__store(&t->reason, WEFT__WAIT_HOG_LANE);
    }
    weft__unlock(&lane.lock);
    return admitted;
}

/* The next one in the lane, if there is room; it brings its slot with it. Under the lock. */
static weft__task *lane_next(void)
{
    weft__task *t = lane.head;

    if (!t || lane.used >= lane.slots)
        return NULL;
    lane.head = t->next;
    if (!lane.head)
        lane.tail = NULL;
    lane.used++;
    weft__flag_set(t, WEFT__LANE);
    weft__store(&t->reason, WEFT__WAIT_NONE);
    return t;
}

static void lane_run(weft__task *t)
{
    if (!t)
        return;
    weft__global_push(t);
    weft__fence_full();
    weft__wake_one();
}

/* A worker may be given up meanwhile: then the slot is gone, or weft__lane_clear, and with it the
 * end of the run, waits until the next one is in the queue that ends with the run. */
void weft__lane_leave(weft__task *t)
{
    weft__flag_clear(t, WEFT__LANE);
    weft__lock(&lane.lock);
    if (weft__load_acq(&t->worker->end) == WEFT__ALIVE) {
        lane.used--;
        lane.turned++;
        lane_run(lane_next());
    }
    weft__unlock(&lane.lock);
}

void weft__lane_clear(void)
{
    weft__lock(&lane.lock);
    lane.head = lane.tail = NULL;
    lane.used = 0;
    lane.slots = 2 * (uint32_t)weft__sched.nprocs;
    weft__unlock(&lane.lock);
}

static void sites_fade(void)
{
    for (unsigned i = 0; weft__monitor_knows_hogs() && i < SITES; i++) {
        uint32_t takes = weft__load(&sites[i].takes), left = takes - takes / 4;

        if (takes < HOG_TAKES || !weft__cas(&sites[i].takes, &takes, left))
            continue;
        if (left < HOG_TAKES)
            weft__sub(&weft__hog_sites, 1);
    }
}

static void lane_grow(int64_t now)
{
    weft__task *next = NULL;

    if (now - monitor.grown < 1000 * MS)
        return;
    monitor.grown = now;
    sites_fade();
    weft__lock(&lane.lock);
    if (lane.head && lane.turned == 0 && lane.slots < 16 * (uint32_t)weft__sched.nprocs) {
        lane.slots++;
        next = lane_next();
    }
    lane.turned = 0;
    weft__unlock(&lane.lock);
    lane_run(next);
}

/* Taking --------------------------------------------------------------------------------------- */

/* A thread without a processor should not keep those that have one from the CPU: a longer slice
 * lets the kernel put it behind them at every wake-up (EEVDF, Linux 6.12; elsewhere ignored). No
 * longer than HOG_SLICE, for it may overdraw its share by as much, and then, given a processor, it
 * is the one that waits: with 100 ms a ticker beside hogs of 20 ms woke up to 74 ms late, not 14.
 * Policy and nice stay as they are; what is neither SCHED_OTHER nor SCHED_BATCH has no slice. */
static void set_slice(weft__worker *w, int64_t ns)
{
#if defined(SYS_sched_setattr) && defined(SYS_sched_getattr)
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {.size = sizeof(attr)};
    int tid = weft__load(&w->tid);

    if (syscall(SYS_sched_getattr, tid, &attr, sizeof(attr), 0) != 0 ||
        (attr.policy != SCHED_OTHER && attr.policy != SCHED_BATCH))
        return;
    attr.runtime = (uint64_t)ns;
    syscall(SYS_sched_setattr, tid, &attr, 0);
#else
    (void)w;
    (void)ns;
#endif
}

/* Like the worker, for a processor it is given: short slices wake up sooner. */
static void give(weft__proc *p, weft__worker *w)
{
    set_slice(w, WORKER_SLICE);
    weft__proc_give(p, w);
}

/* The other half of weft__enter; scheduler.h has the argument. fn: the entry of the task that w is
 * seen to run. */
static bool take(weft__proc *p, weft__worker *w, weft_task_fn *fn, bool burnt)
{
    weft__worker *spare = weft__spare_get(fn);
    weft__task *t;
    bool taken = false;

    if (!spare)
        return false;
    weft__lock(&w->lk);
    if (weft__load(&w->p) == p && !w->lost) {
        weft__store(&w->take, 1);
        weft__fence_heavy();
        /* Its task is read after that: until then it may still switch, from then on it may not. */
        if (weft__load_acq(&w->in_rt) == 0) {
            t = weft__load(&w->task);
            w->lost = 1;
            weft__store(&w->p, NULL);
            weft__store(&t->state, WEFT__LOST);
            weft__store(&p->owner, NULL);
            weft__add(&weft__sched.nlost, 1);
            weft__add(&weft__sched.taken, 1);
            if (burnt)
                burned(t->fn);
            taken = true;
        } else if (!burnt) {
            weft__store(&w->take, 0);
        } /* else it stays: the task yields at its next call */
    }
    weft__unlock(&w->lk);
    if (!taken) {
        weft__spare_put(spare);
        return false;
    }
    set_slice(w, burnt ? HOG_SLICE : WORKER_SLICE);
    give(p, spare);
    return true;
}

static bool in_a_call(weft__worker *w)
{
    char text[64], path[64];
    ssize_t n;

    if (w->fd_syscall < 0) {
        snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", w->tid);
        w->fd_syscall = open(path, O_RDONLY | O_CLOEXEC);
    }
    n = w->fd_syscall < 0 ? -1 : pread(w->fd_syscall, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return true; /* not allowed to look: then time decides */
    text[n] = 0;
    return strncmp(text, "running", 7) != 0 && text[0] != '-';
}

/* New threads come at once at first, then ever slower: a thousand blocked calls need no thousand
 * threads within a second. */
static bool thread_allowed(int64_t now)
{
    if (weft__load(&weft__sched.nspares) > 0)
        return true;
    if (weft__load(&weft__sched.nthreads) >= (uint32_t)weft__sched.max_threads) {
        weft__say_capped();
        return false;
    }
    if (weft__load(&weft__sched.nthreads) < 16 + 4 * (uint32_t)weft__sched.nprocs)
        return true;
    if (now - monitor.last_blocked > 4 * monitor.backoff)
        monitor.backoff = 10 * MS;
    if (now - monitor.last_blocked < monitor.backoff)
        return false;
    monitor.last_blocked = now;
    monitor.backoff = monitor.backoff >= 500 * MS ? 1000 * MS : 2 * monitor.backoff;
    return true;
}

static void note(weft__proc *p, weft__worker *w, uint32_t tick, int64_t now)
{
    p->seen_tick = tick;
    p->seen_owner = w;
    p->seen = now;
    p->cpu0 = weft__cpu_nanos(w->cpu_clock);
}

/* Stands in for w, which is in user code, as the owner of p's queue. As when taking: either w sees
 * take, and waits at lk, or it is seen to be in the runtime. */
static void offer_next(weft__proc *p, weft__worker *w)
{
    uint32_t asked;

    weft__lock(&w->lk);
    if (weft__load(&w->p) == p && !w->lost) {
        asked = weft__load(&w->take);
        weft__store(&w->take, 1);
        weft__fence_heavy();
        if (weft__load_acq(&w->in_rt) == 0)
            weft__runq_offer_next(&p->runq);
        weft__store_rel(&w->take, asked);
    }
    weft__unlock(&w->lk);
}

/* Something waits in p while its task goes on: let an idle processor have it. */
static void help(weft__proc *p, weft__worker *w)
{
    if (weft__load(&weft__sched.nidle) == 0 || weft__runq_empty(&p->runq))
        return;
    if (weft__load(&p->runq.next))
        offer_next(p, w);
    weft__fence_full();
    weft__wake_one();
}

/* How many tasks thieves should leave alone, from the switches of the last round. Moving a task to
 * another CPU costs more than a run of less than a microsecond or two: then what will be done
 * within a quarter of a millisecond stays, if the queue runs dry again and again or most tasks end
 * with their first run; else the move pays in later runs, and a few stay. What is moved makes the
 * others slow, too, so how many that is shows in a round in which all stay, one in TRIAL. */
static void keep(weft__proc *p, uint32_t switches)
{
    uint32_t drains = weft__load(&p->runq.drains), ends = weft__load(&p->ends), n = 0;
    bool stay = drains != p->seen_drains || ends - p->seen_ends > switches / 2;

    if (weft__load(&p->runq.keep) == ALL)
        p->undisturbed = switches;
    if (switches <= FINE)
        p->fine_rounds = p->undisturbed = 0;
    else if (!stay)
        n = FEW;
    else if (p->fine_rounds++ % TRIAL == 0)
        n = ALL;
    else
        n = (switches > p->undisturbed ? switches : p->undisturbed) / 4;
    p->seen_drains = drains;
    p->seen_ends = ends;
    weft__store(&p->runq.keep, n);
}

static void look(weft__proc *p, int64_t now)
{
    weft__worker *w = weft__load_acq(&p->owner);
    weft__task *t;
    weft_task_fn *fn;
    uint32_t tick = weft__load(&p->tick);
    int64_t limit, cpu;
    bool burnt;

    if (!w || weft__load_acq(&w->tid) == 0)
        return;
    keep(p, tick - p->seen_tick);
    if (tick != p->seen_tick || w != p->seen_owner) {
        weft__store(&p->turn, tick); /* timers wait for one task at most, not for a full turn's */
        note(p, w, tick, now);
        return;
    }
    help(p, w);
    t = weft__load_acq(&w->task);
    if (!weft__sched.handoff || !t)
        return;
    fn = weft__load(&t->fn);
    limit = is_hog(fn) ? MS : 10 * MS;
    if (now - p->seen < limit)
        return;
    cpu = weft__cpu_nanos(w->cpu_clock) - p->cpu0;
    burnt = cpu >= limit * 8 / 10;
    if (!burnt && !in_a_call(w) && now - p->seen < 4 * limit)
        return;
    if (thread_allowed(now) && take(p, w, fn, burnt))
        weft__store(&p->seen_owner, NULL);
}

static bool everyone_idle(void)
{
    return weft__all_idle() && weft__load_seq(&weft__sched.nlost) == 0;
}

void weft__monitor_kick(void)
{
    if (weft__unlikely(weft__load(&weft__sched.monitor_asleep)) &&
        weft__xchg(&weft__sched.monitor_asleep, 0))
        weft__futex_wake(&weft__sched.monitor_asleep, 1);
}

static void doze(void)
{
    weft__store_seq(&weft__sched.monitor_asleep, 1);
    weft__fence_heavy();
    while (weft__load_acq(&weft__sched.monitor_asleep) && everyone_idle() &&
           !weft__load(&monitor.stop))
        weft__futex_wait(&weft__sched.monitor_asleep, 1, -1);
    weft__store_seq(&weft__sched.monitor_asleep, 0);
}

static void *monitor_main(void *arg)
{
    int idle_rounds = 0;

    (void)arg;
    prctl(PR_SET_NAME, "weft-monitor");
    prctl(PR_SET_TIMERSLACK, 1000UL);
    while (!weft__load_acq(&monitor.stop)) {
        int64_t now = weft__mono();

        for (int i = 0; i < weft__sched.nprocs; i++)
            look(&weft__sched.procs[i], now);
        lane_grow(now);
        idle_rounds = everyone_idle() ? idle_rounds + 1 : 0;
        if (idle_rounds >= IDLE_ROUNDS) {
            weft__tasks_trim();
            doze();
            idle_rounds = 0;
        }
        usleep(weft__monitor_knows_hogs() ? 500 : 1000);
    }
    return NULL;
}

void weft__monitor_start(void)
{
    monitor.stop = false;
    monitor.backoff = 10 * MS;
    monitor.last_blocked = 0;
    if (weft__thread_start(&monitor.thread, 0, monitor_main, NULL) != 0)
        weft__fatal("cannot start the monitor thread");
    weft__hooks.thread_made(NULL);
}

void weft__monitor_stop(void)
{
    weft__store_rel(&monitor.stop, true);
    weft__store_seq(&weft__sched.monitor_asleep, 0);
    weft__futex_wake(&weft__sched.monitor_asleep, 1);
    pthread_join(monitor.thread, NULL);
}
