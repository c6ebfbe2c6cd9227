/* SPDX-License-Identifier: MIT */
/* foreign.c - threads of the program that call the library, but are not the runtime's.
 *
 * Owns: the list of these threads, their records as workers, and whether a run is open to them.
 * Lock: `lock` (rank GROUP) guards the list and `open`. The functions run on such a thread itself;
 * weft_run's thread opens and closes the run for them.
 *
 * The first call that needs it gives such a thread a record of its own, as a task has one. The
 * thread waits on a futex, and dumps show it as locked to its thread. The record goes back when the
 * thread ends. While one is registered no deadlock is reported: it may wake any task. Nor while a
 * thread is attached: it has said that it will call.
 *
 * A run is open to these threads from the moment at which it is ready until it stops. Then
 * weft__foreign_stop waits for threads that are in a call or about to end, so that nothing they do
 * reaches the next run. A later call is outside a run. A call of the library that enters the
 * runtime several times says so (weft__steps_begin), and is waited for as a whole. */
#include "runtime/base/handler.h"
#include "runtime/sched/beside.h"
#include "runtime/sched/errand.h"
#include "runtime/sched/keys.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/thread.h"

#include <weft/embed.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static uint32_t lock;          /* rank GROUP */
static bool open;              /* atomic; written under lock: threads may join the run */
static weft__worker *listed;   /* the threads known to this run, by next; guarded by lock */
static uint32_t joining;       /* threads that make their record in this run; guarded by lock */
static uint32_t expected;      /* attached threads, and starts of weft_start; guarded by lock */
static pthread_key_t attached; /* how often the thread is attached */

/* Finds the link to w; the end of the list if w is known to an earlier run only. Caller holds
 * lock. */
static weft__worker **place_of(const weft__worker *w)
{
    weft__check_holds(&lock);
    weft__worker **at = &listed;

    while (*at && *at != w)
        at = &(*at)->next;
    return at;
}

/* Holds the run that is under way until let_end. Returns false if none is open. */
static bool keep_open(void)
{
    bool is_open;

    weft__lock(&lock, WEFT__RANK_GROUP);
    is_open = open;
    joining += is_open;
    weft__unlock(&lock);
    return is_open;
}

static void let_end(void)
{
    weft__lock(&lock, WEFT__RANK_GROUP);
    joining--;
    weft__unlock(&lock);
}

/* Makes w a thread of the run that is under way, if it is not yet. Returns false if no run is
 * open. */
static bool enlist(weft__worker *w)
{
    bool known;

    weft__lock(&lock, WEFT__RANK_GROUP);
    known = *place_of(w) == w;
    if (!known && open) {
        weft__add(&weft__sched.outside, 1);
        w->next = listed;
        listed = w;
        known = true;
    }
    if (known)
        weft__store(&w->take, 0);
    weft__unlock(&lock);
    return known;
}

bool weft__foreign_any(bool (*is)(const weft__worker *w, const void *arg), const void *arg)
{
    weft__worker *w;

    weft__lock(&lock, WEFT__RANK_GROUP);
    for (w = listed; w && !is(w, arg);)
        w = w->next;
    weft__unlock(&lock);
    return w != NULL;
}

static void unlist(weft__worker *w)
{
    weft__worker **at;

    weft__lock(&lock, WEFT__RANK_GROUP); /* the run that lists w does not end meanwhile */
    at = place_of(w);
    if (*at) {
        *at = w->next;
        weft__sub(&weft__sched.outside, 1);
        weft__wake_one(); /* the tasks left may all be asleep: a deadlock */
    }
    weft__unlock(&lock);
}

/* Gives the record back: the thread ends, or calls in a later run than the one that knows it. The
 * destroy functions of its task-local values may call the library, too. */
static void detach(void *arg)
{
    weft__worker *w = arg;
    bool known;

    if (weft__forked)
        return;
    if (!w->foreign) /* the stack of its task could not be unwound (task.c) */
        weft__panic("weft: pthread_exit called in a task");
    /* The end of the run either waits for w or has let it go. */
    weft__lock(&lock, WEFT__RANK_GROUP);
    weft__store(&w->end, WEFT__GONE);
    known = *place_of(w) == w;
    weft__unlock(&lock);
    weft__store_rel(&w->in_rt, 0);
    if (w->task->locals)
        weft__locals_end(w->task);
    weft__task_foreign_free(w->task, known);
    unlist(w);
    weft__self_set(NULL);
    weft__free(w);
}

static void in_child(void)
{
    weft__worker *w = weft__self();

    weft__forked = true;
    weft__handlers_drop();
    if (w && !w->foreign) {
        weft__thread_unmask();
        weft__beside_forked(w);
    }
    weft__self_set(NULL);
}

static void in_parent(void)
{
    weft__worker *w = weft__self();

    if (w)
        weft__store(&w->stays, true);
}

void weft__foreign_expect(int n)
{
    weft__lock(&lock, WEFT__RANK_GROUP);
    expected += (uint32_t)n;
    if (weft__load(&open)) {
        weft__add(&weft__sched.outside, (uint32_t)n);
        if (n < 0)
            weft__wake_one(); /* the tasks left may all be asleep: a deadlock */
    }
    weft__unlock(&lock);
}

/* The thread ends. */
static void attached_end(void *times)
{
    (void)times;
    if (!weft__forked)
        weft__foreign_expect(-1);
}

static void init(void)
{
    pthread_key_create(&key, detach);
    pthread_key_create(&attached, attached_end);
    pthread_atfork(NULL, in_parent, in_child);
}

void weft__worker_lives(weft__worker *w)
{
    pthread_setspecific(key, w);
}

void weft__foreign_init(void)
{
    pthread_once(&once, init);
}

/* Gives back the record of weft_run's own thread, which must not outlive the run. */
void weft__foreign_leave(void)
{
    weft__worker *w = weft__self();

    if (!w || !w->foreign)
        return;
    pthread_setspecific(key, NULL);
    detach(w);
}

void weft__foreign_open(void)
{
    weft__lock(&lock, WEFT__RANK_GROUP);
    weft__add(&weft__sched.outside, expected);
    weft__store_rel(&open, true);
    weft__unlock(&lock);
}

/* Returns whether t waits for a task: nothing will end that wait any more. */
static bool waits_for_ever(const weft__task *t)
{
    uint64_t ticket = weft__load_acq(&t->ticket);
    uint32_t flags = weft__wait_flags(weft__load_acq(&t->reason));

    return (ticket & 1) && !(flags & (WEFT__WAIT_CANCELABLE | WEFT__WAIT_OUTSIDE)) &&
           weft__load_acq(&t->ticket) == ticket; /* or the flags are not those of that wait */
}

/* Returns whether w is inside the runtime, or between two steps, and will leave. */
static bool is_inside(weft__worker *w)
{
    return (weft__load_acq(&w->in_rt) || weft__load_acq(&w->in_steps)) && !waits_for_ever(w->task);
}

/* Returns whether a thread is left to wait for. is_late: threads that end have had their time, and
 * are not waited for. Caller holds lock. */
static bool anybody_left(bool is_late)
{
    weft__check_holds(&lock);
    if (joining > 0)
        return true;
    for (weft__worker *w = listed; w; w = w->next) {
        if (is_inside(w) || (!is_late && weft__load_acq(&w->end) != WEFT__ALIVE))
            return true;
    }
    return false;
}

static void stop_all(void)
{
    for (weft__worker *w = listed; w; w = w->next)
        weft__store_rel(&w->take, 1);
}

/* The workers have left the processors: delivers what threads that close a socket have posted to
 * them. */
static void deliver_all(void)
{
    for (int i = 0; i < weft__sched.nprocs; i++)
        weft__proc_deliver(&weft__sched.procs[i]);
}

/* Tells the threads that the run is over: cancels their waits, as far as they are cancelable. A
 * thread that does not wait finds out at its next call, by take. */
void weft__foreign_stop(int64_t until)
{
    weft__lock(&lock, WEFT__RANK_GROUP);
    weft__store(&open, false);
    for (weft__worker *w = listed; w; w = w->next)
        weft__store(&w->task->canceled, WEFT__CANCELED);
    stop_all();
    weft__fence_heavy(); /* the mark, or the open wait, is seen (group.c); take, or in_rt */
    for (weft__worker *w = listed; w; w = w->next)
        weft__cancel(w->task);
    while (anybody_left(weft__mono() > until)) {
        weft__unlock(&lock);
        weft__death_wait();
        deliver_all();
        usleep(100);
        weft__lock(&lock, WEFT__RANK_GROUP);
    }
    stop_all();
    listed = NULL;
    weft__unlock(&lock);
}

static void stack_bounds(weft__task *t)
{
    pthread_attr_t attr;
    void *lo;
    size_t size;

    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    pthread_attr_getstack(&attr, &lo, &size);
    pthread_attr_destroy(&attr);
    weft__store(&t->ctx.lo, (uintptr_t)lo);
    weft__store(&t->ctx.hi, (uintptr_t)lo + size);
}

void weft__forked_call(const char *call)
{
    weft__panic("weft: %s called in a forked child: only the forking thread lives there", call);
}

/* Returns a record for the calling thread, which keeps the run open; NULL if that begins to end. */
static weft__worker *record_new(void)
{
    weft__worker *w = weft__alloc(1, sizeof(*w));

    w->foreign = true;
    w->in_rt = 1;
    w->now = WEFT__UNKNOWN;
    w->tid = (int)syscall(SYS_gettid);
    w->random = (uint64_t)w->tid * UINT64_C(0x9e3779b97f4a7c15);
    weft__samplers_begin(w, w->random);
    w->task = weft__task_foreign();
    stack_bounds(w->task);
    w->task->worker = w;
    weft__tell(run, w->task, w);
    if (enlist(w))
        return w;
    weft__task_foreign_free(w->task, true);
    weft__free(w);
    return NULL;
}

/* Makes the calling thread known to the run. Returns NULL if no run is open. */
static weft__worker *join_run(const char *call)
{
    weft__worker *w;

    weft__not_forked(call);
    if (!weft__load_acq(&open) || !keep_open())
        return NULL;
    w = record_new();
    let_end();
    if (w) {
        pthread_setspecific(key, w);
        weft__self_set(w);
    }
    return w;
}

/* Enters again after the end of the run that knew the thread, in the destroy function of one of its
 * values, or between the steps of a call while the run ends. Returns NULL if no run is open. */
static weft__worker *join_again(weft__worker *w, const char *call)
{
    if (!enlist(w))
        return NULL;
    if (weft__load(&w->end) != WEFT__ALIVE || weft__load(&w->in_steps) > 0)
        return w;
    pthread_setspecific(key, NULL);
    detach(w);
    return join_run(call);
}

static weft__worker *or_panic(weft__worker *w, const char *call)
{
    if (!w)
        weft__panic("weft: %s called outside weft_run", call);
    return w;
}

weft__worker *weft__attach(const char *call)
{
    return or_panic(join_run(call), call);
}

weft__worker *weft__foreign_again(weft__worker *w, const char *call)
{
    return or_panic(join_again(w, call), call);
}

weft__worker *weft__enter_try(const char *call)
{
    weft__worker *w = weft__self();

    if (!w)
        return join_run(call);
    if (!w->foreign)
        return weft__enter(call);
    weft__store(&w->in_rt, 1);
    weft__fence_light();
    return weft__load_acq(&w->take) ? join_again(w, call) : w;
}

void weft__steps_begin(const char *call)
{
    weft__worker *w = weft__self();

    if (w && !w->foreign)
        return;
    w = weft__enter(call);
    weft__store(&w->in_steps, w->in_steps + 1);
    weft__exit();
}

void weft__steps_end(void)
{
    weft__worker *w = weft__self();

    if (w->foreign)
        weft__store_rel(&w->in_steps, w->in_steps - 1);
}

weft__task *weft__caller_new(const char *call)
{
    weft__worker *w = weft__attach(call);

    weft__store_rel(&w->in_rt, 0);
    return w->task;
}

/* Returns how often the calling thread, which may run no task, is attached. */
static uintptr_t times_attached(const char *call)
{
    const weft__worker *w = weft__self();

    weft__not_forked(call);
    if (w && !w->foreign)
        weft__panic("weft: %s called in a task", call);
    weft__foreign_init();
    return (uintptr_t)pthread_getspecific(attached);
}

void weft_attach(void)
{
    uintptr_t times = times_attached("weft_attach");

    pthread_setspecific(attached, (void *)(times + 1));
    if (times == 0)
        weft__foreign_expect(1);
}

void weft_detach(void)
{
    uintptr_t times = times_attached("weft_detach");
    weft__worker *w = weft__self();

    if (times == 0)
        weft__panic("weft: weft_detach of a thread that is not attached");
    pthread_setspecific(attached, (void *)(times - 1));
    if (times > 1)
        return;
    if (w) {
        pthread_setspecific(key, NULL);
        detach(w);
    }
    weft__foreign_expect(-1);
}

/* Resumes t as the scheduler does its tasks: the new state first, then the epoch (observe.h). */
static void resumed(weft__task *t)
{
    weft__store(&t->on_cpu, 1);
    weft__task_move(t, weft__load(&t->state), WEFT__RUNNING); /* PARKED: its deadline has passed */
    t->worker->now = WEFT__UNKNOWN;
    weft__tell(run, t, t->worker);
    weft__fence_light();
    if (weft__unrecorded(t, weft__load_acq(&weft__epoch)))
        weft__reporter->record(t, false);
}

struct wait {
    weft__task *task;
    uint64_t ticket;
    int64_t deadline;
};

/* Sleeps until the wait of the caller is claimed and the task made ready. At the deadline it
 * claims for itself. */
static void sleep_until_ready(void *arg)
{
    struct wait *wait = arg;
    weft__task *t = wait->task;
    int64_t deadline = wait->deadline, left = -1;

    weft__store_rel(&t->on_cpu, 0); /* dumps may walk the stack */
    while (weft__load_acq(&t->state) == WEFT__PARKED) {
        if (deadline != WEFT_FOREVER) {
            left = deadline - weft__nanos();
            if (left <= 0 && weft__claim(t, wait->ticket, WEFT_ETIMEDOUT)) {
                if (weft__heard(ready))
                    weft__tell_ready_by(t, WEFT__BY_TIMER);
                break;
            }
            if (left <= 0) { /* another thread has claimed the wait, and will make us ready */
                deadline = WEFT_FOREVER;
                left = -1;
            }
        }
        weft__futex_wait(&t->state, WEFT__PARKED, left);
    }
    resumed(t);
}

void weft__foreign_wait(weft__task *t, uint64_t ticket, int64_t deadline)
{
    struct wait wait = {t, ticket, deadline};
    int saved = errno;

    weft__ctx_call(&t->ctx.sp, sleep_until_ready, &wait);
    errno = saved;
}

/* Wakes the thread of t, after the store of its state. t may be gone, but its memory never is. */
void weft__foreign_wake(weft__task *t)
{
    weft__futex_wake(&t->state, 1);
}
