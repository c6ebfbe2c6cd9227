/* SPDX-License-Identifier: MIT */
/* monitor.c - the thread that takes processors from workers whose task hogs or blocks.
 *
 * Owns: the monitor's thread, and the fields of processors and workers that are marked as its
 * notes. All static functions run on that thread, which is no worker: it takes a worker's lk (rank
 * RUNQ) for a taking, and runs no task. Any thread may call weft__monitor_kick; weft_run starts and
 * stops the thread.
 *
 * Grounds for a taking, cheapest to find first: the processor's tick has not moved for the limit;
 * the task declared a call that lasts; the thread burnt CPU for most of the limit (a hog), or sits
 * in a system call (blocked). A thread that did neither was descheduled by the kernel. It gets four
 * times the limit, and then counts as a hog if it burnt an eighth of it: on a busy machine a hog
 * gets little CPU, and the kernel's time slices are long. Wall time alone is no ground. The limit
 * is 10 ms, less for known functions (lane.c), and 0.1 ms for a declared call. When the task comes
 * back it queues for a processor, and its thread becomes a spare.
 *
 * A worker that gets a processor runs its timers first. If a processor's task runs on while timers
 * of the processor are due, other workers run them (sched.late).
 *
 * The monitor looks every millisecond while any task runs. It looks more often for a while after it
 * took a processor from a call: where one call blocks, many may be about to. It sleeps when all
 * processors are idle.
 *
 * Once tasks of a function sit in calls, other tasks of that function lose their processor after
 * 0.15 ms, and the monitor looks every 0.1 ms. So it finds 5,000 sleeping tasks one after the
 * other, with one processor in some two seconds.
 *
 * Thieves leave short queues of fine-grained tasks alone (keep). Tasks that run for less time than
 * a move between CPUs takes are best left together, as long as the queue runs dry again and again,
 * or most of them end with their first run. One round in 32, in which no task moves, measures how
 * many those are: moved tasks make all others slow, too, so it would look as if the moves paid
 * (spawn and finish on two processors: 480 ns in most runs without this rule, 85 to 170 with
 * it). */
#include "runtime/sched/beside.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/spare.h"
#include "runtime/sched/thread.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define US           INT64_C(1000)
#define MS           INT64_C(1000000)
#define WORKER_SLICE (MS / 10)
#define HOG_SLICE    (6 * MS)

/* How long a task may keep its processor. */
#define LIMIT            (10 * MS)
#define LIMIT_KNOWN_HOG  MS
#define LIMIT_KNOWN_CALL (150 * US)
#define LIMIT_DECLARED   (100 * US)

#define FULL_ROUND (400 * US)  /* the least time between two full rounds */
#define RECOUNT    (3000 * MS) /* and between two looks at the number of processors */

enum { IDLE_ROUNDS = 20 };          /* rounds without work before the monitor sleeps */
enum { PATIENCE = 4 };              /* times the limit, for a thread that was descheduled */
enum { FINE = 500, TRIAL = 32 };    /* switches in a round of fine-grained tasks; rounds */
enum { FEW = 8, ALL = WEFT__RING }; /* tasks that thieves leave alone */

static struct {
    pthread_t thread;
    bool stop;       /* atomic */
    int64_t blocked; /* when a processor was last taken from a call */
    int64_t full;    /* when the last full round was */
    int64_t counted; /* when it last asked for a look at the number of processors */
} monitor;

/* Taking --------------------------------------------------------------------------------------- */

/* Sets the time slice of a thread. A thread without a processor should not keep those with one from
 * the CPU: with a longer slice the kernel puts it behind them at every wake-up (EEVDF, Linux 6.12;
 * other kernels ignore it). The slice is at most HOG_SLICE, since a thread may overdraw its share
 * by a slice, and must then wait when it gets a processor: with 100 ms a ticker beside hogs of 20
 * ms woke up to 74 ms late, not 14. Policy and nice stay as they are; only SCHED_OTHER and
 * SCHED_BATCH have slices. */
static void set_slice(int tid, int64_t ns)
{
#if defined(SYS_sched_setattr) && defined(SYS_sched_getattr)
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {.size = sizeof(attr)};

    if (syscall(SYS_sched_getattr, tid, &attr, sizeof(attr), 0) != 0 ||
        (attr.policy != SCHED_OTHER && attr.policy != SCHED_BATCH))
        return;
    attr.runtime = (uint64_t)ns;
    syscall(SYS_sched_setattr, tid, &attr, 0);
#else
    (void)tid;
    (void)ns;
#endif
}

/* Gives p to w, whose thread gets short time slices again: it wakes up sooner with them. */
static void give(weft__proc *p, weft__worker *w)
{
    if (weft__load(&w->tid) != 0) /* a new thread has the monitor's slice */
        set_slice(weft__load(&w->tid), WORKER_SLICE);
    weft__proc_give(p, w);
}

/* Returns whether the reason for taking still holds. Caller holds w->lk, and knows that the task is
 * in user code. */
static bool still(const weft__worker *w, enum weft__why why)
{
    weft__check_holds(&w->lk);
    return why != WEFT__DECLARED || weft__call_declared(w, weft__load(&w->task));
}

/* Takes p from w, whose task runs on without a processor. Caller holds w->lk. */
static void lose(weft__proc *p, weft__worker *w, enum weft__why why)
{
    weft__check_holds(&w->lk);
    weft__task *t = weft__load(&w->task);

    w->lost = why;
    weft__store(&w->p, NULL);
    weft__task_move(t, WEFT__RUNNING, WEFT__LOST);
    weft__tell(lost, t, w, why);
    weft__store(&p->owner, NULL);
    weft__store(&w->lost_since, weft__ticks());
    weft__add(&weft__sched.nlost, 1);
    weft__add(&weft__sched.taken, 1);
    weft__lane_lost(t, why == WEFT__BURNT);
    if (why == WEFT__BURNT || why == WEFT__STALLED) {
        weft__add(&weft__sched.nhogs, 1);
        weft__store(&w->hog_since, weft__mono());
        w->hog_cpu = weft__cpu_nanos(w->cpu_clock);
    }
    if (why == WEFT__BURNT) {
        weft__site_burned(t->fn);
    } else if (why == WEFT__IN_CALL) {
        weft__site_blocked(t->fn);
    } else if (why == WEFT__DECLARED) {
        weft__call_lasts(w);
    }
}

/* Takes p from w, and gives it to a spare. Returns whether it did. This is the taker's side of
 * weft__enter; scheduler.h has the argument. fn: the entry of the task that w seems to run. */
static bool take(weft__proc *p, weft__worker *w, weft_task_fn *fn, enum weft__why why)
{
    weft__worker *spare = weft__spare_get(fn);
    bool taken = false;

    if (!spare && !weft__orphans_may_be())
        return false;
    if (spare && why != WEFT__BURNT)
        weft__spare_ahead(fn);
    weft__lock(&w->lk, WEFT__RANK_RUNQ);
    if (weft__load(&w->p) == p && !w->lost) {
        weft__store(&w->take, 1);
        weft__fence_heavy();
        /* w's task is read after that: w may switch tasks before, but not afterwards. */
        if (weft__load_acq(&w->in_rt) == 0 && still(w, why)) {
            lose(p, w, why);
            taken = true;
        } else if (why != WEFT__BURNT) {
            weft__store(&w->take, 0);
        } /* else take stays 1, and the task yields at its next call */
    }
    weft__unlock(&w->lk);
    if (!taken) {
        if (spare)
            weft__spare_put(spare);
        return false;
    }
    set_slice(w->tid, why == WEFT__BURNT ? HOG_SLICE : WORKER_SLICE);
    if (spare) {
        give(p, spare);
        weft__spare_ahead(fn);
    } else {
        weft__orphans_add(p);
    }
    weft__supply_check();
    return true;
}

/* Returns whether the thread of w sits in a system call. Opens the file each time: with a thousand
 * such threads, open files would use up as many descriptors. */
static bool in_a_call(const weft__worker *w)
{
    char text[64], path[64];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", weft__load(&w->tid));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    if (n <= 0)
        return true; /* the kernel forbids to look: time alone decides then */
    text[n] = 0;
    return strncmp(text, "running", 7) != 0 && text[0] != '-';
}

/* Notes what p is doing, for the next round. */
static void note(weft__proc *p, weft__worker *w, uint32_t tick, int64_t now)
{
    p->seen_tick = tick;
    p->seen_owner = w;
    p->seen = now;
    p->cpu0 = weft__cpu_nanos(w->cpu_clock);
}

/* Offers the tasks in next and due of p to thieves, in place of p's owner w, which is outside the
 * runtime. The protocol is the one of take: either w sees take and waits for lk, or this sees that
 * w is inside the runtime, and does nothing. */
static void offer_next(weft__proc *p, weft__worker *w)
{
    uint32_t asked;

    weft__lock(&w->lk, WEFT__RANK_RUNQ);
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

/* Lets an idle processor have the tasks that wait in p while p's task runs on. */
static void help(weft__proc *p, weft__worker *w)
{
    if (weft__load(&weft__sched.nidle) == 0 || weft__runq_empty(&p->runq))
        return;
    if (weft__load(&p->runq.next) || weft__load(&p->runq.ndue))
        offer_next(p, w);
    weft__fence_full();
    weft__wake_one();
}

/* Computes how many tasks thieves should leave alone, from the switches of the last round. A move
 * to another CPU costs as much as a run of a microsecond or two. So with longer runs no task stays.
 * With shorter runs a few stay, since later runs may pay for the move. But if the queue runs dry
 * again and again, or most tasks end with their first run, as many stay as run within a quarter of
 * a millisecond. Moved tasks make the others slow, too, so that number is measured in one round of
 * TRIAL, in which all tasks stay. */
static void keep(weft__proc *p, uint32_t tick)
{
    uint32_t switches = tick - p->kept_tick;
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
    p->kept_tick = tick;
    p->seen_drains = drains;
    p->seen_ends = ends;
    weft__store(&p->runq.keep, n);
}

/* Returns whether t, the task of w, declared a call that has lasted for LIMIT_DECLARED. */
static bool declared(const weft__worker *w, const weft__task *t)
{
    return weft__call_declared(w, t) && weft__ticks() - weft__load(&t->since) >=
                                            weft__load(&weft__clock_ms) * LIMIT_DECLARED / MS;
}

/* Returns why p should be taken from its owner w, which runs t without a pause; WEFT__KEPT if it
 * should not. */
static enum weft__why judge(const weft__proc *p, const weft__worker *w, const weft__task *t,
                            int64_t now)
{
    weft_task_fn *fn = weft__load(&t->fn);
    int64_t burnt = weft__site_hogs(fn) ? LIMIT_KNOWN_HOG : LIMIT, kept = now - p->seen;
    int64_t sat = weft__site_blocks(fn) ? LIMIT_KNOWN_CALL : LIMIT, cpu = 0;

    if (declared(w, t))
        return WEFT__DECLARED;
    if (kept < burnt && kept < sat)
        return WEFT__KEPT;
    if (kept >= burnt)
        cpu = weft__cpu_nanos(w->cpu_clock) - p->cpu0;
    if (cpu >= burnt * 8 / 10)
        return WEFT__BURNT;
    if (kept >= sat && in_a_call(w))
        return WEFT__IN_CALL;
    if (kept < PATIENCE * burnt)
        return WEFT__KEPT;
    return cpu >= burnt / 8 ? WEFT__BURNT : WEFT__STALLED;
}

static bool timers_due(const weft__proc *p)
{
    int64_t next = weft__load_acq(&p->timers.next);

    return next != WEFT_FOREVER && next <= weft__nanos();
}

/* Looks at p, and takes it if there is a ground. A full round, each millisecond, also asks for a
 * full turn and counts switches. */
static void look(weft__proc *p, int64_t now, bool full)
{
    weft__worker *w = weft__load_acq(&p->owner);
    weft__task *t;
    uint32_t tick = weft__load(&p->tick);
    enum weft__why why;

    if (!w || weft__load_acq(&w->tid) == 0)
        return;
    if (full) {
        keep(p, tick);
        weft__store(&p->turn, tick); /* the next switch is a full turn: timers wait for one task */
    }
    t = weft__load_acq(&w->task);
    if (tick != p->seen_tick || w != p->seen_owner) {
        note(p, w, tick, now);
        if (!t || !declared(w, t))
            return;
    }
    help(p, w);
    why = weft__sched.handoff && t ? judge(p, w, t, now) : WEFT__KEPT;
    if (why != WEFT__KEPT && take(p, w, weft__load(&t->fn), why)) {
        weft__store(&p->seen_owner, NULL);
        if (why == WEFT__IN_CALL)
            monitor.blocked = now;
    } else if (t && timers_due(p)) {
        weft__store(&weft__sched.late, true);
    }
}

static void look_at_all(int64_t now)
{
    bool full = now - monitor.full >= FULL_ROUND;

    if (full)
        monitor.full = now;
    weft__store(&weft__sched.late, false);
    for (int i = 0; i < weft__load_acq(&weft__sched.nprocs); i++)
        look(&weft__sched.procs[i], now, full);
    if (weft__load(&weft__sched.late))
        weft__wake_one();
    weft__supply_tend(now);
    weft__lane_tend(now);
    weft__beside_tend(now);
}

static useconds_t pause_after(int64_t now)
{
    if (now - monitor.blocked < 5 * MS)
        return 100;
    return weft__hogs_known() ? 500 : 1000;
}

static bool everyone_idle(void)
{
    return weft__all_idle() && weft__load_seq(&weft__sched.nlost) == 0;
}

/* Sleeps until a processor runs; for at most `most` nanoseconds if that is not negative. */
static void doze(int64_t most)
{
    weft__store_seq(&weft__sched.monitor_asleep, 1);
    weft__fence_heavy();
    do {
        if (!everyone_idle() || weft__load(&monitor.stop))
            break;
        weft__futex_wait(&weft__sched.monitor_asleep, 1, most);
    } while (weft__load_acq(&weft__sched.monitor_asleep) && most < 0);
    weft__store_seq(&weft__sched.monitor_asleep, 0);
}

/* Gives memory of an earlier burst back. Returns the most nanoseconds that the monitor may sleep;
 * -1: any time. */
static int64_t tidy(int64_t now)
{
    int64_t most = weft__tasks_trim(now);

    if (weft__supply_surplus() && (most < 0 || most > 1000 * MS))
        most = 1000 * MS;
    return most;
}

/* Lets the number of processors follow the CPUs. While all sleep nobody looks. */
static void recount(int64_t now)
{
    if (!weft__sched.follows || now - monitor.counted < RECOUNT)
        return;
    monitor.counted = now;
    weft__procs_ask();
}

static void *monitor_main(void *arg)
{
    int idle_rounds = 0;
    int64_t most;

    (void)arg;
    prctl(PR_SET_NAME, "weft-monitor");
    prctl(PR_SET_TIMERSLACK, 1000UL);
    set_slice(0, WORKER_SLICE);
    while (!weft__load_acq(&monitor.stop)) {
        int64_t now = weft__mono();

        weft__clock_note();
        look_at_all(now);
        idle_rounds = everyone_idle() ? idle_rounds + 1 : 0;
        most = tidy(now);
        recount(now);
        if (idle_rounds >= IDLE_ROUNDS) {
            doze(most);
            idle_rounds = most < 0 ? 0 : IDLE_ROUNDS - 1;
        }
        usleep(pause_after(now));
    }
    return NULL;
}

void weft__monitor_start(void)
{
    memset(&monitor, 0, sizeof(monitor));
    monitor.counted = weft__mono();
    if (weft__thread_start(&monitor.thread, 0, monitor_main, NULL) != 0)
        weft__no_thread(weft__load(&weft__sched.nthreads));
    weft__tell_thread_made(NULL, NULL);
}

void weft__monitor_stop(void)
{
    weft__store_rel(&monitor.stop, true);
    weft__store_seq(&weft__sched.monitor_asleep, 0);
    weft__futex_wake(&weft__sched.monitor_asleep, 1);
    pthread_join(monitor.thread, NULL);
}
