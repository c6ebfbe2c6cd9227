/* SPDX-License-Identifier: MIT */
/* procs.c - the processors of a run: how many there are, how many run tasks, what decides that.
 *
 * Owns: weft__sched.procs, nprocs, active, procs_by and the limits that follow from them. Only
 * weft_run's thread writes them; any thread reads. Any thread calls the public functions.
 * Always: 1 <= active <= nprocs <= WEFT__PROCS_MAX; in a run nprocs only grows.
 *
 * The number of processors that run tasks follows the CPUs that the process may use, unless the
 * program or WEFT_PROCS fixed it. The monitor asks for a look every few seconds while tasks run.
 * The look is here, since reading the files of many cgroups may take a millisecond.
 *
 * A processor beyond `active` rests (sched/find.c). It keeps its thread and its loop, which may
 * watch sockets, but runs no task. So a smaller number costs no move of sockets or timers, and
 * takes effect within a millisecond. Processors are made when they are first needed: a machine may
 * have 64 times the CPUs of a quota. */
#include "runtime/run/procs.h"

#include "runtime/base/clock.h"
#include "runtime/base/env.h"
#include "runtime/run/cpus.h"
#include "runtime/sched/delay.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/spare.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CALLS = 10000, ROOM = (int)(WEFT__PROCS_MAX * sizeof(weft__proc)) };
enum { FILES = 8 /* descriptors that a loop needs, and some to spare */ };

static struct {
    int wanted;       /* atomic: by weft_procs_set; 0: the run's own number */
    int at_first;     /* the number that the run began with */
    bool hogs_follow; /* max_hogs was not given */
    bool asked_solo;  /* the first processor was asked to admit thieves */
    const char *by;   /* the source of at_first */
} number;

/* Returns the CPUs that this process may use, and says what bounds them. */
static int cpus(const char **by)
{
    bool by_quota;
    int n = weft__cpus(&by_quota);

    *by = by_quota ? "CPU quota of a cgroup" : "CPU affinity";
    return n < WEFT__PROCS_MAX ? n : WEFT__PROCS_MAX;
}

static int first_number(int asked)
{
    int n = asked > 0 ? asked : (int)weft__env_number("WEFT_PROCS", 1, WEFT__PROCS_MAX, 0);

    weft__sched.follows = n <= 0;
    if (weft__sched.follows)
        return cpus(&number.by);
    number.by = asked > 0 ? "weft_run_options" : "WEFT_PROCS";
    return n < WEFT__PROCS_MAX ? n : WEFT__PROCS_MAX;
}

/* Makes the next processor, which others see when nprocs has grown. is_live: tasks run. */
static weft__proc *make(bool is_live)
{
    int n = weft__sched.nprocs;
    weft__proc *p = &weft__sched.procs[n];

    p->index = (uint32_t)n;
    p->timers.next = WEFT_FOREVER;
    p->loop = weft__loop_new(is_live);
    weft__store(&weft__sched.max_threads, weft__sched.max_calls + n + 1);
    weft__store_rel(&weft__sched.nprocs, n + 1);
    return p;
}

/* Has n processors run tasks, from now on. */
static void use(int n, const char *by)
{
    weft__store(&weft__sched.procs_by, by);
    if (n != weft__sched.active)
        weft__store(&weft__sched.active_since, weft__ticks());
    weft__store_seq(&weft__sched.active, n);
    if (number.hogs_follow)
        weft__store(&weft__sched.max_hogs, n);
}

void weft__procs_make(const weft_run_options *o)
{
    int hogs = o->max_hogs;

    memset(&number, 0, sizeof(number));
    number.at_first = first_number(o->procs);
    weft__runq_solo = number.at_first == 1;
    weft__sched.max_calls = o->max_threads > 0 ? o->max_threads : CALLS;
    weft__sched.procs = weft__map(ROOM);
    if (!weft__sched.procs)
        weft__no_memory(NULL, "%d processors", number.at_first);
    for (int i = 0; i < number.at_first; i++)
        make(false);
    if (hogs <= 0)
        hogs = (int)weft__env_number("WEFT_HOGS", 1, INT32_MAX, 0);
    number.hogs_follow = hogs <= 0;
    weft__sched.max_hogs = hogs;
    use(number.at_first, number.by);
}

/* Runs on the owner of the only processor, outside of its queue: from here on there may be
 * thieves. */
static void admit_thieves(weft__proc *p, weft__mail *m)
{
    (void)p;
    (void)m;
    weft__store_rel(&weft__runq_solo, false);
    weft__procs_ask();
}

/* Returns whether the process has descriptors for another loop, which cannot be made in part. */
static bool has_files(void)
{
    int fds[FILES], n = 0;

    while (n < FILES && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    for (int i = 0; i < n; i++)
        close(fds[i]);
    return n == FILES;
}

/* Makes another processor while tasks run. Returns false if it cannot be made now. */
static bool add(void)
{
    static weft__mail mail = {.deliver = admit_thieves};
    weft__worker *w;

    if (weft__load_acq(&weft__runq_solo)) {
        if (!number.asked_solo)
            weft__proc_post(weft__sched.procs, &mail);
        number.asked_solo = true;
        return false;
    }
    w = has_files() ? weft__worker_new(NULL) : NULL;
    if (!w)
        return false;
    weft__store(&w->stays, true);
    weft__proc_give(make(true), w);
    return true;
}

/* The processors that may run tasks again are woken to look for some. Those that may not see it in
 * their next full turn, which comes within a millisecond. */
static void change(int n, const char *by)
{
    int before = weft__sched.active;

    while (weft__sched.nprocs < n && add())
        continue;
    if (n > weft__sched.nprocs)
        n = weft__sched.nprocs;
    if (n == before && by == weft__sched.procs_by)
        return;
    use(n, by);
    for (int i = before; i < n; i++)
        weft__proc_wake(&weft__sched.procs[i]);
}

void weft__procs_tend(void)
{
    const char *by = "weft_procs_set";
    int n;

    if (!weft__xchg(&weft__sched.recount, false))
        return;
    n = weft__load(&number.wanted);
    if (n == 0) {
        n = number.at_first;
        by = number.by;
        if (weft__sched.follows)
            n = cpus(&by);
    }
    change(n, by);
}

void weft__procs_free(void)
{
    for (int i = 0; i < weft__sched.nprocs; i++) {
        weft__timers_free(&weft__sched.procs[i].timers);
        weft__loop_free(weft__sched.procs[i].loop);
        weft__delay_end(&weft__sched.procs[i]);
    }
    munmap(weft__sched.procs, ROOM);
    weft__sched.procs = NULL;
    weft__sched.nprocs = 0;
    weft__store(&weft__sched.active, 0);
}

int weft_procs(void)
{
    weft__not_forked("weft_procs");
    return weft__load(&weft__sched.active);
}

int weft_procs_set(int n)
{
    int before;

    weft__enter("weft_procs_set");
    if (n < 0 || n > WEFT__PROCS_MAX)
        weft__panic("weft: weft_procs_set(%d): 0 to %d processors", n, WEFT__PROCS_MAX);
    before = weft__xchg(&number.wanted, n);
    weft__procs_ask();
    weft__exit();
    return before;
}
