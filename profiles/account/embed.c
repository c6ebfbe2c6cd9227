/* SPDX-License-Identifier: MIT */
/* embed.c - weft_start: a run on a thread of its own, and calls into it.
 *
 * Owns: the thread of weft_start, the signal for its end, and the calls that ends left behind.
 * Lock: host.lock, a pthread mutex, guards `thread` and `is_started`; no task runs under it.
 *
 * The run's main task does nothing but wait for weft_stop. It stands here, beside weft_run, for the
 * reason that run.c gives. */
#include "runtime/base/self.h"
#include "runtime/sched/scheduler.h"

#include <weft/embed.h>
#include <weft/sync.h>

#include <pthread.h>
#include <semaphore.h>

static struct {
    pthread_mutex_t lock;
    pthread_t thread;
    bool is_started;
    weft_run_options options;
    sem_t runs;     /* the main task has begun */
    weft_sema stop; /* weft_stop has been called */
} host = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool in_task(void)
{
    const weft__worker *w = weft__self();

    return w && !w->foreign;
}

static int wait_for_stop(void *arg)
{
    (void)arg;
    sem_post(&host.runs);
    return weft_sema_wait(&host.stop, 1);
}

static void *run(void *arg)
{
    (void)arg;
    weft_run_with(&host.options, wait_for_stop, NULL);
    return NULL;
}

static int start(void)
{
    if (host.is_started || weft__load(&weft__sched.running))
        weft__panic("weft: weft_start called while a run is under way");
    host.stop = (weft_sema){0};
    sem_init(&host.runs, 0, 0);
    weft__foreign_init();
    weft__foreign_expect(1);
    if (pthread_create(&host.thread, NULL, run, NULL) != 0) {
        weft__foreign_expect(-1);
        return WEFT_EAGAIN;
    }
    while (sem_wait(&host.runs) != 0)
        continue; /* a handler of the program interrupted it */
    host.is_started = true;
    return 0;
}

int weft_start(const weft_run_options *options)
{
    int rc;

    weft__not_forked("weft_start");
    if (in_task())
        weft__panic("weft: weft_start called in a task");
    pthread_mutex_lock(&host.lock);
    host.options = options ? *options : (weft_run_options){0};
    rc = start();
    pthread_mutex_unlock(&host.lock);
    return rc;
}

void weft_stop(void)
{
    weft__not_forked("weft_stop");
    if (in_task())
        weft__panic("weft: weft_stop called in a task");
    pthread_mutex_lock(&host.lock);
    if (!host.is_started)
        weft__panic("weft: weft_stop without a weft_start");
    weft_sema_add(&host.stop, 1);
    pthread_join(host.thread, NULL);
    weft__foreign_expect(-1);
    host.is_started = false;
    pthread_mutex_unlock(&host.lock);
}

/* Calls ---------------------------------------------------------------------------------------- */

struct call {
    weft_main_fn *fn;
    void *arg;
    int result;
    weft_waitgroup done;
    struct call *next; /* of those left behind */
};

/* Calls that the end of a run left behind. Their function may be in a C call, on a thread that is
 * left to it, so their records stay. */
static struct call *left_behind; /* atomic */

static void leave_behind(struct call *c)
{
    c->next = weft__load(&left_behind);
    while (!weft__cas(&left_behind, &c->next, c))
        continue;
}

static void call_main(void *arg)
{
    struct call *c = arg;

    c->result = c->fn(c->arg);
    weft_waitgroup_done(&c->done);
}

int weft_call(weft_main_fn *fn, void *arg)
{
    struct call *c;
    int rc;

    if (in_task())
        return fn(arg);
    weft__steps_begin("weft_call");
    c = weft__alloc(1, sizeof(*c));
    c->fn = fn;
    c->arg = arg;
    weft_waitgroup_add(&c->done, 1);
    weft_go(call_main, c);
    rc = weft_waitgroup_wait(&c->done);
    weft__steps_end();
    if (rc < 0) {
        leave_behind(c);
        return rc;
    }
    rc = c->result;
    weft__free(c);
    return rc;
}
