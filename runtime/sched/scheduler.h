/* SPDX-License-Identifier: MIT */
/* scheduler.h - processors, workers (OS threads that carry them), and what they share.
 *
 * A processor is a run queue, a heap of timers, a uv loop and a free list. Every field in it that
 * is not marked atomic belongs to the worker that owns the processor. So it moves from thread to
 * thread with the processor. A worker without a processor is a spare, or runs a task that lost its
 * processor.
 *
 * Taking a processor. in_rt is 1 while the worker is inside the runtime.
 *   The taker (the monitor) writes take, fences heavily, and has the processor if it reads in_rt 0.
 *   The worker that enters writes in_rt, fences lightly, and has lost the processor, or is asked to
 *   yield, if it reads take 1.
 * At least one of them sees the other's store. worker->lk (rank RUNQ) guards `lost`, and p while
 * the worker is outside the runtime. So every call that enters may return on another thread: read
 * weft__self() again after any call that may enter.
 *
 * The taker's fence is membarrier(2), so the worker's only stops the compiler. Without the fence
 * two threads ran one processor within seconds. A signal to the worker would not do: it does not
 * reach a thread in an uninterruptible call, and breaks other calls with EINTR. Measured on one
 * x86-64 machine: the ns of an entry and an exit in a tight loop, and after a store that misses the
 * cache; and the price that the taker pays:
 *   - a CAS to enter, a plain store to leave: 2.5 and 19.9; a CAS
 *   - a store, a load and a branch (used): 3.3 and 17.6; 0.35 us, 11 us beside a busy thread
 *   - the same with a sequentially consistent store (used where membarrier is missing): 3.3 and
 *     20.0; nothing
 *   - a signal to the thread: 3.6 in the loop; 233 us, up to 12 ms
 *
 * Two consequences reach the program: any call may return on another thread, and a processor is not
 * bound to a thread. Fast paths that touch only the object itself (an uncontended mutex, a buffered
 * channel on which no task waits) do not enter.
 *
 * Idle and wake. The worker of an idle processor sets the processor's bit in `idle`, fences
 * heavily, looks once more for work, and sleeps in the loop until the first timer. A worker that
 * makes work fences lightly. If no other worker is looking for work already, it clears one bit and
 * wakes that loop. At least one of them sees the other. Before a worker sleeps it looks for work
 * for some microseconds: a sleep and a wake-up across CPUs cost a hundred times as much as a look.
 * At most half as many workers look as are busy.
 *
 * Deadlock. The last worker to fall asleep jumps the virtual clock, or reports that all tasks are
 * asleep. That is so if every processor is idle, no task runs without one, nothing outside can wake
 * a task (descriptors, requests, signal channels, foreign threads), no timer is armed, and idle_gen
 * did not change during the check. */
#ifndef WEFT_SCHEDULER_H
#define WEFT_SCHEDULER_H

#include "runtime/base/clock.h"
#include "runtime/base/random.h"
#include "runtime/base/self.h"
#include "runtime/sched/runq.h"
#include "runtime/sched/task.h"
#include "runtime/uv/netpoll.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

enum { WEFT__PROCS_MAX = 256 };

/* A request to the owner of a processor. Any thread may post it. */
typedef struct weft__mail {
    struct weft__mail *next;
    void (*deliver)(struct weft__proc *p, struct weft__mail *m);
} weft__mail;

struct weft__proc {
    weft__runq runq;
    weft__timers timers;
    weft__loop *loop;
    weft__task *free; /* finished tasks with their stacks, hot first */
    uint32_t nfree;
    uint32_t index;
    uint32_t nsocks;     /* atomic: sockets bound to loop */
    int64_t polled;      /* ticks when the loop was last polled */
    uint32_t patience;   /* rounds of looking around before the next sleep */
    int64_t poll_after;  /* ticks after which it is polled though there is work */
    int64_t slept;       /* ns that the last sleep was to take at most */
    weft__worker *owner; /* atomic: NULL while it is being handed over */
    uint32_t tick;       /* atomic: goes up with every pick; written by the owner */
    uint32_t turn;       /* atomic: the tick of the next full turn; the monitor sets it to now */
    uint32_t turns;      /* owner: full turns so far */
    uint32_t spawns;     /* owner: tasks started here so far */
    uint32_t ends;       /* atomic: tasks that ended here so far; written by the owner */
    weft__proc *next;    /* of those without a thread; guarded by sched.lock */
    uint32_t mail_lock;  /* rank RUNQ */
    weft__mail *mail;    /* atomic; newest first; guarded by mail_lock */

    struct weft__delay { /* delay.h */
        int fd;          /* owner: the file of that thread */
        int thread;      /* atomic: the latest that looked; 0: none, or its file is closed */
        int64_t looked;  /* owner: ticks of the latest look */
        uint64_t latest; /* atomic, written by the owner: ns of delay at the latest look */
    } delay;

    /* The monitor's notes on what the owner has been doing. */
    uint32_t seen_tick, seen_drains, seen_ends;
    uint32_t kept_tick, fine_rounds, undisturbed; /* see keep */
    int64_t seen, cpu0;
    weft__worker *seen_owner;
};

/* Says why a task leaves its stack by a context switch. */
enum weft__leave { WEFT__LEAVE_PARK, WEFT__LEAVE_YIELD, WEFT__LEAVE_EXIT, WEFT__LEAVE_LOST };

/* A value of worker.now that makes the next wait look infinitely long, which forces the slow path
 * of weft__park: there the clock is read. */
#define WEFT__UNKNOWN INT64_MAX

typedef void weft__after(void *arg);

struct weft__worker {
    uint32_t in_rt __attribute__((aligned(64))); /* atomic */
    uint32_t take;                               /* atomic */
    uint32_t call_place; /* atomic: where the latest call was declared; blocking.c */
    int64_t call_began;  /* atomic: when, or 0; it goes on while task->since is the same */
    weft__task *task;    /* atomic: the task that runs here; NULL on the thread's own stack */
    weft__proc *p;       /* atomic; guarded by lk while in_rt == 0 */

    /* Left for the next context by the one that switched away. */
    weft__task *prev;
    enum weft__leave leave;
    weft__after *after; /* releases prev's lock once prev has left its stack; NULL after that */
    void *after_arg;
    weft__task *picked; /* to be run next by the worker's own context */
    bool begun;         /* picked is already marked running */
    uint8_t source;     /* enum weft__source: why the thread's own stack makes tasks ready */
    uint32_t telling;   /* atomic; these three: sinks.c */
    uint32_t left_tick;
    uint64_t left;
    uint64_t random;
    int64_t now; /* ticks when task began to run, or WEFT__UNKNOWN */
    struct weft__sampler {
        int64_t left;   /* atomic: ticks of waiting until the next sample */
        int64_t period; /* atomic: from one to the next; the owner makes it longer than was asked
                         * for while it would sample too often */
        int64_t since;  /* when kept was 0 */
        uint32_t kept;
    } waits, charges, pairs; /* observe.h */

    weft__ctx ctx; /* the thread's own stack */

    uint32_t lk __attribute__((aligned(64)));
    uint32_t lost; /* guarded by lk: not 0: taken, the worker does not know yet; enum weft__why */
    uint32_t wake; /* futex: 1 when p was given, or the end has come */
    int *errno_at;
    struct weft__eh *eh; /* of the thread (eh.h); NULL without C++ */

    bool foreign;       /* a thread that is not ours: no processor, task is its stand-in */
    uint8_t in_steps;   /* atomic: how many calls of several steps it is in (foreign.c) */
    bool recording;     /* this thread only: in the reporter */
    uint32_t end;       /* atomic: enum weft__end; the second to store frees the worker */
    weft__task *pinned; /* atomic: the task tied to this thread, or NULL */
    weft__worker *next; /* spares; guarded by sched.lock. Foreign ones: by foreign.c */
    weft__worker *all;  /* every worker ever made in this run */
    pthread_t thread;
    int tid;
    int cpu_clock;
    bool stays;         /* atomic: it must not end before the run does: see spare.c */
    int64_t hog_since;  /* atomic: when its task lost its processor as a hog; 0: it did not */
    int64_t hog_cpu;    /* its CPU time then; guarded by lk */
    int64_t lost_since; /* atomic: ticks when its task lost its processor; 0: it did not */
    uint32_t confined;  /* atomic; these three: beside.c */
    cpu_set_t cpus, confined_to;
    void *made;         /* atomic: by what stack the thread was made (profiles/account) */
    const void *tables; /* atomic: the tables that count a wait at the moment (profiles/account) */
    struct weft__ring
        *ring; /* this thread only, as the next: its events go there (profiles/trace) */
    uint32_t ring_age;
    uint64_t delay_seen; /* this thread only: ns of its delay at its latest look (delay.h) */
    void *altstack;
    uint32_t id;
};

/* Why a processor was taken: it was not (KEPT); its task burnt CPU; sat in a system call; declared
 * a blocking call; or did not enter the runtime for another reason. */
enum weft__why { WEFT__KEPT, WEFT__BURNT, WEFT__IN_CALL, WEFT__DECLARED, WEFT__STALLED };

enum weft__end { WEFT__ALIVE, WEFT__GONE, WEFT__ABANDONED };

struct weft__sched {
    int nprocs;           /* atomic: processors made so far; run/procs.c has the rule */
    int active;           /* atomic: the first so many of them run tasks, the others rest */
    int64_t active_since; /* atomic: ticks of the latest change of active; stored before it */
    const char *procs_by; /* atomic: the source of active, for dumps */
    bool follows;         /* active follows the CPUs: the monitor asks for a look now and then */
    bool recount;         /* atomic: such a look is due */
    weft__proc *procs;    /* room for WEFT__PROCS_MAX */
    bool running;         /* atomic: a weft_run is under way */
    bool stopping;        /* atomic: main has returned */
    bool handoff, signals;
    /* Each atomic: a sink wants to hear this event (sinks.h). */
    struct weft__heard {
        bool spawn, run, park, yield, ready, skip, lost, end, tagged;
        bool call, called, idle, note, sock_open, sock_close, chan_new, chan_free;
    } heard;
    void *(*work)(void *worker); /* the function of a worker's thread: weft__worker_main */
    int max_calls;               /* tasks that may sit in calls at once, each with a thread */
    int max_threads;             /* atomic: nprocs + max_calls */
    int max_hogs;                /* atomic: see nhogs */
    uint32_t lock; /* rank RUNQ: spares, all; nspares and nthreads are read without it */
    weft__worker *spares, *all;
    uint32_t nspares, nthreads;
    weft__proc *orphans; /* processors without a thread, see spare.c; guarded by lock */
    uint32_t norphans;   /* atomic; written under lock */
    uint32_t ids;        /* guarded by lock: of workers so far */
    uint32_t nlost;      /* atomic: tasks that run without a processor */
    uint32_t nhogs;      /* atomic: those of them that sit in no call */
    bool late;           /* atomic: a processor whose task goes on has timers that are due */
    uint32_t taken;      /* atomic: hand-offs so far; for tests and dumps */
    uint32_t nspinning;  /* atomic: workers that look for work before they sleep */
    uint32_t nidle;      /* atomic: at least the number of bits in idle */
    uint32_t idle_gen;   /* atomic: goes up before a processor gets up */
    uint64_t idle[WEFT__PROCS_MAX / 64]; /* atomic: processors asleep in their loops */
    uint32_t outside;        /* atomic: waits, requests and threads that can still wake a task */
    uint32_t monitor_asleep; /* atomic, futex */
    int result;
    void *runner;   /* weft_run's context, which stands while the run lasts */
    uint64_t chaos; /* seed; 0: off */
};

extern WEFT__HIDDEN struct weft__sched weft__sched;
/* Of the run under way, or of the last one; the first has 1. */
extern WEFT__HIDDEN uint32_t weft__run_number;

/* switch.c */
weft__worker *weft__enter_slow(const char *call);
/* Leaves the stack of w's task and runs other tasks. Returns when the task runs again, with the
 * worker that it then runs on. */
weft__worker *weft__switch_away(weft__worker *w, enum weft__leave how);
/* Runs t, and the tasks that follow it, until one switches back to w's own stack; finishes for that
 * task. Returns it if it came back without its processor; else NULL. */
weft__task *weft__switch_to(weft__worker *w, weft__task *t);
bool weft__asks(const weft__task *t); /* whether t must ask at a gate (lane.h) before it runs */
void weft__in_a_call(const char *call) WEFT__NORETURN; /* panics: a declared call is under way */
void weft__yield(weft__task *t);                       /* the caller, in the runtime */
/* Yields between pieces of a long work; due timers go first. */
void weft__breathe(weft__task *t);

/* scheduler.c */
void weft__wake_one(void); /* wakes an idle processor, if no worker looks for work already */
bool weft__all_idle(void); /* every processor sleeps, or is about to */
void weft__idle_join(uint32_t index);  /* owner: sets the processor's idle bit */
bool weft__idle_leave(uint32_t index); /* clears it; returns true if this call did */
void weft__proc_wake(weft__proc *p);
void weft__proc_post(weft__proc *p, weft__mail *m);
void weft__proc_deliver(weft__proc *p); /* owner: delivers the mail, the oldest first */
/* Takes back mail. Returns false if the owner has begun to deliver it. */
bool weft__proc_unpost(weft__proc *p, const weft__mail *m);
void weft__proc_give(weft__proc *p, weft__worker *w);

/* Returns whether p runs no tasks: there are enough other processors. Its loop and its timers work
 * on. Any thread; a worker acts on it in its next full turn. */
static inline bool weft__proc_rests(const weft__proc *p)
{
    return weft__unlikely((int)p->index >= weft__load_seq(&weft__sched.active));
}

/* find.c. Takes a full turn for w, which has a processor. Returns NULL after a sleep, and at the
 * end. */
weft__task *weft__find_work(weft__worker *w);
/* sleep.c. Sleeps until p, which the caller owns, may have work. */
void weft__proc_sleep(weft__proc *p);
/* worker.c. The function of a worker's thread; arg is the worker. */
void *weft__worker_main(void *arg);

/* spare.c */
/* Makes a worker and its thread. NULL: the kernel gives no thread. made_for: see observe.h. */
weft__worker *weft__worker_new(weft_task_fn *made_for);
void weft__worker_unlist(weft__worker *w); /* takes w out of sched.all */

/* foreign.c */
weft__worker *weft__attach(const char *call);
weft__task *weft__caller_new(const char *call);
void weft__forked_call(const char *call) WEFT__NORETURN;
weft__worker *weft__enter_try(const char *call); /* as weft__enter, but NULL where that panics */
/* Begin and end a call that enters the runtime several times: if the calling thread is no task, the
 * run does not end between two of the steps. Once it is ending, each wait that can be canceled ends
 * with WEFT_ECANCELED. They nest. */
void weft__steps_begin(const char *call);
void weft__steps_end(void);
void weft__foreign_init(void);
/* n: 1, one more thread may wake tasks, so no deadlock is reported; -1, one fewer. In a run or not.
 */
void weft__foreign_expect(int n);
void weft__worker_lives(weft__worker *w); /* the end of its thread is a panic; NULL: no more */
void weft__foreign_open(void);            /* the run is ready for other threads' calls */
void weft__foreign_leave(void);
/* Keeps other threads out of the runtime, and waits until `until` for those inside. */
void weft__foreign_stop(int64_t until);
weft__worker *weft__foreign_again(weft__worker *w, const char *call);
void weft__foreign_wait(weft__task *t, uint64_t ticket, int64_t deadline);
void weft__foreign_wake(weft__task *t);
/* Returns whether is holds for any thread that is known to the run. */
bool weft__foreign_any(bool (*is)(const weft__worker *w, const void *arg), const void *arg);

/* blocking.c */
/* Declares a call of the runtime's own, which weft__blocking_back, or any other call of the
 * library, ends. Returns false where threads are short, and where a declaration has no effect. */
bool weft__blocking_try(void);
void weft__blocking_back(void);
void weft__call_lasts(const weft__worker *w); /* the declared call under way on w lasts */

/* Returns whether a declared call is under way on w, which runs t. */
static inline bool weft__call_declared(const weft__worker *w, const weft__task *t)
{
    int64_t began = weft__load_acq(&w->call_began);

    return began != 0 && began == weft__load(&t->since);
}

/* done.c */
void weft__done_init(void);
void weft__done_kick(void);                 /* wakes weft_run's thread */
void weft__procs_ask(void);                 /* has it look at the number of processors */
void weft__done_wait(const sigset_t *mask); /* that thread's wait, with this mask */

/* monitor.c */
void weft__monitor_start(void);
void weft__monitor_stop(void);

/* Wakes the monitor, which sleeps while nothing runs (doze in monitor.c). */
static inline void weft__monitor_kick(void)
{
    if (weft__unlikely(weft__load(&weft__sched.monitor_asleep)) &&
        weft__xchg(&weft__sched.monitor_asleep, 0))
        weft__futex_wake(&weft__sched.monitor_asleep, 1);
}

/* Calls that enter, or ask which task calls, fail in a child of fork since weft__self returns NULL;
 * the others begin with this. */
static inline void weft__not_forked(const char *call)
{
    if (weft__unlikely(weft__forked))
        weft__forked_call(call);
}

/* Enters the runtime. call is the public function's name, for the panic of a caller that may not
 * call it. */
static inline weft__worker *weft__enter(const char *call)
{
    weft__worker *w = weft__self();

    if (weft__unlikely(!w))
        return weft__attach(call);
    weft__store(&w->in_rt, 1);
    weft__fence_light();
    if (weft__unlikely(
            weft__load_acq(&w->take))) /* acquire: a 0 shows all that a taker did before */
        return weft__enter_slow(call);
    return w;
}

/* Returns the calling task, for callers that need no worker. */
static inline weft__task *weft__caller(const char *call)
{
    weft__worker *w = weft__self();

    return weft__likely(w != NULL) ? w->task : weft__caller_new(call);
}

/* Leaves the runtime. From here on the processor may be taken. */
static inline void weft__exit(void)
{
    weft__store_rel(&weft__self()->in_rt, 0);
}

/* Leaves the runtime for t, the caller, which knows its worker without a thread-local. */
static inline void weft__exit_as(weft__task *t)
{
    weft__store_rel(&t->worker->in_rt, 0);
}

/* Leaves the runtime for t after an operation that may have succeeded without a wait, and yields if
 * a full turn is due. A task that finds its socket ready each time would never switch, and timers
 * would wait as long. */
static inline void weft__exit_fairly(weft__task *t)
{
    const weft__proc *p = t->worker->p;

    if (weft__unlikely(p && (int32_t)(p->tick - weft__load(&p->turn)) >= 0))
        weft__yield(t);
    weft__exit_as(t);
}

#endif
