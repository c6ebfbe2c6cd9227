/* SPDX-License-Identifier: MIT */
/* beside.c - the CPUs that hogs run on beside the processors.
 *
 * Owns: the set of CPUs for hogs, and the CPUs of the workers' threads.
 * There is no lock: the monitor alone confines, and a worker's state word (below) decides between
 * the monitor and the worker. beside.h says which thread calls which function.
 *
 * Nothing in C stops a loop that makes no call, so more hogs than max_hogs may run beside the
 * processors (lane.c). While they do, the monitor confines them all to max_hogs of the CPUs that
 * the process may use. There the kernel makes them take turns, so they burn no more than max_hogs
 * CPUs, however many they are. The bound is on the CPUs that hogs use, not on the number of their
 * threads. On a machine with max_hogs CPUs or fewer, which is the default without a quota, there is
 * nothing to confine. Measured with eight endless loops at one processor on two CPUs: they
 * burnt 9.9 s of CPU in 5 s, and 5.2 s confined. Under a quota of half a CPU the kernel stopped the
 * process for 7.3 s in 5 s on two CPUs together, and for 3.4 s confined; a sleep of 20 ms was late
 * by 57 to 70 ms in the median, and by 1.2 to 2.4 ms confined.
 *
 * Other ways are worse. A hog that was stopped by a signal could hold a lock until its next turn,
 * and the signal would cut short the sleeps and polls of code that expects none. The nice value and
 * SCHED_IDLE cannot be undone without privileges. The set of a thread's CPUs can be; but threads
 * and children that a confined hog makes inherit it.
 *
 * The kernel cannot balance the confined hogs against the rest of the machine, so the set of CPUs
 * moves on, from a random one, every MOVE.
 *
 * A worker whose hog comes back frees itself:
 *   FREE -> READING -> MOVING -> CONFINED   the monitor; it frees the worker if a step fails
 *   CONFINED -> MOVING -> CONFINED          the monitor, to another set
 *   all others -> FREE                      the worker, which restores its CPUs if it was CONFINED
 * The monitor writes READING, then reads hog_since; the worker clears hog_since, then exchanges the
 * state. So no worker without a hog stays confined. The CPUs to be restored are known from MOVING
 * on: a hog may fork as soon as the kernel has confined it. CPUs that the program itself sets for a
 * thread meanwhile stay.
 */
#include "runtime/sched/beside.h"

#include <sched.h>
#include <string.h>

#define MS   INT64_C(1000000)
#define LAST (100 * MS)  /* how long there must be too many hogs, or few enough */
#define MOVE (1000 * MS) /* between two sets of CPUs */

enum { FREE, READING, MOVING, CONFINED };
enum { BATCH = 64 };

/* Written by weft__beside_start, then by the monitor alone. */
static struct {
    cpu_set_t allowed; /* to weft_run's caller */
    cpu_set_t set;     /* for hogs */
    int first;         /* the first of set, in the order of allowed */
    bool on;           /* hogs are confined */
    int64_t changed;   /* when on was last right */
    int64_t moved;
} beside;

static int count_allowed(void)
{
    return CPU_COUNT(&beside.allowed);
}

/* Makes set of max_hogs CPUs in a row, beginning with first. */
static void choose(int first)
{
    int n = count_allowed(), seen = 0;

    CPU_ZERO(&beside.set);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &beside.allowed))
            continue;
        if ((seen++ - first + n) % n < weft__load(&weft__sched.max_hogs))
            CPU_SET(cpu, &beside.set);
    }
    beside.first = first;
}

/* Restores the CPUs that w's thread had, unless the program has set others. */
static void restore(const weft__worker *w)
{
    cpu_set_t now;

    if (sched_getaffinity(w->tid, sizeof(now), &now) == 0 && CPU_EQUAL(&now, &w->confined_to))
        sched_setaffinity(w->tid, sizeof(w->cpus), &w->cpus);
}

/* Confines w's thread, which had w->cpus, to those of them that are in set. Returns false, with
 * nothing changed, if none of them is, all are, or the kernel refuses. */
static bool set_cpus(weft__worker *w)
{
    cpu_set_t to;

    CPU_AND(&to, &w->cpus, &beside.set);
    if (CPU_COUNT(&to) == 0 || CPU_EQUAL(&to, &w->cpus) ||
        sched_setaffinity(w->tid, sizeof(to), &to) != 0)
        return false;
    w->confined_to = to;
    return true;
}

/* Ends a step of the monitor: the worker is CONFINED if its hog is still there. */
static void settle(weft__worker *w, bool confined)
{
    uint32_t moving = MOVING;

    if (!weft__cas(&w->confined, &moving, confined ? CONFINED : FREE) && confined)
        restore(w);
}

static void confine(weft__worker *w)
{
    uint32_t reading = READING;
    bool found;

    if (weft__load(&w->confined) != FREE)
        return;
    weft__store_seq(&w->confined, READING);
    found = weft__load_seq(&w->hog_since) != 0 &&
            sched_getaffinity(w->tid, sizeof(w->cpus), &w->cpus) == 0;
    if (weft__cas(&w->confined, &reading, found ? MOVING : FREE) && found)
        settle(w, set_cpus(w));
}

/* Moves a confined worker to the new set. It keeps the old one if the new has none of its CPUs. */
static void move(weft__worker *w)
{
    uint32_t is = CONFINED;
    cpu_set_t now;

    if (!weft__cas(&w->confined, &is, MOVING))
        return;
    if (sched_getaffinity(w->tid, sizeof(now), &now) == 0 && CPU_EQUAL(&now, &w->confined_to))
        set_cpus(w);
    settle(w, true);
}

void weft__beside_left(weft__worker *w)
{
    if (weft__load_seq(&w->confined) != FREE && weft__xchg(&w->confined, FREE) == CONFINED)
        restore(w);
}

/* Collects workers whose task is a hog and whose id is below that; the list has the latest first.
 * Returns how many. */
static int find_hogs(uint32_t below, weft__worker *batch[BATCH])
{
    int n = 0;

    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (weft__worker *w = weft__sched.all; w && n < BATCH; w = w->all) {
        if (w->id < below && weft__load(&w->hog_since) != 0)
            batch[n++] = w;
    }
    weft__unlock(&weft__sched.lock);
    return n;
}

/* Calls fn for each worker whose task is a hog. Only the monitor, which calls this, and the end of
 * the run free such workers. */
static void each_hog(void (*fn)(weft__worker *w))
{
    weft__worker *batch[BATCH];
    uint32_t below = UINT32_MAX;
    int n = BATCH;

    while (n == BATCH) { /* a batch that is not full was the last */
        n = find_hogs(below, batch);
        for (int i = 0; i < n; i++) {
            fn(batch[i]);
            below = batch[i]->id;
        }
    }
}

/* Returns whether there have been too many hogs, or few enough, for LAST. */
static bool must_change(int64_t now)
{
    bool too_many = weft__load(&weft__sched.nhogs) > (uint32_t)weft__load(&weft__sched.max_hogs);

    if (too_many == beside.on)
        beside.changed = now;
    return now - beside.changed >= LAST;
}

void weft__beside_tend(int64_t now)
{
    if (weft__load(&weft__sched.max_hogs) >= count_allowed())
        return;
    if (must_change(now)) {
        beside.on = !beside.on;
        beside.changed = beside.moved = now;
        if (!beside.on)
            each_hog(weft__beside_left);
    }
    if (!beside.on)
        return;
    if (now - beside.moved >= MOVE) {
        beside.moved = now;
        choose((beside.first + weft__load(&weft__sched.max_hogs)) % count_allowed());
        each_hog(move);
    }
    each_hog(confine);
}

void weft__beside_start(void)
{
    memset(&beside, 0, sizeof(beside));
    if (sched_getaffinity(0, sizeof(beside.allowed), &beside.allowed) != 0)
        return; /* more CPUs than a cpu_set_t has: then count_allowed says 0 */
    choose((int)((uint64_t)weft__ticks() / 64 % (unsigned)count_allowed()));
    beside.changed = weft__mono();
}

void weft__beside_stop(void)
{
    each_hog(weft__beside_left);
}

/* async-signal-safe */
void weft__beside_forked(const weft__worker *w)
{
    if (weft__load_acq(&w->confined) >= MOVING)
        sched_setaffinity(0, sizeof(w->cpus), &w->cpus);
}
