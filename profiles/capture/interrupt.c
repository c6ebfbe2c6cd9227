/* SPDX-License-Identifier: MIT */
/* interrupt.c - see interrupt.h.
 *
 * Why no signal is sent: it may find the thread in a system call, whatever was seen before. Many
 * calls then end early, with EINTR in spite of SA_RESTART (sleeps, polls, sockets with a timeout,
 * semaphores), or short (a large write).
 *
 * So a timer on the thread's own CPU clock is set. The kernel looks at it in clock interrupts while
 * the thread has the CPU. Since Linux 5.9 it delivers the timer's signal at the thread's next
 * return to user mode: if the interrupt came inside a call, that is after the call, with its
 * result. (An older kernel makes the signal pending at once, which ends the call if it sleeps after
 * that.) The answer takes until the next clock interrupt, up to 4 ms at 250 Hz. A thread that does
 * not compute gives no answer.
 *
 * Owns: SLOTS slots for questions. A slot's memory is made when it is first needed and stays for
 * the life of the process, since a late handler may look at it. The state decides who may touch the
 * rest:
 *   FREE       no thread
 *   TAKEN      the thread that asks, which moved the state from FREE by a CAS
 *   ASKED      the thread that asks may end the question; the handler may begin to answer it
 *   ANSWERING  the handler, which moved the state from ASKED by a CAS
 *   STACK, OTHER  the thread that asks: there is an answer
 * A handler that comes after the question has ended finds the state not ASKED, and does nothing. */
#include "profiles/capture/interrupt.h"

#include "profiles/table/marks.h"
#include "profiles/walk/deferred.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sync/signals.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { SLOTS = 64, QUESTIONS = 4 };

/* No answer comes any more after so many ns of CPU time: ten interrupts even at 100 Hz. */
#define VAIN INT64_C(100000000)
/* After so many ns without CPU time a thread is taken to sit in a call. */
#define IDLE INT64_C(20000000)

enum state { FREE, TAKEN, ASKED, ANSWERING, STACK, OTHER };

struct weft__interrupt {
    uint32_t state; /* atomic */
    int tid;        /* atomic */
    struct weft__wanted wanted;
    timer_t timer;
    bool has_timer;
    int64_t cpu, since; /* when the question began: the thread's CPU time, and the time; ns */
    int questions;      /* answers so far that could not be finished; at most QUESTIONS */
    /* The answer, for state STACK. */
    weft__tags *tags; /* a reference */
    struct weft__deferred held;
};

static weft__interrupt *slots[SLOTS]; /* atomic */

/* The answer, in the handler ------------------------------------------------------------------- */

/* Answers a question in the handler, on the thread that runs t. Returns the new state.
 * async-signal-safe */
static WEFT__NO_SANITIZE uint32_t answer(weft__interrupt *a, weft__task *t,
                                         const ucontext_t *context)
{
    struct weft__regs r = weft__regs_of(context);
    uintptr_t lo = t->ctx.lo, hi = t->ctx.hi;

    if (weft__load(&a->tid) != t->worker->tid || a->wanted.not_that == t)
        return ASKED; /* the slot now asks another thread, or does not want this task */
    if ((a->wanted.only && a->wanted.only != t) || r.sp < lo || r.sp >= hi)
        return OTHER;
    r.exact = true;
    a->tags = weft__tags_ref(t->tags); /* which only this thread can replace */
    t->worker->recording = true;
    weft__deferred_begin(&a->held, &r, lo, hi);
    t->worker->recording = false;
    return STACK;
}

/* async-signal-safe */
WEFT__NO_SANITIZE void weft__interrupted(weft__task *t, void *context)
{
    for (int i = 0; t && i < SLOTS; i++) {
        weft__interrupt *a = weft__load_acq(&slots[i]);

        uint32_t state = ASKED;

        if (!a)
            return;
        if (weft__load(&a->tid) == t->worker->tid && weft__cas(&a->state, &state, ANSWERING))
            weft__store_rel(&a->state, answer(a, t, context));
    }
}

/* The question --------------------------------------------------------------------------------- */

static int64_t cpu_of(int tid)
{
    return weft__cpu_nanos(weft__cpu_clock_of(tid));
}

/* Returns whether the thread blocks the signal. It would then come later, perhaps inside a call
 * that unblocks it (ppoll), and end that. The mask is the 32nd field of the file; the name, the
 * second field, ends with the last ')'. */
static bool is_blocked(int tid, int signo)
{
    char path[64], text[512], *at, *save;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    at = strrchr(text, ')');
    at = at ? strtok_r(at + 1, " ", &save) : NULL;
    for (int field = 3; at && field < 32; field++)
        at = strtok_r(NULL, " ", &save);
    return at && (strtoull(at, NULL, 10) >> (signo - 1) & 1);
}

/* Makes a timer that fires at the thread's next clock interrupt, and again each ms of its CPU time.
 * Returns false if the kernel refuses. */
static bool set_timer(weft__interrupt *a, int tid, int signo)
{
    static const struct itimerspec at_once = {{0, 1000000}, {0, 1}};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signo};

    event.sigev_notify_thread_id = tid;
    a->has_timer = timer_create(weft__cpu_clock_of(tid), &event, &a->timer) == 0;
    return a->has_timer && timer_settime(a->timer, 0, &at_once, NULL) == 0;
}

/* Takes a free slot. Returns NULL if there is none, or if memory ran out. */
static weft__interrupt *take(void)
{
    for (int i = 0; i < SLOTS; i++) {
        weft__interrupt *a = weft__load_acq(&slots[i]), *made = NULL;
        uint32_t state = FREE;

        if (!a && (made = calloc(1, sizeof(*made))) != NULL) {
            if (weft__cas(&slots[i], &a, made))
                a = made;
            else
                free(made);
        }
        if (!a)
            return NULL;
        if (weft__cas(&a->state, &state, TAKEN))
            return a;
    }
    return NULL;
}

weft__interrupt *weft__interrupt_begin(int tid, struct weft__wanted wanted)
{
    int signo = weft__signals_ask();
    weft__interrupt *a = signo == 0 || is_blocked(tid, signo) ? NULL : take();

    if (!a)
        return NULL;
    weft__store(&a->tid, tid);
    a->wanted = wanted;
    a->cpu = cpu_of(tid);
    a->since = weft__mono();
    a->questions = 0;
    a->tags = NULL;
    weft__store_rel(&a->state, ASKED);
    if (set_timer(a, tid, signo))
        return a;
    weft__interrupt_end(a);
    return NULL;
}

/* Finishes the walk of an answer. Returns false if its copy of the stack was too short, and the
 * thread should answer once more. */
static bool complete(weft__interrupt *a)
{
    bool missed = a->held.walk.missed;

    weft__deferred_finish(&a->held);
    return !missed || a->held.walk.whole || ++a->questions == QUESTIONS;
}

enum weft__answer weft__interrupt_look(weft__interrupt *a)
{
    switch (weft__load_acq(&a->state)) {
    case STACK:
        if (complete(a))
            return WEFT__INTERRUPT_STACK;
        weft__tags_drop(a->tags);
        a->tags = NULL;
        weft__store_rel(&a->state, ASKED);
        return WEFT__INTERRUPT_OPEN;
    case OTHER:
        return WEFT__INTERRUPT_OTHER;
    default:
        return WEFT__INTERRUPT_OPEN;
    }
}

bool weft__interrupt_is_vain(const weft__interrupt *a)
{
    return cpu_of(a->tid) - a->cpu > VAIN;
}

bool weft__interrupt_is_idle(const weft__interrupt *a)
{
    return weft__mono() - a->since > IDLE && cpu_of(a->tid) == a->cpu;
}

void weft__interrupt_take(weft__interrupt *a, struct weft__walk *walk, weft__tags **tags)
{
    *walk = a->held.walk;
    weft__walk_close(walk);
    *tags = a->tags;
    a->tags = NULL;
}

void weft__interrupt_end(weft__interrupt *a)
{
    uint32_t state = ASKED;

    if (a->has_timer)
        timer_delete(a->timer);
    for (; !weft__cas(&a->state, &state, TAKEN) && state == ANSWERING; state = ASKED)
        sched_yield();
    weft__tags_drop(a->tags);
    a->tags = NULL;
    weft__store_rel(&a->state, FREE);
}
