/* SPDX-License-Identifier: MIT */
/* foreign.c - threads of the program that are not ours. The first call that needs it gives such a
 * thread a record of its own; it waits on a futex, and shows in dumps as locked to its thread.
 * The record goes back when the thread ends. While one is registered nothing is a deadlock. */
#include "local.h"
#include "observe.h"
#include "park.h"
#include "scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool forked;          /* in a child that has only the forking thread */
static uint32_t lock;        /* rank GROUP */
static weft__worker *listed; /* the threads known to this run, by next; guarded by lock */

/* False if w is known to an earlier run only. Under the lock. */
static bool unlist(const weft__worker *w)
{
    for (weft__worker **at = &listed; *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            return true;
        }
    }
    return false;
}

/* The thread ends, or calls in a later run than the one it is known to. */
static void detach(void *arg)
{
    weft__worker *w = arg;

    if (forked)
        return;
    if (weft__load_acq(&weft__sched.running))
        weft__store(&w->take, 0); /* a destroy function that calls in shall not come here again */
    if (w->task->locals)
        weft__locals_end(w->task);
    weft__task_foreign_free(w->task);
    weft__lock(&lock); /* the run that lists w does not end meanwhile */
    if (unlist(w)) {
        weft__sub(&weft__sched.outside, 1);
        weft__wake_one(); /* who sleeps may be all that is left: a deadlock */
    }
    weft__unlock(&lock);
    weft__self_set(NULL);
    weft__free(w);
}

static void in_child(void)
{
    forked = true;
    weft__self_set(NULL);
}

static void init(void)
{
    pthread_key_create(&key, detach);
    pthread_atfork(NULL, NULL, in_child);
}

void weft__foreign_init(void)
{
    pthread_once(&once, init);
}

/* weft_run's thread speaks for itself no more; its record must not outlive the run. */
void weft__foreign_leave(void)
{
    weft__worker *w = weft__self();

    if (!w || !w->foreign)
        return;
    pthread_setspecific(key, NULL);
    detach(w);
}

/* The run is over. Threads that are left find out at their next call, by take. */
void weft__foreign_stop(void)
{
    weft__worker *w;

    weft__lock(&lock);
    while ((w = listed) != NULL) {
        listed = w->next;
        weft__store_rel(&w->take, 1);
    }
    weft__unlock(&lock);
}

/* The thread's first call after the end of the run that knew it. */
weft__worker *weft__foreign_again(weft__worker *w, const char *call)
{
    pthread_setspecific(key, NULL);
    detach(w);
    return weft__attach(call);
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
    t->ctx.lo = (uintptr_t)lo;
    t->ctx.hi = (uintptr_t)lo + size;
}

weft__worker *weft__attach(const char *call)
{
    weft__worker *w;

    if (forked)
        weft__panic("weft: %s called in a forked child: only the forking thread lives there", call);
    if (!weft__load_acq(&weft__sched.running))
        weft__panic("weft: %s called outside weft_run", call);
    w = weft__alloc(1, sizeof(*w));
    w->foreign = true;
    w->in_rt = 1;
    w->fd_syscall = -1;
    w->tid = (int)syscall(SYS_gettid);
    w->random = (uint64_t)w->tid * UINT64_C(0x9e3779b97f4a7c15);
    w->task = weft__task_foreign();
    stack_bounds(w->task);
    w->task->worker = w;
    weft__lock(&lock);
    weft__add(&weft__sched.outside, 1);
    w->next = listed;
    listed = w;
    weft__unlock(&lock);
    pthread_setspecific(key, w);
    weft__self_set(w);
    return w;
}

/* As the scheduler does for its tasks: the new state first, then the epoch (observe.h). */
static void resumed(weft__task *t)
{
    weft__store(&t->on_cpu, 1);
    weft__store(&t->state, WEFT__RUNNING);
    weft__fence_light();
    if (weft__unrecorded(t, weft__load_acq(&weft__epoch)))
        weft__hooks.record(t, false);
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
            if (left <= 0 && weft__claim(t, wait->ticket, WEFT_ETIMEDOUT))
                break;
            if (left <= 0) { /* claimed by another, who is about to make us ready */
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

/* After the store of its state; t may be gone, but its memory never is. */
void weft__foreign_wake(weft__task *t)
{
    weft__futex_wake(&t->state, 1);
}
