/* SPDX-License-Identifier: MIT */
/* running.c - the stacks of tasks that stay in user code, where no worker records them.
 *
 * A thread that burns CPU, or sits in a call that a signal does not disturb, is asked: the handler
 * walks without learning and keeps a copy of the stack. Of other calls /proc/self/task/TID/syscall
 * tells PC and SP. One asks at a time. */
#include "profiles/capture/running.h"

#include "profiles/table/marks.h"
#include "profiles/walk/held.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sync/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUESTIONS = 4 };
enum { LOOK = 100000 /* ns */, PATIENCE = 200, LOOKS = 100 * PATIENCE /* half looks */ };

void weft__drop_entry(struct weft__walk *walk)
{
    if (walk->kept > 2 && walk->pcs[walk->kept - 1] - (uintptr_t)weft__ctx_entry < 32) {
        walk->kept -= 2;
        walk->depth -= 2;
    }
}

static void insert(struct weft__walk *walk, uint32_t at, uintptr_t mark)
{
    memmove(walk->pcs + at + 1, walk->pcs + at, (walk->kept - at) * sizeof(walk->pcs[0]));
    walk->pcs[at] = mark;
    walk->kept++;
}

void weft__walk_close(struct weft__walk *walk)
{
    uint32_t guessed = walk->guessed, missing;

    if (walk->kept == 0)
        return;
    weft__drop_entry(walk);
    missing = walk->depth - walk->kept;
    if (missing > 0)
        insert(walk, WEFT__WALK_INNER, WEFT__MARK_CUT);
    if (guessed < walk->depth && missing > 0 && guessed >= WEFT__WALK_INNER)
        guessed =
            guessed < WEFT__WALK_INNER + missing ? WEFT__WALK_INNER + 1 : guessed - missing + 1;
    if (guessed < walk->depth)
        insert(walk, guessed, WEFT__MARK_GUESS);
    if (!walk->whole)
        walk->pcs[walk->kept++] = WEFT__MARK_CUT;
}

bool weft__stack_bounds(const weft__task *t, uintptr_t *lo, uintptr_t *hi)
{
    *lo = weft__load_acq(&t->ctx.lo);
    *hi = weft__load_acq(&t->ctx.hi);
    return *lo < *hi && weft__load(&t->ctx.lo) == *lo;
}

static WEFT__NO_SANITIZE void read_regs(struct weft__regs *r, const void *sp)
{
    void *const *words = sp;

    r->r15 = (uintptr_t)words[WEFT__CTX_R15];
    r->r14 = (uintptr_t)words[WEFT__CTX_R14];
    r->r13 = (uintptr_t)words[WEFT__CTX_R13];
    r->r12 = (uintptr_t)words[WEFT__CTX_R12];
    r->bx = (uintptr_t)words[WEFT__CTX_BX];
    r->bp = (uintptr_t)words[WEFT__CTX_BP];
    r->pc = (uintptr_t)words[WEFT__CTX_PC];
    r->sp = (uintptr_t)(words + WEFT__CTX_WORDS);
    r->known = true;
    r->exact = r->guess = false;
}

bool weft__regs_saved(struct weft__regs *r, const void *sp, uintptr_t lo, uintptr_t hi)
{
    uintptr_t at = (uintptr_t)sp;

    if (at < lo || at + WEFT__CTX_WORDS * sizeof(void *) > hi || at % sizeof(void *) != 0)
        return false;
    read_regs(r, sp);
    return true;
}

void weft__walk_saved(struct weft__walk *walk, const weft__task *t)
{
    struct weft__regs regs;
    uintptr_t lo, hi;

    walk->kept = walk->depth = 0;
    if (!weft__stack_bounds(t, &lo, &hi) ||
        !weft__regs_saved(&regs, weft__load(&t->ctx.sp), lo, hi))
        return;
    weft__walk(walk, &regs, lo, hi, (const void *)lo, true);
    weft__walk_close(walk);
}

/* The answer that a signal handler leaves for the asking thread. */
static struct {
    bool taken; /* atomic: a thread asks */
    weft__task
        *wanted;   /* atomic: cleared by the handler, which answers, or by the asker: too late */
    uint32_t done; /* atomic: enum answer */
    struct weft__held held;
} directed;

enum answer { NONE, STACK, ELSEWHERE };

/* Answers that the thread does not run the task (any more). The signal may be of an earlier
 * question about another task: then the present asker asks once more. async-signal-safe */
static void answer_elsewhere(void)
{
    weft__task *wanted = weft__load(&directed.wanted);

    if (wanted && weft__cas(&directed.wanted, &wanted, NULL))
        weft__store_rel(&directed.done, ELSEWHERE);
}

/* async-signal-safe */
WEFT__NO_SANITIZE void weft__interrupted(weft__task *t, void *context)
{
    struct weft__regs r = weft__regs_of(context);
    uintptr_t lo = t ? t->ctx.lo : 0, hi = t ? t->ctx.hi : 0;
    weft__task *wanted = t;

    r.exact = true;
    if (r.sp < lo || r.sp >= hi || !weft__cas(&directed.wanted, &wanted, NULL)) {
        answer_elsewhere();
        return;
    }
    t->worker->recording = true;
    weft__held_begin(&directed.held, &r, lo, hi);
    t->worker->recording = false;
    weft__store_rel(&directed.done, STACK);
}

/* The system call that a thread sits in, by the kernel. None: it runs, or waits for a CPU. */
enum { NO_CALL = -1, FORBIDDEN = -2 /* to look */ };
struct call {
    long nr;
    unsigned long long sp, pc;
};

static struct call call_of(int tid)
{
    struct call c = {.nr = NO_CALL};
    char path[64], text[256];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        c.nr = errno == EPERM || errno == EACCES ? FORBIDDEN : NO_CALL;
        return c;
    }
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%ld %*x %*x %*x %*x %*x %*x %llx %llx", &c.nr, &c.sp, &c.pc) != 3)
        c.nr = NO_CALL;
    return c;
}

/* The clock of that thread's CPU time. */
static int cpu_clock_of(int tid)
{
    return (int)(~(unsigned)tid << 3 | 6);
}

/* Waits for the answer of a thread. One that keeps the signal back shows it: it stays in its call,
 * or gets the CPU and does not answer; while it waits for a CPU, so do we. */
static void wait_for_answer(int tid)
{
    int64_t cpu = weft__cpu_nanos(cpu_clock_of(tid));

    for (int i = 0; i < LOOKS && !weft__load_acq(&directed.done); i++) {
        nanosleep(&(struct timespec){0, LOOK / 2}, NULL);
        if (i >= PATIENCE && i % PATIENCE == 0 &&
            (call_of(tid).nr >= 0 || weft__cpu_nanos(cpu_clock_of(tid)) - cpu > PATIENCE * LOOK))
            return;
    }
}

static enum answer ask(weft__task *t, int tid)
{
    weft__task *wanted = t;

    weft__store(&directed.done, NONE);
    weft__store_rel(&directed.wanted, t);
    if (weft__signals_interrupt(tid) == 0)
        wait_for_answer(tid);
    if (weft__cas(&directed.wanted, &wanted, NULL))
        return NONE;
    while (!weft__load_acq(&directed.done)) /* it is at it, in a handler */
        sched_yield();
    return weft__load_acq(&directed.done);
}

/* Asks the thread for its stack; false if it did not show it, or another thread asks just now. If
 * the walk missed, and ended with the copy, it is asked again: by now more rules are known. */
static bool ask_thread(struct weft__walk *walk, weft__task *t, int tid)
{
    bool shown = false, missed = true;

    if (weft__xchg(&directed.taken, true))
        return false;
    for (int i = 0; i < QUESTIONS && missed && ask(t, tid) == STACK; i++) {
        missed = directed.held.walk.missed;
        weft__held_finish(&directed.held);
        missed = missed && !directed.held.walk.whole;
        *walk = directed.held.walk;
        shown = true;
    }
    if (shown)
        weft__walk_close(walk);
    weft__store_rel(&directed.taken, false);
    return shown;
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
    int64_t before = weft__cpu_nanos(cpu_clock_of(tid));

    nanosleep(&(struct timespec){0, LOOK}, NULL);
    return weft__cpu_nanos(cpu_clock_of(tid)) - before > LOOK / 2;
}

void weft__look_at_thread(struct weft__record *r, struct weft__walk *walk, weft__task *t, int tid)
{
    struct call c = call_of(tid);
    bool asks = c.nr < 0 ? burns(tid) : restarts(c.nr);
    uintptr_t lo, hi;

    walk->kept = walk->depth = 0;
    r->state = c.nr < 0 ? WEFT__REC_RUNNING : WEFT__REC_SYSCALL;
    if (asks && ask_thread(walk, t, tid))
        return;
    if (c.nr == FORBIDDEN && !asks) /* it burns no CPU: so most likely it sits in a call */
        r->state = WEFT__REC_SYSCALL;
    if (c.nr >= 0 && weft__stack_bounds(t, &lo, &hi) && c.sp >= lo && c.sp < hi) {
        struct weft__regs regs = {.pc = c.pc, .sp = c.sp, .known = false};

        weft__walk(walk, &regs, lo, hi, (const void *)lo, true);
        weft__walk_close(walk);
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
