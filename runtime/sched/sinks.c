/* SPDX-License-Identifier: MIT */
/* sinks.c - see sinks.h: the list of sinks, and the calls of their functions.
 *
 * Owns: the list. Lock: lock, a pthread mutex, guards its writers; no task is switched under it.
 *
 * Removal. A thread that tells an event marks itself before it reads the list, and takes the mark
 * back when the last function has returned. weft__sinks_remove takes the sink out of the list,
 * begins a new phase, and waits for each mark of an earlier one. The mark of a worker is the phase
 * in which it began; its store, a light fence and the load of the list pair with the remover's
 * store to the list, a heavy fence and its look at the marks. So either the remover sees the mark,
 * or the worker no longer sees the sink; and the worker pays for no locked instruction. Other
 * threads (foreign ones, pools, the monitor), and workers outside the runtime, which may have left
 * the run, share a count.
 *
 * The remover looks at the workers of a run only: weft__sinks_stop waits for marks in the same way
 * before the workers are freed. */
#include "runtime/sched/sinks.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool running;                                /* guarded by lock */
static struct weft__event_sink *sinks[WEFT__SINKS]; /* atomic; NULL: a free place */
static int n_sinks; /* atomic: places from here on were never used; written under lock */
/* Which sinks hear an event of HOT_EVENTS, a bit for each place of the list; atomic; written under
 * lock. An event is told to some of many sinks, and with these it passes over the others. */
static struct {
    uint32_t spawn, run, park, ready, lost, end, call, called, idle, note, tagged;
    uint32_t sock_open, sock_close, chan_new, chan_free;
} hearers;
static uint32_t phase = 1; /* atomic; never 0 */
static uint32_t others;    /* atomic: events being told by threads that have no mark */

/* The list ------------------------------------------------------------------------------------- */

/* The events that weft__sched.heard has a byte for; yield and skip are two events each. */
#define HOT_EVENTS(XX)                                                                             \
    XX(spawn)                                                                                      \
    XX(run)                                                                                        \
    XX(park)                                                                                       \
    XX(ready)                                                                                      \
    XX(lost)                                                                                       \
    XX(end)                                                                                        \
    XX(call)                                                                                       \
    XX(called)                                                                                     \
    XX(idle)                                                                                       \
    XX(note)                                                                                       \
    XX(tagged)                                                                                     \
    XX(sock_open)                                                                                  \
    XX(sock_close)                                                                                 \
    XX(chan_new)                                                                                   \
    XX(chan_free)

#define XX(event) +1
_Static_assert(sizeof(struct weft__heard) == HOT_EVENTS(XX) + 2, "each byte is set");
#undef XX

/* Returns the bits of the sinks that have the function at this offset. Caller holds the lock. */
static uint32_t hearers_of(size_t function)
{
    uint32_t bits = 0;

    for (int i = 0; running && i < WEFT__SINKS; i++) {
        if (sinks[i] && *(void (*const *)(void))(const void *)((const char *)sinks[i] + function))
            bits |= 1u << i;
    }
    return bits;
}

/* Stores what the sinks want to hear; outside a run that is nothing. A ready needs what tell_park
 * notes. Caller holds the lock. */
static void set_heard(void)
{
    struct weft__heard all = {false};

#define XX(event)                                                                                  \
    weft__store_rel(&hearers.event, hearers_of(offsetof(struct weft__event_sink, event)));         \
    all.event = hearers.event != 0;
    HOT_EVENTS(XX)
#undef XX
    all.park |= all.ready;
    weft__store(&weft__sched.heard.yield, all.park);
    weft__store(&weft__sched.heard.skip, all.ready || all.run);
#define XX(event) weft__store(&weft__sched.heard.event, all.event);
    HOT_EVENTS(XX)
#undef XX
}

static bool put(struct weft__event_sink *s)
{
    for (int i = 0; i < WEFT__SINKS; i++) {
        if (!sinks[i]) {
            weft__store_rel(&sinks[i], s);
            if (i >= n_sinks)
                weft__store_rel(&n_sinks, i + 1);
            return true;
        }
    }
    return false;
}

/* Returns whether a worker still tells an event that it began before this phase. */
static bool any_tells(uint32_t now)
{
    bool any = false;

    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (const weft__worker *w = weft__sched.all; w && !any; w = w->all) {
        uint32_t mark = weft__load_acq(&w->telling);

        any = mark != 0 && mark != now;
    }
    weft__unlock(&weft__sched.lock);
    return any;
}

/* Waits for all events that began before the call. in_run: there are workers, and they stay. Caller
 * holds the lock. */
static void wait_for_tellers(bool in_run)
{
    uint32_t now = phase + 1 ? phase + 1 : 1;

    weft__store_rel(&phase, now);
    weft__fence_heavy();
    while (weft__load_seq(&others) > 0)
        sched_yield();
    while (in_run && any_tells(now))
        sched_yield();
}

bool weft__sinks_add(struct weft__event_sink *s)
{
    bool is_room;

    pthread_mutex_lock(&lock);
    is_room = put(s);
    if (running)
        set_heard();
    pthread_mutex_unlock(&lock);
    return is_room;
}

void weft__sinks_remove(struct weft__event_sink *s)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < WEFT__SINKS; i++) {
        if (sinks[i] == s)
            weft__store_rel(&sinks[i], NULL);
    }
    if (running)
        set_heard();
#ifndef WEFT__HASTY /* the mutant of tests/torture_mutants.sh */
    wait_for_tellers(running);
#endif
    pthread_mutex_unlock(&lock);
}

void weft__sinks_start(void)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < WEFT__SINKS; i++) {
        if (sinks[i] && sinks[i]->start)
            sinks[i]->start(sinks[i]);
    }
    running = true;
    set_heard();
    pthread_mutex_unlock(&lock);
}

void weft__sinks_stop(void)
{
    pthread_mutex_lock(&lock);
    running = false;
    set_heard();
    wait_for_tellers(true);
    for (int i = WEFT__SINKS; i-- > 0;) {
        if (sinks[i] && sinks[i]->stop)
            sinks[i]->stop(sinks[i]);
    }
    pthread_mutex_unlock(&lock);
}

/* Telling -------------------------------------------------------------------------------------- */

/* Marks the calling thread. Returns the mark; NULL if it is set already, since a sink's function
 * made the event. */
static WEFT__FRAMELESS uint32_t *mark(void)
{
    weft__worker *w = weft__self();

    if (!w || w->foreign || !weft__load(&w->in_rt)) {
        weft__add_seq(&others, 1);
        return &others;
    }
    if (weft__load(&w->telling) != 0)
        return NULL;
    weft__store(&w->telling, weft__load_acq(&phase));
    weft__fence_light();
    return &w->telling;
}

static WEFT__FRAMELESS void unmark(uint32_t *mark)
{
    if (mark == &others)
        weft__sub(mark, 1);
    else if (mark)
        weft__store_rel(mark, 0);
}

#define TELL(event, ...)                                                                           \
    do {                                                                                           \
        uint32_t *marked = mark();                                                                 \
        for (int i = 0, n = weft__load_acq(&n_sinks); i < n; i++) {                                \
            struct weft__event_sink *s = weft__load_acq(&sinks[i]);                                \
            if (s && s->event)                                                                     \
                s->event(s, __VA_ARGS__);                                                          \
        }                                                                                          \
        unmark(marked);                                                                            \
    } while (0)

/* Tells an event of HOT_EVENTS. A sink that is being removed is NULL. */
#define TELL_HOT(event, ...)                                                                       \
    do {                                                                                           \
        uint32_t *marked = mark();                                                                 \
        for (uint32_t left = weft__load_acq(&hearers.event); left; left &= left - 1) {             \
            struct weft__event_sink *s = weft__load_acq(&sinks[__builtin_ctz(left)]);              \
            if (s)                                                                                 \
                s->event(s, __VA_ARGS__);                                                          \
        }                                                                                          \
        unmark(marked);                                                                            \
    } while (0)

void weft__tell_spawn(const weft__task *t)
{
    TELL_HOT(spawn, t);
}

/* The time when t begins to run is that when the task before it left, if that is known. */
void weft__tell_run(const weft__task *t, weft__worker *w)
{
    if (w->now == WEFT__UNKNOWN)
        w->now = weft__ticks();
    TELL_HOT(run, t, w);
}

/* Notes which task parks, for the function that the next context calls when its stack is left: if
 * that makes a task ready, this one did it. */
int64_t weft__tell_park(const weft__task *t, enum weft__reason why, const void *object)
{
    weft__worker *w = weft__self();

    if (w->p) {
        w->left = t->id;
        w->left_tick = weft__load(&w->p->tick);
    }
    w->now = weft__ticks();
    TELL_HOT(park, t, why, object);
    return w->now;
}

/* Returns whether the calling thread finishes for a task that left its stack on w, and that the
 * note of tell_park is about. */
static bool finishes(const weft__worker *w)
{
    return w->after && w->p && w->left_tick + 1 == weft__load(&w->p->tick);
}

void weft__tell_ready(const weft__task *t, const void *site)
{
    const weft__worker *w = weft__self();
    struct weft__waker by = {.source = WEFT__BY_LIBRARY, .site = site};

    if (w && w->after) {
        by.source = WEFT__BY_TASK;
        by.id = finishes(w) ? w->left : 0;
    } else if (w && weft__load(&w->task)) {
        by.source = w->foreign ? WEFT__BY_THREAD : WEFT__BY_TASK;
        by.task = w->task;
        by.id = w->task->id;
    } else if (w) {
        by.source = w->source;
    }
    TELL_HOT(ready, t, &by);
}

void weft__tell_ready_by(const weft__task *t, enum weft__source source)
{
    const struct weft__waker by = {.source = source};

    TELL_HOT(ready, t, &by);
}

void weft__tell_yield(const weft__task *t)
{
    weft__tell_park(t, WEFT__WAIT_NONE, NULL);
    weft__tell_ready_by(t, WEFT__BY_ITSELF);
}

void weft__tell_skip(const weft__task *t)
{
    weft__tell_ready_by(t, WEFT__BY_ITSELF);
    weft__tell_run(t, t->worker);
}

void weft__tell_lost(const weft__task *t, const weft__worker *w, enum weft__why why)
{
    TELL_HOT(lost, t, w, why);
}

void weft__tell_call(const weft__task *t)
{
    TELL_HOT(call, t);
}

void weft__tell_called(const weft__task *t)
{
    TELL_HOT(called, t);
}

void weft__tell_idle(const weft__worker *w)
{
    TELL_HOT(idle, w);
}

void weft__tell_delayed(const weft__worker *w, uint64_t ns)
{
    TELL(delayed, w, ns);
}

void weft__tell_note(const weft__task *t, const void *what)
{
    TELL_HOT(note, t, what);
}

void weft__tell_end(const weft__task *t)
{
    t->worker->now = weft__ticks();
    TELL_HOT(end, t);
}

void weft__tell_waited(weft__task *t, enum weft__reason why, int64_t ticks)
{
    TELL(waited, t, why, ticks);
}

void weft__tell_held_up(const struct weft__charge *c, bool charged, bool paired)
{
    TELL(held_up, c, charged, paired);
}

void weft__tell_thread_made(weft__worker *w, weft_task_fn *made_for)
{
    TELL(thread_made, w, made_for);
}

void weft__tell_thread_gone(weft__worker *w)
{
    TELL(thread_gone, w);
}

void weft__tell_tagged(const weft__task *t)
{
    TELL_HOT(tagged, t);
}

void weft__tell_sock_open(const void *sock, int fd)
{
    TELL_HOT(sock_open, sock, fd);
}

void weft__tell_sock_close(const void *sock, int fd)
{
    TELL_HOT(sock_close, sock, fd);
}

void weft__tell_chan_new(const struct weft_chan *c)
{
    TELL_HOT(chan_new, c);
}

void weft__tell_chan_free(const struct weft_chan *c)
{
    TELL_HOT(chan_free, c);
}
