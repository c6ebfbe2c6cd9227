/* SPDX-License-Identifier: MIT */
/* hear.c - the event sink that writes events to the tape.
 *
 * Owns: the sink, and the map from places to stacks of the tape. A worker writes to its own ring,
 * without a lock or a locked instruction; other threads share a ring, under tape.shared.
 *
 * A writer marks its ring as busy, fences lightly and reads the number of the cut; a reader that
 * makes a cut stores its number, fences heavily and waits for busy rings. So each event lies
 * before the cut, and is complete when the reader reads, or its writer knows the cut, and writes a
 * mark first. If an event was written behind a cut, its writer had read the number, and all that
 * the event causes reads it, too: no later event of the task can lie before the cut.
 *
 * The stacks are those of waits and wake-ups. Most are known places (table/places.h), which cost a
 * comparison of some words. */
#include "profiles/trace/rings.h"

#include "profiles/capture/running.h"
#include "profiles/table/labelset.h"
#include "profiles/table/marks.h"
#include "profiles/table/places.h"
#include "profiles/trace/texts.h"
#include "profiles/trace/user.h"
#include "profiles/walk/deferred.h"

#include <stdlib.h>

/* Stacks --------------------------------------------------------------------------------------- */

/* The id of the stack of each place, by the place's number in its generation: the generation in the
 * upper half, the id in the lower. Atomic. */
static uint64_t stack_ids[WEFT__PLACES + 1];

void weft__hear_begin(void)
{
    for (unsigned i = 0; i <= WEFT__PLACES; i++)
        weft__store(&stack_ids[i], 0);
}

/* A stack to be found, of t, the caller's task, whose context is saved. */
struct ask {
    const weft__task *t;
    uint32_t id;
};

/* Walks the stack without waiting for rules: those that are not known yet are read on the spot. A
 * reader learns them, so that the place can be known from then on. */
static WEFT__NOINLINE uint32_t walk_new(const weft__task *t, struct weft__known *known)
{
    struct weft__deferred *d = malloc(sizeof(*d) + sizeof(struct weft__fingerprint));
    struct weft__regs regs;
    uintptr_t lo, hi;
    uint32_t id = 0;

    if (!d || !weft__stack_bounds(t, &lo, &hi) ||
        !weft__regs_saved(&regs, weft__load(&t->ctx.sp), lo, hi)) {
        free(d);
        return 0;
    }
    weft__deferred_begin(d, &regs, lo, hi);
    if (d->walk.missed) {
        struct weft__walk *walk = malloc(sizeof(*walk));

        if (walk) {
            weft__walk_fault(walk, &regs, lo, hi, (const void *)lo, false);
            weft__walk_close(walk);
            id = weft__stacktab_intern(weft__tape.stacks, walk);
        }
        free(walk);
        weft__tape_learn(d);
        return id;
    }
    weft__walk_close(&d->walk);
    *known = weft__place_add(t, &d->walk, (struct weft__fingerprint *)(void *)(d + 1));
    id = weft__stacktab_intern(weft__tape.stacks, &d->walk);
    free(d);
    return id;
}

static WEFT__NOINLINE uint32_t intern_place(struct weft__known known)
{
    struct weft__walk *walk = malloc(sizeof(*walk));
    uint32_t id = 0;

    if (walk && weft__place_read(known, walk))
        id = weft__stacktab_intern(weft__tape.stacks, walk);
    free(walk);
    return id;
}

static void find(void *arg)
{
    struct ask *a = arg;
    struct weft__known known = weft__place_find(a->t);
    uint64_t *kept = &stack_ids[(uint32_t)known.id], was = weft__load(kept);

    if (weft__likely(known.id && was >> 32 == known.id >> 32)) {
        a->id = (uint32_t)was;
        return;
    }
    a->id = known.id ? intern_place(known) : walk_new(a->t, &known);
    if (known.id && a->id)
        weft__store(&stack_ids[(uint32_t)known.id], known.id >> 32 << 32 | a->id);
}

/* Returns the id of the caller's stack; t is the task that it belongs to. */
static inline uint32_t stack_of(weft__task *t)
{
    struct ask a = {t, 0};

    if (weft__likely(t->ctx.lo != 0))
        weft__ctx_call(&t->ctx.sp, find, &a);
    return a.id;
}

/* Events --------------------------------------------------------------------------------------- */

/* The content of an event besides its time, task and seq. */
struct said {
    uint8_t kind, detail;
    uint32_t stack;
    uint64_t arg;
};

/* How many words ahead of an event its cache line is fetched. The tape is in no cache, and without
 * the fetch the next locked instruction waits for the events' stores: 10 ns a wait. */
enum { AHEAD = 64 };

/* Writes the four words of an event (event.h). They are made in registers: an event that is built
 * in memory, field by field, and then copied costs some 10 ns more, since its bytes are read as
 * words before they have left the store buffer. */
static WEFT__FRAMELESS void write_event(weft__ring *r, int64_t ticks, uint64_t task, uint32_t seq,
                                        struct said e)
{
    uint64_t *to = (uint64_t *)(void *)&r->piece->events[r->n];

    r->latest = ticks;
    weft__store(&to[0], (uint64_t)ticks);
    weft__store(&to[1],
                (task & UINT64_MAX >> 16) | (uint64_t)e.kind << 48 | (uint64_t)e.detail << 56);
    weft__store(&to[2], e.arg);
    weft__store(&to[3], seq | (uint64_t)e.stack << 32);
    weft__store_rel(&r->piece->n, ++r->n);
    __builtin_prefetch(to + AHEAD, 1);
}
_Static_assert(offsetof(struct weft__event, arg) == 16 && offsetof(struct weft__event, seq) == 24,
               "the words of an event");

/* at: the clock is read. */
#define NOW INT64_MIN

/* Writes an event of t that the scheduler has the time of: at; or NOW. That time may be a little
 * ago. So the clock is read if an event that caused this one could be later: if the strand's latest
 * is, or if t, which begins to run, was made ready on another strand. */
static WEFT__FRAMELESS void write_of_task(weft__ring *r, const weft__task *t, int64_t at,
                                          struct said e)
{
    struct weft__tape_last *last = &weft__tape.lasts[t->slot];

    if (at < r->latest || (e.kind == WEFT__EV_RUN && last->strand != r->strand))
        at = weft__ticks();
    *last = (struct weft__tape_last){last->seq + 1, r->strand};
    write_event(r, at, t->id, last->seq, e);
}

/* Begins a piece if the last one is full, and writes a mark. w: the calling thread's, or NULL.
 * Returns false if the tape has no room at all. */
static WEFT__NOINLINE bool mark(weft__ring *r, weft__worker *w, uint32_t cut,
                                enum weft__event_kind before)
{
    const weft__proc *p = w && !w->foreign ? weft__load(&w->p) : NULL;
    const weft__task *t = w && before != WEFT__EV_RUN ? weft__load(&w->task) : NULL;
    struct said e = {.kind = WEFT__EV_MARK, .detail = w && w->foreign};

    if ((!r->piece || r->n + 2 > WEFT__PIECE_EVENTS) && !weft__ring_turn(r))
        return false;
    r->cut = cut;
    r->thread = w ? (uint32_t)w->tid : 0;
    e.arg = weft__event_place(r->thread, p ? p->index : WEFT__NO_PROC);
    write_event(r, weft__ticks(), t ? weft__load(&t->id) : 0, cut, e);
    return true;
}

/* Writes an event of t, or of none, to a ring that the caller may write to. w: the calling
 * thread's, or NULL. at: see write_of_task. */
static WEFT__FRAMELESS void put_in(weft__ring *r, weft__worker *w, const weft__task *t, int64_t at,
                                   struct said e)
{
    uint32_t cut;

    weft__store(&r->busy, 1);
    weft__fence_light();
    cut = weft__load_acq(&weft__tape.cut);
    if (weft__likely(cut != 0) && (weft__likely(r->cut == cut && r->n < WEFT__PIECE_EVENTS) ||
                                   mark(r, w, cut, (enum weft__event_kind)e.kind))) {
        if (t)
            write_of_task(r, t, at, e);
        else
            write_event(r, weft__ticks(), 0, 0, e);
    }
    weft__store_rel(&r->busy, 0);
}

/* Writes an event to the strand that the threads share. */
static void put_common(weft__worker *w, const weft__task *t, struct said e)
{
    weft__ring *r = &weft__tape.common;

    weft__lock(&weft__tape.shared, WEFT__RANK_TASKS);
    if (r->thread != (w ? (uint32_t)w->tid : 0))
        r->cut = 0; /* the strand needs a mark */
    put_in(r, w, t, NOW, e);
    weft__unlock(&weft__tape.shared);
}

/* Writes an event for a thread that is no worker, or the first one of a worker. */
static WEFT__NOINLINE void put_first(weft__worker *w, const weft__task *t, struct said e)
{
    if (!w || w->foreign)
        put_common(w, t, e);
    else if (weft__ring_new(w))
        put_in(w->ring, w, t, NOW, e);
}

static inline bool has_ring(const weft__worker *w)
{
    return weft__likely(w && w->ring_age == weft__load(&weft__tape.age));
}

/* Writes an event of t, or of none, to the strand of the calling thread. w and at: see put_in. */
static WEFT__FRAMELESS void put_hot(weft__worker *w, const weft__task *t, int64_t at, struct said e)
{
    if (has_ring(w))
        put_in(w->ring, w, t, at, e);
    else
        put_first(w, t, e);
}

static WEFT__NOINLINE void put(weft__worker *w, const weft__task *t, int64_t at, struct said e)
{
    put_hot(w, t, at, e);
}

/* Returns the id of the stack of the caller's task; 0 if it is on no task's. */
static inline uint32_t stack_here(const weft__worker *w)
{
    weft__task *t = w ? weft__load(&w->task) : NULL;

    return t ? stack_of(t) : 0;
}

static void weft__hear_tagged(struct weft__event_sink *s, const weft__task *t)
{
    (void)s;
    put(weft__self(), NULL, NOW,
        (struct said){.kind = WEFT__EV_LABELS,
                      .arg = t->id & (UINT64_MAX >> 16),
                      .stack = weft__labelset_keep(weft__tags_set(weft__load(&t->tags)))});
}

/* The labels come first, so that they are known wherever the task runs. */
static void weft__hear_spawn(struct weft__event_sink *s, const weft__task *t)
{
    weft__worker *w = weft__self();

    if (weft__heard(note) && weft__load(&t->tags))
        weft__hear_tagged(s, t);
    put(w, t, NOW,
        (struct said){
            .kind = WEFT__EV_SPAWN, .arg = (uintptr_t)weft__load(&t->fn), .stack = stack_here(w)});
}

static void weft__hear_run(struct weft__event_sink *s, const weft__task *t, const weft__worker *w)
{
    const weft__proc *p = w->foreign ? NULL : w->p;

    (void)s;
    put_hot(
        (weft__worker *)(uintptr_t)w, t, w->now,
        (struct said){.kind = WEFT__EV_RUN,
                      .arg = weft__event_place((uint32_t)w->tid, p ? p->index : WEFT__NO_PROC)});
}

static WEFT__FRAMELESS void weft__hear_yield(weft__worker *w, const weft__task *t)
{
    bool back = !w->foreign && !weft__load(&w->p);
    struct said e = {.kind = back ? WEFT__EV_BACK : WEFT__EV_YIELD,
                     .stack = back ? 0 : stack_here(w)};

    put_hot(w, t, w->now, e);
}

/* A park without a reason is a yield; without a processor, the return of a task that was lost. */
static void weft__hear_park(struct weft__event_sink *s, const weft__task *t, enum weft__reason why,
                            const void *object)
{
    weft__worker *w = weft__self();

    (void)s;
    if (why == WEFT__WAIT_NONE)
        weft__hear_yield(w, t);
    else
        put_hot(w, t, w->now,
                (struct said){.kind = WEFT__EV_PARK,
                              .detail = (uint8_t)why,
                              .arg = (uintptr_t)object,
                              .stack = stack_of((weft__task *)(uintptr_t)t)});
}

/* Returns whether t's yield, or its return, is the strand's last event. */
static bool has_yielded(const weft__worker *w, const weft__task *t)
{
    const weft__ring *r = has_ring(w) ? w->ring : NULL;
    const struct weft__event *e = r && r->n > 0 ? &r->piece->events[r->n - 1] : NULL;

    return e && e->task == (t->id & UINT64_MAX >> 16) &&
           (e->kind == WEFT__EV_YIELD || e->kind == WEFT__EV_BACK);
}

/* The ready that follows a yield says nothing. */
static void weft__hear_ready(struct weft__event_sink *s, const weft__task *t,
                             const struct weft__waker *by)
{
    weft__worker *w = weft__self();

    (void)s;
    if (by->source != WEFT__BY_ITSELF || !has_yielded(w, t))
        put_hot(w, t, NOW,
                (struct said){.kind = WEFT__EV_READY,
                              .detail = (uint8_t)by->source,
                              .arg = by->id,
                              .stack = by->task ? stack_of((weft__task *)(uintptr_t)by->task) : 0});
}

static void weft__hear_lost(struct weft__event_sink *s, const weft__task *t, const weft__worker *w,
                            enum weft__why why)
{
    (void)s;
    put(weft__self(), t, NOW,
        (struct said){.kind = WEFT__EV_LOST, .detail = (uint8_t)why, .arg = (uint32_t)w->tid});
}

static void weft__hear_call(struct weft__event_sink *s, const weft__task *t)
{
    weft__worker *w = weft__self();

    (void)s;
    put(w, t, NOW, (struct said){.kind = WEFT__EV_CALL, .stack = stack_here(w)});
}

static void weft__hear_called(struct weft__event_sink *s, const weft__task *t)
{
    (void)s;
    put(weft__self(), t, NOW, (struct said){.kind = WEFT__EV_CALLED});
}

static void weft__hear_idle(struct weft__event_sink *s, const weft__worker *w)
{
    (void)s;
    put((weft__worker *)(uintptr_t)w, NULL, NOW, (struct said){.kind = WEFT__EV_IDLE});
}

static void weft__hear_delayed(struct weft__event_sink *s, const weft__worker *w, uint64_t ns)
{
    (void)s;
    put((weft__worker *)(uintptr_t)w, NULL, NOW,
        (struct said){.kind = WEFT__EV_DELAY, .arg = ns, .stack = w->p->index});
}

static void weft__hear_note(struct weft__event_sink *s, const weft__task *t, const void *what)
{
    const struct weft__note *n = what;
    uint64_t more = n->kind == WEFT__EV_LOG ? weft__text_intern(n->value) : n->parent;
    weft__worker *w = weft__self();

    (void)s;
    if (more != 0)
        put(w, t, NOW, (struct said){.kind = WEFT__EV_MORE, .arg = more});
    put(w, t, NOW,
        (struct said){.kind = n->kind & 0xff,
                      .arg = n->task << 32 | weft__text_intern(n->name),
                      .stack = stack_here(w)});
}

static void weft__hear_end(struct weft__event_sink *s, const weft__task *t)
{
    weft__worker *w = t->worker;

    (void)s;
    put(w, t, w->now, (struct said){.kind = WEFT__EV_END});
}

struct weft__event_sink weft__hear = {
    .start = weft__tape_run_begins,
    .stop = weft__tape_run_ends,
    .spawn = weft__hear_spawn,
    .run = weft__hear_run,
    .park = weft__hear_park,
    .ready = weft__hear_ready,
    .lost = weft__hear_lost,
    .call = weft__hear_call,
    .called = weft__hear_called,
    .idle = weft__hear_idle,
    .delayed = weft__hear_delayed,
    .end = weft__hear_end,
};

struct weft__event_sink weft__hear_notes = {.note = weft__hear_note, .tagged = weft__hear_tagged};
