/* SPDX-License-Identifier: MIT */
/* torture_sinks.c - sinks are added and removed while tasks of all kinds run.
 *
 * Each sink keeps the state of every task, and checks each event of the task against it: spawn,
 * run, then park, ready, run (lost may stand before park), and end. The memory of the states is
 * plain, so that TSan also finds two events of one task that nothing orders. One sink hears the
 * whole run, and nothing of a task before its spawn. The others come in the midst. When such a sink
 * was removed, its functions and its memory are spoiled, so that a late call ends the program. */
#include "torture.h"
#include "visit.h"

#include "runtime/sched/sinks.h"

#include <string.h>
#include <weft.h>

enum { SLOTS = 4096, LISTENERS = 4, THREADS = 2, PAIRS = 3, SLEEPERS = 4, LOCKERS = 3 };
enum { MAGIC = 0x600df00d };

enum state { UNKNOWN, RUNNABLE, RUNNING, LOST, PARKED, ENDED };

struct listener {
    struct weft__event_sink sink;
    uint32_t magic;
    bool live;   /* atomic: events are checked; those before may have holes between them */
    bool strict; /* it hears the whole run */
    struct {
        uint64_t id;
        enum state state;
    } tasks[SLOTS]; /* by slot */
};

static struct {
    struct listener whole;
    weft_waitgroup actors;
    weft_mutex mutex;
    uint64_t events, removals, readies, number; /* atomic */
} all;

/* Listening ------------------------------------------------------------------------------------ */

/* An event moves its task from one of these states to another. */
static void moves(struct weft__event_sink *s, const weft__task *t, unsigned from, enum state to)
{
    struct listener *l = (struct listener *)s; /* the first member */
    const weft__worker *w = weft__self();
    bool is_live = __atomic_load_n(&l->live, __ATOMIC_ACQUIRE);

    if (torture_add(&all.events, 1) % 256 == 0 || !w || w->foreign) { /* rare threads: each time */
        torture_spin(10);                                             /* a removal waits for this */
        EXPECT(l->magic == MAGIC);
    }
    if (t->slot >= SLOTS)
        return;
    if (l->tasks[t->slot].id != t->id) {
        EXPECT(!l->strict || (from & 1 << UNKNOWN));
        l->tasks[t->slot].id = t->id;
        l->tasks[t->slot].state = UNKNOWN;
    }
    if (is_live && l->tasks[t->slot].state != UNKNOWN)
        EXPECT(from & 1 << l->tasks[t->slot].state);
    l->tasks[t->slot].state = is_live ? to : UNKNOWN;
}

static void on_spawn(struct weft__event_sink *s, const weft__task *t)
{
    moves(s, t, 1 << UNKNOWN, RUNNABLE);
}

static void on_run(struct weft__event_sink *s, const weft__task *t, const weft__worker *w)
{
    EXPECT(t->worker == w);
    moves(s, t, 1 << RUNNABLE, RUNNING);
}

static void on_park(struct weft__event_sink *s, const weft__task *t, enum weft__reason why,
                    const void *object)
{
    EXPECT(why < WEFT__WAIT_COUNT && (why != WEFT__WAIT_NONE || !object));
    moves(s, t, 1 << RUNNING | 1 << LOST, PARKED);
}

static void on_ready(struct weft__event_sink *s, const weft__task *t, const struct weft__waker *by)
{
    EXPECT((by->source == WEFT__BY_TASK || by->source == WEFT__BY_THREAD) == (by->id != 0));
    EXPECT(!by->task || (by->task == weft__self()->task && by->task->id == by->id));
    torture_add(&all.readies, 1);
    moves(s, t, 1 << PARKED, RUNNABLE);
}

static void on_lost(struct weft__event_sink *s, const weft__task *t, const weft__worker *w,
                    enum weft__why why)
{
    EXPECT(t->worker == w && why != WEFT__KEPT);
    moves(s, t, 1 << RUNNING, LOST);
}

static void on_end(struct weft__event_sink *s, const weft__task *t)
{
    moves(s, t, 1 << RUNNING, ENDED);
}

static const struct weft__event_sink all_events = {.spawn = on_spawn,
                                                   .run = on_run,
                                                   .park = on_park,
                                                   .ready = on_ready,
                                                   .lost = on_lost,
                                                   .end = on_end};

static void late_spawn(struct weft__event_sink *s, const weft__task *t)
{
    EXPECT(!s && !t); /* never: the sink was removed */
}

/* Makes a sink that hears some or all events. */
static void listener_init(struct listener *l, uint64_t *r)
{
    memset(l, 0, sizeof(*l));
    l->magic = MAGIC;
    l->sink = all_events;
    if (torture_random(r, 2)) /* then only these are checked */
        l->sink = (struct weft__event_sink){.spawn = on_spawn, .ready = on_ready};
}

static void listen_once(struct listener *l, uint64_t *r, void (*nap)(unsigned us))
{
    bool checks;

    listener_init(l, r);
    checks = l->sink.run != NULL;
    EXPECT(weft__sinks_add(&l->sink));
    __atomic_store_n(&l->live, checks, __ATOMIC_RELEASE);
    nap(torture_random(r, 3000));
    weft__sinks_remove(&l->sink);
    memset(l, 0xa5, sizeof(*l));
    l->sink.spawn = late_spawn;
    torture_add(&all.removals, 1);
}

static void nap_as_task(unsigned us)
{
    weft_sleep(us * WEFT_MICROSECOND);
}

static void nap_as_thread(unsigned us)
{
    usleep(us);
}

static void listens(void *arg)
{
    struct listener *l = malloc(sizeof(*l));
    uint64_t r = torture_seed(torture_add(&all.number, 1));

    (void)arg;
    while (!torture_stops())
        listen_once(l, &r, nap_as_task);
    free(l);
    weft_waitgroup_done(&all.actors);
}

static void *thread_listens(void *arg)
{
    struct listener *l = malloc(sizeof(*l));
    uint64_t r = torture_seed(torture_add(&all.number, 1));

    (void)arg;
    while (!torture_stops())
        listen_once(l, &r, nap_as_thread);
    free(l);
    return NULL;
}

/* Running -------------------------------------------------------------------------------------- */

static void sends(void *arg)
{
    weft_chan *c = arg;
    uint64_t r = torture_seed(torture_add(&all.number, 1));

    while (!torture_stops()) {
        weft_chan_send_until(c, &r, weft_after(torture_random(&r, 500) * WEFT_MICROSECOND));
        if (torture_random(&r, 200) == 0)
            torture_spin(2000);
    }
    weft_waitgroup_done(&all.actors);
}

static void receives(void *arg)
{
    weft_chan *c = arg;
    uint64_t value, r = torture_seed(torture_add(&all.number, 1));

    while (!torture_stops()) {
        weft_chan_recv_until(c, &value, weft_after(torture_random(&r, 500) * WEFT_MICROSECOND));
        if (torture_random(&r, 8) == 0)
            weft_yield();
    }
    weft_waitgroup_done(&all.actors);
}

static void born(void *arg)
{
    weft_sleep((weft_duration)(*(uint64_t *)arg % 100) * WEFT_MICROSECOND);
}

static void blocks(void *arg)
{
    usleep((useconds_t)(*(uint64_t *)arg % 1000));
}

static int child(void *arg)
{
    born(arg);
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

/* Starts tasks, some in a group that is canceled, and makes calls that block. */
static void spawns(void *arg)
{
    uint64_t r = torture_seed(torture_add(&all.number, 1));

    (void)arg;
    while (!torture_stops()) {
        weft_group g = WEFT_GROUP_INIT;
        uint64_t pause = torture_random(&r, 100); /* the children read it while r changes */

        for (int i = 0; i < 5; i++)
            weft_group_go(&g, child, &pause);
        if (torture_random(&r, 2))
            weft_group_cancel(&g);
        weft_group_wait(&g);
        if (torture_random(&r, 10) == 0)
            weft_work(nothing, NULL);
        if (torture_random(&r, 30) == 0)
            weft_blocking(blocks, &r);
        if (torture_random(&r, 200) == 0)
            torture_spin(15000);
    }
    weft_waitgroup_done(&all.actors);
}

static void locks(void *arg)
{
    (void)arg;
    while (!torture_stops()) {
        weft_mutex_lock(&all.mutex);
        weft_yield();
        weft_mutex_unlock(&all.mutex);
    }
    weft_waitgroup_done(&all.actors);
}

static void makes_threads(void *arg)
{
    while (!torture_stops())
        visit(arg);
    weft_waitgroup_done(&all.actors);
}

static void act(weft_task_fn *fn, void *arg)
{
    weft_waitgroup_add(&all.actors, 1);
    weft_go(fn, arg);
}

static int play(void *arg)
{
    weft_chan *c = NULL;

    (void)arg;
    for (int i = 0; i < PAIRS; i++) {
        c = weft_chan_new(sizeof(uint64_t), (size_t)i);
        act(sends, c);
        act(receives, c);
    }
    for (int i = 0; i < LISTENERS; i++)
        act(listens, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        act(spawns, NULL);
    for (int i = 0; i < LOCKERS; i++)
        act(locks, NULL);
    act(makes_threads, c);
    weft_waitgroup_wait(&all.actors);
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];

    torture_begin(argc, argv);
    all.whole.magic = MAGIC;
    all.whole.sink = all_events;
    all.whole.live = all.whole.strict = true;
    EXPECT(weft__sinks_add(&all.whole.sink));
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, thread_listens, NULL) == 0);
    EXPECT(weft_run(play, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    weft__sinks_remove(&all.whole.sink);
    torture_end();
    EXPECT(all.events > 0 && all.readies > 0 && all.removals > 0);
    printf("%llu events, %llu removals\n", (unsigned long long)all.events,
           (unsigned long long)all.removals);
    return 0;
}
