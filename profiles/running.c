/* SPDX-License-Identifier: MIT */
/* running.c - the stacks of tasks that stay in user code, where no worker records them.
 *
 * A thread that burns CPU, or sits in a call that a signal does not disturb, is asked: the handler
 * walks without learning and keeps a copy of the stack. Of other calls /proc/self/task/TID/syscall
 * tells PC and SP. One asks at a time, the dumper. */
#include "running.h"

#include "../runtime/scheduler.h"
#include "../runtime/signals.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { COPY = 4096, LOOK = 100000 /* ns */ };

void weft__drop_entry(struct weft__walk *walk)
{
    if (walk->kept > 2 && walk->pcs[walk->kept - 1] - (uintptr_t)weft__ctx_entry < 32) {
        walk->kept -= 2;
        walk->depth -= 2;
    }
}

bool weft__stack_bounds(const weft__task *t, uintptr_t *lo, uintptr_t *hi)
{
    *lo = weft__load_acq(&t->ctx.lo);
    *hi = weft__load_acq(&t->ctx.hi);
    return *lo < *hi && weft__load(&t->ctx.lo) == *lo;
}

/* What a signal handler leaves for the dumper, the only one who asks. */
static struct {
    weft__task *wanted; /* atomic: whoever clears it decides: the handler answers, or is too late */
    uint32_t done;      /* atomic */
    struct weft__walk walk;
    uintptr_t lo, hi;
    unsigned char copy[COPY];
} directed;

/* async-signal-safe */
WEFT__NO_SANITIZE void weft__interrupted(weft__task *t, void *context)
{
    struct weft__regs r = weft__regs_of(context);
    uintptr_t lo = t->ctx.lo, hi = t->ctx.hi;
    weft__task *wanted = t;

    if (r.sp < lo || r.sp >= hi || !weft__cas(&directed.wanted, &wanted, NULL))
        return;
    t->worker->recording = true;
    weft__walk(&directed.walk, &r, lo, hi, (const void *)lo, false);
    directed.lo = directed.walk.at.sp & ~(uintptr_t)7;
    directed.hi = hi - directed.lo > COPY ? directed.lo + COPY : hi;
    if (directed.walk.missed && directed.lo >= lo && directed.lo < hi) {
        for (uintptr_t i = 0; i < directed.hi - directed.lo; i++)
            directed.copy[i] = *(unsigned char *)(directed.lo + i);
    }
    t->worker->recording = false;
    weft__store_rel(&directed.done, 1);
}

/* Asks the thread for its stack; false if it did not answer. */
static bool ask_thread(struct weft__walk *walk, weft__task *t, int tid)
{
    weft__task *wanted = t;

    weft__store(&directed.done, 0);
    weft__store_rel(&directed.wanted, t);
    if (weft__signals_interrupt(tid) == 0) {
        for (int i = 0; i < 200 && !weft__load_acq(&directed.done); i++)
            nanosleep(&(struct timespec){0, 50000}, NULL);
    }
    if (weft__cas(&directed.wanted, &wanted, NULL))
        return false;
    while (!weft__load_acq(&directed.done)) /* it is at it, in a handler */
        sched_yield();
    *walk = directed.walk;
    if (walk->missed)
        weft__walk_resume(walk, directed.lo, directed.hi, directed.copy);
    weft__drop_entry(walk);
    return true;
}

/* System calls that a signal with SA_RESTART does not disturb: read, write, accept, flock,
 * wait4, waitid, futex without timeout cannot be told apart, so it is not among them. */
static bool restarts(long nr)
{
    static const long calls[] = {0, 1, 17, 18, 19, 20, 43, 61, 73, 74, 75, 247, 288};

    for (unsigned i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        if (calls[i] == nr)
            return true;
    }
    return false;
}

/* The kernel says "running" of a thread that enters or leaves a call, too. Only one that burns CPU
 * is in user code for sure, and a signal cuts no call of its short. */
static bool burns(int tid)
{
    int clock = (int)(~(unsigned)tid << 3 | 6); /* the clock of that thread's CPU time */
    int64_t before = weft__cpu_nanos(clock);

    nanosleep(&(struct timespec){0, LOOK}, NULL);
    return weft__cpu_nanos(clock) - before > LOOK / 2;
}

void weft__look_at_thread(struct weft__record *r, struct weft__walk *walk, weft__task *t, int tid)
{
    char path[64], text[256];
    unsigned long long sp = 0, pc = 0;
    uintptr_t lo, hi;
    long nr = -1;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    walk->kept = walk->depth = 0;
    r->state = WEFT__REC_RUNNING;
    if (n > 0) {
        text[n] = 0;
        if (sscanf(text, "%ld %*x %*x %*x %*x %*x %*x %llx %llx", &nr, &sp, &pc) == 3)
            r->state = WEFT__REC_SYSCALL;
    }
    if ((r->state == WEFT__REC_RUNNING ? burns(tid) : restarts(nr)) && ask_thread(walk, t, tid))
        return;
    if (r->state == WEFT__REC_SYSCALL && weft__stack_bounds(t, &lo, &hi) && sp >= lo && sp < hi) {
        struct weft__regs regs = {.pc = pc, .sp = sp, .known = false};

        weft__walk(walk, &regs, lo, hi, (const void *)lo, true);
        weft__drop_entry(walk);
    }
}

/* Worker records live as long as the run. */
int weft__thread_of(const weft__task *t)
{
    int tid = 0;

    if (weft__load(&t->flags) & WEFT__FOREIGN)
        return 0;
    weft__lock(&weft__sched.lock);
    for (weft__worker *w = weft__sched.all; w && tid == 0; w = w->all) {
        if (weft__load(&w->task) == t)
            tid = weft__load(&w->tid);
    }
    weft__unlock(&weft__sched.lock);
    return tid;
}
