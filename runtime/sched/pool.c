/* SPDX-License-Identifier: MIT */
/* pool.c - threads for calls that block: weft_work, and the lookups of names (io/dns.c).
 *
 * Owns: the queues of jobs and the threads of both pools.
 * Lock: a pool's lock (rank GROUP) guards all its fields. Nothing under it can switch tasks, so it
 * is a pthread mutex, on which the pool's threads can wait.
 * Always, outside the lock:
 *   queued is the number of jobs in the queue, and of jobs admitted and not yet posted
 *   queued > idle implies that the pool has max threads, or that the kernel gave no more
 *
 * libuv has such a pool, but one for all kinds of calls, for which exit() waits. There a call that
 * hangs would keep the process, and a call that a task begins while the process exits would abort
 * it.
 *
 * A thread ends when it had no job for LINGER, or at the end of the run. Its record stays in
 * `threads` until another thread has joined it. A thread whose job outlasts the run is detached,
 * and frees the pool if it is the last one. */
#include "runtime/sched/pool.h"

#include "runtime/sched/park.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/thread.h"

#include <weft/error.h>
#include <weft/fd.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

enum { LINGER = 5 /* s */ };
/* The most threads for weft_work, by default and by the variable, and for names. Few for work, as
 * with libuv: it is CPU work more often than not. Many for names, which only wait. */
enum { WORKS = 4, WORKS_MAX = 1024, NAMES = 256 };

struct thread {
    struct thread *next; /* guarded by the pool's lock, as is ended */
    struct pool *pool;
    pthread_t id;
    bool ended; /* another thread should join it */
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t posted; /* a job, or the end of the run */
    pthread_cond_t left;   /* a thread has ended */
    weft__job *head, **tail;
    struct thread *threads;
    uint32_t queued, idle, nthreads, max;
    bool stopping;  /* the run is over: no job is begun */
    bool abandoned; /* only the threads have the pool: the last one frees it */
    const struct kind *kind;
};

static const struct kind {
    const char *name; /* of its threads */
    size_t stack;     /* 0: the system's default */
    int (*start)(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);
} kinds[WEFT__POOLS] = {
    [WEFT__POOL_WORK] = {"weft-work", 0, weft__thread_start_user},
    [WEFT__POOL_NAMES] = {"weft-names", 512 << 10, weft__thread_start},
};

static struct pool *pools[WEFT__POOLS]; /* set while no task runs */

static struct pool *pool_new(const struct kind *kind, uint32_t max)
{
    struct pool *p = weft__alloc(1, sizeof(*p));
    pthread_condattr_t attr;

    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->posted, &attr);
    pthread_cond_init(&p->left, &attr);
    pthread_condattr_destroy(&attr);
    p->tail = &p->head;
    p->kind = kind;
    p->max = max;
    return p;
}

static void pool_free(struct pool *p)
{
    pthread_cond_destroy(&p->posted);
    pthread_cond_destroy(&p->left);
    pthread_mutex_destroy(&p->lock);
    weft__free(p);
}

/* Returns how many threads weft_work may have: as many as libuv's pool would. */
static uint32_t works_max(void)
{
    const char *env = getenv("UV_THREADPOOL_SIZE");
    int n = env ? atoi(env) : 0;

    if (n <= 0)
        return WORKS;
    return n < WORKS_MAX ? (uint32_t)n : WORKS_MAX;
}

void weft__pools_start(void)
{
    pools[WEFT__POOL_WORK] = pool_new(&kinds[WEFT__POOL_WORK], works_max());
    pools[WEFT__POOL_NAMES] = pool_new(&kinds[WEFT__POOL_NAMES], NAMES);
}

/* Threads -------------------------------------------------------------------------------------- */

/* Waits for a job. Returns NULL if the thread should end. Caller holds p->lock. */
static weft__job *next_job(struct pool *p)
{
    struct timespec until;
    weft__job *j;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LINGER;
    p->idle++;
    while (!p->head && !p->stopping && rc == 0)
        rc = pthread_cond_timedwait(&p->posted, &p->lock, &until);
    p->idle--;
    j = p->head;
    if (!j || p->stopping)
        return NULL;
    p->head = j->next;
    if (!p->head)
        p->tail = &p->head;
    p->queued--;
    return j;
}

/* Panics when the program's code has ended the thread: the task that waits for the job would wait
 * for ever. */
static void vanish(void *arg)
{
    (void)arg;
    weft__panic("weft: pthread_exit called in weft_work");
}

static void run(weft__job *j)
{
    pthread_cleanup_push(vanish, NULL);
    j->run(j);
    pthread_cleanup_pop(0);
}

static void *thread_main(void *arg)
{
    struct thread *self = arg;
    struct pool *p = self->pool;
    weft__job *j;
    bool is_last;

    prctl(PR_SET_NAME, p->kind->name);
    pthread_mutex_lock(&p->lock);
    while ((j = next_job(p)) != NULL) {
        pthread_mutex_unlock(&p->lock);
        run(j);
        pthread_mutex_lock(&p->lock);
        j->ended(j, !p->stopping);
    }
    p->nthreads--;
    self->ended = true;
    is_last = p->abandoned && p->nthreads == 0;
    if (p->abandoned)
        weft__free(self);
    else
        pthread_cond_signal(&p->left);
    pthread_mutex_unlock(&p->lock);
    if (is_last)
        pool_free(p);
    return NULL;
}

/* Joins the threads that have ended, which is a matter of moments. Caller holds p->lock. */
static void join_ended(struct pool *p)
{
    struct thread **at = &p->threads, *t;

    while ((t = *at) != NULL) {
        if (!t->ended) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        pthread_join(t->id, NULL);
        weft__free(t);
    }
}

/* Starts another thread. Returns false if the kernel gives none. Caller holds p->lock. */
static bool add_thread(struct pool *p)
{
    struct thread *t = weft__alloc(1, sizeof(*t));

    join_ended(p);
    t->pool = p;
    if (p->kind->start(&t->id, p->kind->stack, thread_main, t) != 0) {
        weft__free(t);
        return false;
    }
    t->next = p->threads;
    p->threads = t;
    p->nthreads++;
    return true;
}

int weft__pool_admit(enum weft__pool which)
{
    struct pool *p = pools[which];
    bool made = false;
    int rc = 0;

    pthread_mutex_lock(&p->lock);
    p->queued++;
    if (p->queued > p->idle && p->nthreads < p->max)
        made = add_thread(p);
    if (p->nthreads == 0) {
        p->queued--;
        rc = WEFT_EAGAIN;
    }
    pthread_mutex_unlock(&p->lock);
    if (made)
        weft__tell_thread_made(NULL, NULL);
    return rc;
}

void weft__pool_post(enum weft__pool which, weft__job *j)
{
    struct pool *p = pools[which];

    j->next = NULL;
    pthread_mutex_lock(&p->lock);
    *p->tail = j;
    p->tail = &j->next;
    pthread_cond_signal(&p->posted);
    pthread_mutex_unlock(&p->lock);
}

bool weft__pool_take_back(enum weft__pool which, weft__job *j)
{
    struct pool *p = pools[which];
    weft__job **at;
    bool found;

    pthread_mutex_lock(&p->lock);
    for (at = &p->head; *at && *at != j; at = &(*at)->next)
        ;
    found = *at == j;
    if (found) {
        *at = j->next;
        if (!*at)
            p->tail = at;
        p->queued--;
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

/* The end -------------------------------------------------------------------------------------- */

/* Leaves the pool to its threads, of which the last frees it. Caller holds p->lock. */
static void abandon(struct pool *p)
{
    struct thread *t, *next;

    p->abandoned = true;
    for (t = p->threads; t; t = next) {
        next = t->next;
        pthread_detach(t->id);
    }
}

static bool pool_stop(struct pool *p, int64_t until)
{
    struct timespec at = {until / 1000000000, until % 1000000000};
    weft__job *j, *next;
    bool idle;

    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->posted);
    for (j = p->head; j; j = next) {
        next = j->next;
        j->ended(j, false);
    }
    while (p->nthreads > 0 && pthread_cond_timedwait(&p->left, &p->lock, &at) == 0)
        ;
    join_ended(p);
    idle = p->nthreads == 0;
    if (!idle)
        abandon(p);
    pthread_mutex_unlock(&p->lock);
    if (idle)
        pool_free(p);
    return idle;
}

bool weft__pools_stop(int64_t until)
{
    bool idle = true;

    for (int i = 0; i < WEFT__POOLS; i++) {
        idle &= pool_stop(pools[i], until);
        pools[i] = NULL;
    }
    return idle;
}

/* Work ----------------------------------------------------------------------------------------- */

struct work {
    weft__job job;
    weft__waiter wt;
    weft_task_fn *fn;
    void *arg;
};

static void work_run(weft__job *j)
{
    struct work *k = weft__container_of(j, struct work, job);

    k->fn(k->arg);
}

static void work_ended(weft__job *j, bool alive)
{
    struct work *k = weft__container_of(j, struct work, job);

    if (alive && weft__claim(k->wt.task, k->wt.ticket, 0))
        weft__ready(k->wt.task);
}

static void work_post(void *job)
{
    weft__pool_post(WEFT__POOL_WORK, job);
}

int weft_work(weft_task_fn *fn, void *arg)
{
    weft__worker *w = weft__enter("weft_work");
    struct work k = {.job = {.run = work_run, .ended = work_ended}, .fn = fn, .arg = arg};
    int rc;

    if (w->foreign) { /* it has no processor to give up */
        weft__exit();
        fn(arg);
        return 0;
    }
    rc = weft__pool_admit(WEFT__POOL_WORK);
    if (rc == 0) {
        weft__waiter_init(&k.wt, w->task);
        weft__park_outside(w->task, WEFT__WAIT_WORK, (void *)(uintptr_t)fn, work_post, &k.job,
                           WEFT_FOREVER);
    }
    weft__exit();
    return rc;
}
