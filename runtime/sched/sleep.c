/* SPDX-License-Identifier: MIT */
/* sleep.c - the sleep of a processor that has nothing to do, in its loop.
 *
 * Owns: when the next sleep ends, and the decision that nothing can wake a task any more. Only the
 * owner of the processor calls weft__proc_sleep, on its thread's own stack, with no lock held.
 * scheduler.h has the protocol of idle processors. */
#include "runtime/sched/fatal.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

enum { NAP = 100000, SHARED_NAP = 1000000 /* ns */ };

static bool work_anywhere(void)
{
    if (weft__global_len() > 0)
        return true;
    for (int i = 0; i < weft__load_acq(&weft__sched.nprocs); i++) {
        if (weft__runq_stealable(&weft__sched.procs[i].runq))
            return true;
    }
    return false;
}

static int64_t earliest_timer(void)
{
    int64_t least = WEFT_FOREVER;

    for (int i = 0; i < weft__load_acq(&weft__sched.nprocs); i++) {
        int64_t next = weft__load_acq(&weft__sched.procs[i].timers.next);

        if (next < least)
            least = next;
    }
    return least;
}

/* Returns whether p has work. A processor that rests has only the tasks that it must leave to
 * others. It may have been woken for the work of all, so it wakes another one. */
static bool has_work(const weft__proc *p)
{
    if (!weft__proc_rests(p))
        return work_anywhere();
    if (work_anywhere())
        weft__wake_one();
    return !weft__runq_empty(&p->runq);
}

/* Returns whether only a timer, or nothing at all, can wake a task. Sees all processors asleep
 * twice, with none up in between (idle_gen), and reads the earliest timer in between. */
static bool all_asleep(int64_t *when)
{
    uint32_t gen = weft__load_seq(&weft__sched.idle_gen);

    if (!weft__all_idle() || weft__load_seq(&weft__sched.nlost) > 0 || weft__held_count() > 0 ||
        weft__load_seq(&weft__sched.outside) > 0 || weft__load_seq(&weft__sched.stopping))
        return false;
    for (int i = 0; i < weft__load_acq(&weft__sched.nprocs); i++) {
        weft__proc *p = &weft__sched.procs[i];

        if (!weft__runq_empty(&p->runq) || weft__load_seq(&p->mail))
            return false;
    }
    *when = earliest_timer();
    return weft__global_len() == 0 && weft__load_seq(&weft__sched.idle_gen) == gen &&
           weft__all_idle();
}

/* All processors sleep: jumps the virtual clock, or reports a deadlock. */
static void nobody_left(int64_t when)
{
    if (when == WEFT_FOREVER) {
        weft__deadlock();
    } else if (weft__clock_virtual) {
        weft__clock_advance(when);
        for (int i = 0; i < weft__load_acq(&weft__sched.nprocs); i++)
            weft__proc_wake(&weft__sched.procs[i]);
    }
}

/* Returns how long p may sleep, in ns; -1: until it is woken. */
static int64_t sleep_time(weft__proc *p)
{
    int64_t next = weft__load(&p->timers.next), now;

    if (next == WEFT_FOREVER)
        return -1;
    now = weft__nanos();
    if (next <= now)
        return 0;
    return weft__clock_virtual ? -1 : next - now;
}

/* Shortens a sleep while processors without a thread wait for this one. */
static int64_t short_sleep(int64_t ns)
{
    bool shared = weft__load(&weft__sched.norphans) > 0;

    return shared && (ns < 0 || ns > SHARED_NAP) ? SHARED_NAP : ns;
}

/* Stretches a sleep. Where timers follow each other closely, each would cost a sleep. So after a
 * short sleep the next one is NAP at least: many timers share it, and are late by half of it. */
static int64_t nap(weft__proc *p, int64_t ns)
{
    int64_t last = p->slept;

    p->slept = ns;
    return ns > 0 && ns < NAP && last > 0 && last < NAP ? NAP : ns;
}

void weft__proc_sleep(weft__proc *p)
{
    int64_t when;

    weft__idle_join(p->index);
    weft__fence_heavy();
    if (!has_work(p) && !weft__load(&p->mail) && !weft__load(&weft__sched.stopping)) {
        if (all_asleep(&when))
            nobody_left(when);
        weft__tell(idle, weft__self());
        weft__loop_poll(p->loop, short_sleep(nap(p, sleep_time(p))));
        p->polled = weft__ticks();
    }
    weft__idle_leave(p->index);
    weft__monitor_kick();
}
