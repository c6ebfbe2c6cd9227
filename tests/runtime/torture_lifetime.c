/* SPDX-License-Identifier: MIT */
/* torture_lifetime.c - objects are freed as soon as a call has shown that they are idle.
 *
 * Each scene makes an object, lets tasks and a foreign thread use it against each other, and frees
 * it, or leaves its stack frame, as early as the rules allow. If the runtime touches it after that,
 * AddressSanitizer or ThreadSanitizer reports it, or in other builds the junk that freed memory is
 * filled with breaks the scene. */
#include "torture.h"

#include "runtime/sched/park.h"

#include <weft/chan.h>
#include <weft/select.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

#include <string.h>

enum { STAGES = 8 };

static uint64_t scenes;   /* atomic */
static unsigned attached; /* atomic: foreign threads that weft knows: no deadlock from then on */
static weft_chan *to_foreign; /* of struct job: work for the foreign threads */

struct job {
    void (*fn)(void *arg);
    void *arg;
};

static void junk(void *p, size_t n)
{
    memset(p, 0xa5, n);
    free(p);
}

/* Half of the partners are tasks, half are foreign threads. */
static void elsewhere(uint64_t *r, void (*fn)(void *arg), void *arg)
{
    struct job job = {fn, arg};

    if (torture_random(r, 2))
        weft_go(fn, arg);
    else
        EXPECT(weft_chan_send(to_foreign, &job) == 0);
}

static void *foreigner(void *arg)
{
    struct job job;

    (void)arg;
    weft_task_id();
    torture_add(&attached, 1);
    while (weft_chan_recv(to_foreign, &job) == 0)
        job.fn(job.arg);
    return NULL;
}

/* Channels: after the last receive no task needs them, so it frees them. */

static void send_one(void *c)
{
    int v = 7;

    EXPECT(weft_chan_send(c, &v) == 0);
}

static void close_it(void *c)
{
    weft_chan_close(c);
}

static void scene_chan(uint64_t *r)
{
    weft_chan *c = weft_chan_new(sizeof(int), torture_random(r, 2));
    weft_case on[2] = {weft_on_recv(NULL, NULL), weft_on_recv(c, NULL)};
    int v = 0;

    elsewhere(r, send_one, c);
    if (torture_random(r, 2))
        EXPECT(weft_chan_recv(c, &v) == 0 && v == 7);
    else
        EXPECT(weft_select(on, 2) == 1);
    weft_chan_free(c);
}

static void scene_close(uint64_t *r)
{
    weft_chan *c = weft_chan_new(sizeof(int), 0);

    elsewhere(r, close_it, c);
    EXPECT(weft_chan_recv(c, NULL) == WEFT_ECLOSED);
    weft_chan_free(c);
}

/* Locks: the last task to leave frees them. */

struct locked {
    weft_mutex mutex;
    weft_rwmutex rw;
    weft_cond cond;
    int users;
    bool flag;
};

static struct locked *locked_new(int users)
{
    struct locked *k = calloc(1, sizeof(*k));

    k->users = users;
    return k;
}

static void use_mutex(void *arg)
{
    struct locked *k = arg;
    bool last;

    weft_mutex_lock(&k->mutex);
    last = --k->users == 0;
    weft_mutex_unlock(&k->mutex);
    if (last)
        junk(k, sizeof(*k));
}

static void use_rwmutex(void *arg)
{
    struct locked *k = arg;
    bool last;

    weft_rwmutex_lock(&k->rw);
    last = --k->users == 0;
    weft_rwmutex_unlock(&k->rw);
    if (last)
        junk(k, sizeof(*k));
}

static void raise_flag(void *arg)
{
    struct locked *k = arg;

    weft_mutex_lock(&k->mutex);
    k->flag = true;
    weft_cond_signal(&k->cond);
    weft_mutex_unlock(&k->mutex);
}

static void scene_mutex(uint64_t *r)
{
    int n = 2 + (int)torture_random(r, 3);
    struct locked *k = locked_new(n);

    for (int i = 1; i < n; i++)
        elsewhere(r, use_mutex, k);
    if (torture_random(r, 2))
        weft_yield();
    use_mutex(k);
}

static void scene_rwmutex(uint64_t *r)
{
    int n = 2 + (int)torture_random(r, 3);
    struct locked *k = locked_new(n);

    for (int i = 1; i < n; i++)
        elsewhere(r, use_rwmutex, k);
    if (torture_random(r, 2))
        weft_yield();
    use_rwmutex(k);
}

static void scene_cond(uint64_t *r)
{
    struct locked *k = locked_new(1);

    elsewhere(r, raise_flag, k);
    weft_mutex_lock(&k->mutex);
    while (!k->flag)
        EXPECT(weft_cond_wait(&k->cond, &k->mutex) == 0);
    weft_mutex_unlock(&k->mutex);
    junk(k, sizeof(*k));
}

/* Counters, groups and timers: the task that waited frees them. */

static void give(void *s)
{
    weft_sema_add(s, 1);
}

static void scene_sema(uint64_t *r)
{
    weft_sema *s = calloc(1, sizeof(*s));

    elsewhere(r, give, s);
    elsewhere(r, give, s);
    EXPECT(weft_sema_wait(s, 2) == 0);
    junk(s, sizeof(*s));
}

static void finish(void *wg)
{
    weft_waitgroup_done(wg);
}

static void scene_waitgroup(uint64_t *r)
{
    weft_waitgroup *wg = calloc(1, sizeof(*wg));
    int n = 1 + (int)torture_random(r, 4);

    weft_waitgroup_add(wg, n);
    for (int i = 0; i < n; i++)
        elsewhere(r, finish, wg);
    EXPECT(weft_waitgroup_wait(wg) == 0);
    junk(wg, sizeof(*wg));
}

static int member(void *arg)
{
    if (arg)
        weft_sleep(20 * WEFT_MICROSECOND);
    return 0;
}

static void scene_group(uint64_t *r)
{
    weft_group *g = calloc(1, sizeof(*g));

    if (torture_random(r, 3) == 0)
        weft_group_deadline(g, weft_after(torture_random(r, 60) * WEFT_MICROSECOND));
    for (unsigned n = 1 + torture_random(r, 4); n > 0; n--)
        weft_group_go(g, member, torture_random(r, 2) ? g : NULL);
    if (torture_random(r, 3) == 0)
        weft_group_cancel(g);
    EXPECT(weft_group_join(g) == 0);
    junk(g, sizeof(*g));
}

static void do_once(void *arg)
{
    (void)arg;
    weft_yield();
}

struct shared_once {
    weft_once once;
    weft_waitgroup wg;
};

static void once_too(void *arg)
{
    struct shared_once *o = arg;

    weft_once_do(&o->once, do_once, NULL);
    weft_waitgroup_done(&o->wg);
}

static void scene_once(uint64_t *r)
{
    struct shared_once *o = calloc(1, sizeof(*o));

    weft_waitgroup_add(&o->wg, 2);
    elsewhere(r, once_too, o);
    elsewhere(r, once_too, o);
    EXPECT(weft_waitgroup_wait(&o->wg) == 0);
    junk(o, sizeof(*o));
}

struct quick_once {
    weft_once once;
    unsigned began; /* atomic */
};

static void begin_once(void *arg)
{
    __atomic_store_n(&((struct quick_once *)arg)->began, 1, __ATOMIC_RELEASE);
    weft_yield();
}

static void run_once(void *arg)
{
    weft_once_do(&((struct quick_once *)arg)->once, begin_once, arg);
}

/* The caller that finds the function called frees the once, while the call that ran the function
 * may not have returned. */
static void scene_quick_once(uint64_t *r)
{
    struct quick_once *o = calloc(1, sizeof(*o));

    elsewhere(r, run_once, o);
    while (!__atomic_load_n(&o->began, __ATOMIC_ACQUIRE))
        weft_yield();
    for (uint32_t n = torture_random(r, 4); n > 0; n--)
        weft_yield();
    weft_once_do(&o->once, do_once, NULL);
    junk(o, sizeof(*o));
}

static void scene_timer(uint64_t *r)
{
    weft_timer *t = weft_timer_new();

    weft_timer_start(t, weft_after(torture_random(r, 100) * WEFT_MICROSECOND));
    if (torture_random(r, 2))
        EXPECT(weft_chan_recv(weft_timer_chan(t), NULL) == 0);
    else if (torture_random(r, 2))
        weft_sleep(torture_random(r, 100) * WEFT_MICROSECOND);
    weft_timer_free(t);
}

static void scene_ticker(uint64_t *r)
{
    weft_ticker *t = weft_ticker_new((1 + torture_random(r, 50)) * WEFT_MICROSECOND);

    for (unsigned n = torture_random(r, 4); n > 0; n--)
        EXPECT(weft_chan_recv(weft_ticker_chan(t), NULL) == 0);
    weft_ticker_free(t);
}

/* Crowds: so many waiters that others run while they are woken. */

struct crowd {
    weft_mutex mutex;
    weft_rwmutex rw;
    weft_cond cond;
    weft_sema sema;
    weft_waitgroup wg;
    weft_once once;
    unsigned users; /* atomic: the last one out frees */
    bool flag;
};

enum { CROWD = 130, AT_MOST_MORE = 300, CROWDS = 4 };

static int crowds; /* atomic */

static struct crowd *crowd_new(unsigned users)
{
    struct crowd *k = calloc(1, sizeof(*k));

    while (torture_get(&crowds) >= CROWDS)
        weft_yield();
    torture_add(&crowds, 1);
    k->users = users;
    return k;
}

static void crowd_leave(struct crowd *k)
{
    if (__atomic_sub_fetch(&k->users, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    junk(k, sizeof(*k));
    torture_add(&crowds, -1);
}

/* Returns when n tasks are in the queue. Looks inside: a count that a task raises before it waits
 * would be too early. */
static void until_queued(void *waiters[2], uint32_t *lock, unsigned n)
{
    unsigned found = 0;

    while (found < n) {
        weft_yield();
        weft__enter("until_queued");
        weft__lock(lock, WEFT__RANK_OBJECT);
        found = 0;
        for (const weft__waiter *wt = waiters[0]; wt; wt = wt->next)
            found++;
        weft__unlock(lock);
        weft__exit();
    }
}

static weft_time soon(uint64_t *r)
{
    return torture_random(r, 2) ? WEFT_FOREVER
                                : weft_after(torture_random(r, 1000) * WEFT_MICROSECOND);
}

static unsigned crowd_size(uint64_t *r)
{
    return CROWD + torture_random(r, AT_MOST_MORE);
}

static void crowd_cond(void *arg)
{
    struct crowd *k = arg;
    uint64_t r = torture_seed((uintptr_t)&k);
    int rc = 0;

    weft_mutex_lock(&k->mutex);
    while (!k->flag && rc == 0)
        rc = weft_cond_wait_until(&k->cond, &k->mutex, soon(&r));
    weft_mutex_unlock(&k->mutex);
    crowd_leave(k);
}

static void crowd_signal(void *arg)
{
    struct crowd *k = arg;

    for (int i = 0; i < 50; i++)
        weft_cond_signal(&k->cond);
    weft_cond_broadcast(&k->cond);
    crowd_leave(k);
}

static void crowd_broadcast(void *arg)
{
    struct crowd *k = arg;

    weft_mutex_lock(&k->mutex);
    k->flag = true;
    weft_cond_broadcast(&k->cond);
    weft_mutex_unlock(&k->mutex);
    crowd_leave(k);
}

static void scene_crowd_cond(uint64_t *r)
{
    unsigned n = crowd_size(r);
    struct crowd *k = crowd_new(n + 3);

    for (unsigned i = 0; i < n; i++)
        weft_go(crowd_cond, k);
    weft_yield();
    elsewhere(r, crowd_signal, k);
    elsewhere(r, crowd_signal, k);
    elsewhere(r, crowd_broadcast, k);
}

static void crowd_zero(void *arg)
{
    struct crowd *k = arg;

    EXPECT(weft_waitgroup_wait(&k->wg) == 0);
}

static void crowd_done(void *arg)
{
    struct crowd *k = arg;

    weft_waitgroup_done(&k->wg);
}

/* The first return of any wait proves the wait group idle. This one may begin when the others are
 * being woken. */
static void scene_crowd_waitgroup(uint64_t *r)
{
    unsigned n = crowd_size(r);
    struct crowd *k = crowd_new(1);

    weft_waitgroup_add(&k->wg, 2);
    for (unsigned i = 0; i < n; i++)
        weft_go(crowd_zero, k);
    until_queued(k->wg._waiters, &k->wg._lock, n);
    elsewhere(r, crowd_done, k);
    elsewhere(r, crowd_done, k);
    for (unsigned i = torture_random(r, 4); i > 0; i--)
        weft_yield();
    EXPECT(weft_waitgroup_wait(&k->wg) == 0);
    crowd_leave(k);
}

/* n units for n tasks: when each has one, every call that adds is past s. */
static void crowd_take(void *arg)
{
    struct crowd *k = arg;

    EXPECT(weft_sema_wait(&k->sema, 1) == 0);
    crowd_leave(k);
}

/* A wait that gives up may serve those behind it. */
static void crowd_give_up(void *arg)
{
    struct crowd *k = arg;

    EXPECT(weft_sema_wait_until(&k->sema, 1 << 20, weft_after(50 * WEFT_MICROSECOND)) ==
           WEFT_ETIMEDOUT);
    crowd_leave(k);
}

static void crowd_give(void *arg)
{
    struct crowd *k = arg;

    weft_sema_add(&k->sema, CROWD);
}

static void scene_crowd_sema(uint64_t *r)
{
    unsigned n = (1 + torture_random(r, 3)) * CROWD;
    struct crowd *k = crowd_new(n + 1);

    weft_go(crowd_give_up, k);
    for (unsigned i = 0; i < n; i++)
        weft_go(crowd_take, k);
    weft_yield();
    for (unsigned i = 0; i < n; i += CROWD)
        elsewhere(r, crowd_give, k);
}

static void crowd_once(void *arg)
{
    struct crowd *k = arg;

    weft_once_do(&k->once, do_once, NULL);
    crowd_leave(k);
}

static void scene_crowd_once(uint64_t *r)
{
    unsigned n = crowd_size(r);
    struct crowd *k = crowd_new(n + 1);

    elsewhere(r, crowd_once, k);
    for (unsigned i = 0; i < n; i++)
        weft_go(crowd_once, k);
}

static void crowd_read(void *arg)
{
    struct crowd *k = arg;

    weft_rwmutex_read_lock(&k->rw);
    EXPECT(k->flag);
    weft_rwmutex_read_unlock(&k->rw);
    crowd_leave(k);
}

static void crowd_write(void *arg)
{
    struct crowd *k = arg;

    weft_rwmutex_lock(&k->rw);
    EXPECT(k->flag);
    weft_rwmutex_unlock(&k->rw);
    crowd_leave(k);
}

static void scene_crowd_rwmutex(uint64_t *r)
{
    unsigned n = crowd_size(r);
    struct crowd *k = crowd_new(n + 1);

    weft_rwmutex_lock(&k->rw);
    for (unsigned i = 0; i < n; i++)
        weft_go(crowd_read, k);
    elsewhere(r, crowd_write, k);
    for (unsigned i = torture_random(r, 4); i > 0; i--)
        weft_yield();
    k->flag = true;
    weft_rwmutex_unlock(&k->rw);
}

static void (*const all[])(uint64_t *) = {
    scene_chan,       scene_chan,         scene_close,      scene_mutex,
    scene_rwmutex,    scene_cond,         scene_sema,       scene_waitgroup,
    scene_group,      scene_once,         scene_quick_once, scene_timer,
    scene_ticker,     scene_crowd_cond,   scene_crowd_sema, scene_crowd_waitgroup,
    scene_crowd_once, scene_crowd_rwmutex};

static int stage(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        all[torture_random(&r, sizeof(all) / sizeof(*all))](&r);
        torture_add(&scenes, 1);
    }
    return 0;
}

static int play(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;
    pthread_t threads[2];

    (void)arg;
    to_foreign = weft_chan_new(sizeof(struct job), 4);
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_create(&threads[i], NULL, foreigner, NULL) == 0);
    while (torture_get(&attached) < 2)
        weft_sleep(WEFT_MILLISECOND);
    for (uintptr_t i = 0; i < STAGES; i++)
        weft_group_go(&g, stage, (void *)(1 + i));
    EXPECT(weft_group_join(&g) == 0);
    while (torture_get(&crowds) > 0)
        weft_yield();
    weft_chan_close(to_foreign);
    for (int i = 0; i < 2; i++)
        weft_blocking(torture_join, &threads[i]);
    weft_chan_free(to_foreign);
    return 0;
}

int main(int argc, char **argv)
{
    double s = torture_play(argc, argv, play);

    printf("lifetime: %.0f scenes a second\n", (double)scenes / s);
    return 0;
}
