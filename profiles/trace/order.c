/* SPDX-License-Identifier: MIT */
/* order.c - see order.h.
 *
 * The events of a strand are in order, and seq orders those of a task over all strands. So the next
 * event is always the earliest of those that may come: its task's last event had the seq before,
 * and its processor is not another running task's. That is what readers of the formats do, too.
 * Time only chooses among events that nothing else orders. */
#include "profiles/trace/known.h"

#include "runtime/sched/sinks.h"

#include <string.h>

enum { LOOK_AHEAD = 64 /* events */ };

struct cursor {
    const struct weft__event *at, *end;
    struct weft__traced_task *task;     /* of the event at; NULL: it has none */
    struct weft__traced_thread *thread; /* of the last mark */
};

/* A region that is open. */
struct weft__traced_region {
    uint64_t arg;
    struct weft__traced_region *outer;
};

struct weft__traced_thread *weft__order_thread(weft__order *o, uint32_t id)
{
    return weft__known_find(o, &o->threads, id, false);
}

bool weft__order_is_calling(weft__order *o, uint64_t task)
{
    const struct weft__traced_task *t = weft__known_find(o, &o->tasks, task, false);

    return t && t->calling;
}

uint64_t weft__order_active(const weft__order *o)
{
    return o->active;
}

int64_t weft__order_now(const weft__order *o)
{
    return o->now;
}

int64_t weft__order_nanos(const weft__order *o, int64_t ticks)
{
    return o->base + (int64_t)((double)(ticks - o->from) * o->rate);
}

uint32_t weft__order_labels(weft__order *o, uint64_t task)
{
    const struct weft__traced_task *t = weft__known_find(o, &o->tasks, task, false);

    return t ? t->labels : 0;
}

bool weft__order_knows(weft__order *o, uint64_t task)
{
    const struct weft__traced_task *t = weft__known_find(o, &o->tasks, task, false);

    return t && t->is != WEFT__IS_UNMADE;
}

void weft__order_set_now(weft__order *o, int64_t nanos)
{
    o->now = nanos;
}

/* Steps ---------------------------------------------------------------------------------------- */

static void step(weft__order *o, enum weft__step_kind kind, struct weft__traced_thread *m,
                 struct weft__traced_task *t, const struct weft__event *e)
{
    struct weft__step s = {.kind = kind,
                           .thread = m ? (uint32_t)m->id : 0,
                           .proc = m ? m->proc : WEFT__NO_PROC,
                           .nanos = ++o->now,
                           .task = t};

    if (e) {
        s.detail = e->detail;
        s.stack = e->stack;
        s.arg = e->arg;
        s.more = t ? t->more : 0;
    }
    o->form->step(o->form, o, &s);
}

static void leave_proc(weft__order *o, struct weft__traced_thread *m)
{
    struct weft__known_proc *p;

    if (m->proc == WEFT__NO_PROC)
        return;
    step(o, WEFT__STEP_PROC_STOP, m, NULL, NULL);
    p = weft__known_find(o, &o->procs, m->proc, false);
    if (p)
        p->held = false;
    m->proc = WEFT__NO_PROC;
}

/* Gives m the processor, which no running task has. */
static void take_proc(weft__order *o, struct weft__traced_thread *m, uint32_t index)
{
    struct weft__known_proc *p;

    if (m->proc == index)
        return;
    leave_proc(o, m);
    p = weft__known_find(o, &o->procs, index, true);
    if (!p)
        return;
    if (p->held)
        leave_proc(o, weft__known_thread(o, p->holder));
    p->held = true;
    p->holder = (uint32_t)m->id;
    m->proc = index;
    if (index < WEFT__PROC_LIBRARY)
        m->last = index;
    step(o, WEFT__STEP_PROC_START, m, NULL, NULL);
}

/* Returns the thread of a step that needs a processor: m, or the library's if m has none. */
static struct weft__traced_thread *with_proc(weft__order *o, struct weft__traced_thread *m)
{
    if (m->proc != WEFT__NO_PROC)
        return m;
    if (!m->foreign)
        m = weft__known_thread(o, 0);
    if (m)
        take_proc(o, m, m->foreign ? weft__known_foreign_proc(o, m) : WEFT__PROC_LIBRARY);
    return m;
}

/* Returns the library's thread, with its processor. */
static struct weft__traced_thread *library(weft__order *o)
{
    return with_proc(o, weft__known_thread(o, 0));
}

static void start(weft__order *o, struct weft__traced_task *t, struct weft__traced_thread *m)
{
    step(o, WEFT__STEP_START, m, t, NULL);
    t->is = WEFT__IS_RUNNING;
    t->thread = (uint32_t)m->id;
    m->task = t->id;
    if (m->delay >= WEFT__DELAY_SHOWN)
        step(o, WEFT__STEP_DELAYED, m, t, &(struct weft__event){.arg = m->delay});
    m->delay = 0;
}

/* The task leaves its thread. */
static void stops(weft__order *o, struct weft__traced_task *t, enum weft__step_kind kind,
                  enum weft__task_is is, const struct weft__event *e)
{
    struct weft__traced_thread *m = weft__known_thread(o, t->thread);

    t->calling = false;
    step(o, kind, m, t, e);
    t->is = is;
    if (m)
        m->task = 0;
}

/* Puts steps in after which t is runnable: only if events are missing. */
static void make_runnable(weft__order *o, struct weft__traced_task *t)
{
    switch (t->is) {
    case WEFT__IS_UNKNOWN:
        step(o, WEFT__STEP_CREATE, library(o), t, NULL);
        t->is = WEFT__IS_RUNNABLE;
        break;
    case WEFT__IS_WAITING:
        step(o, WEFT__STEP_UNBLOCK, library(o), t, NULL);
        t->is = WEFT__IS_RUNNABLE;
        break;
    case WEFT__IS_RUNNING:
        stops(o, t, WEFT__STEP_YIELD, WEFT__IS_RUNNABLE, NULL);
        break;
    case WEFT__IS_CALLING:
        stops(o, t, WEFT__STEP_BACK, WEFT__IS_RUNNABLE, NULL);
        break;
    default:
        break;
    }
}

/* Ends what m runs: only if events are missing. */
static void make_free(weft__order *o, struct weft__traced_thread *m)
{
    if (m->task != 0)
        make_runnable(o, weft__known_task(o, m->task));
}

/* Puts steps in after which t runs on m: only if events are missing. */
static void make_running(weft__order *o, struct weft__traced_task *t, struct weft__traced_thread *m)
{
    if ((t->is == WEFT__IS_RUNNING || t->is == WEFT__IS_CALLING) && t->thread == m->id)
        return;
    make_runnable(o, t);
    m = with_proc(o, m);
    make_free(o, m);
    start(o, t, m);
}

static void make_waiting(weft__order *o, struct weft__traced_task *t)
{
    if (t->is == WEFT__IS_WAITING)
        return;
    if (t->is != WEFT__IS_RUNNING)
        make_running(o, t, library(o));
    stops(o, t, WEFT__STEP_BLOCK, WEFT__IS_WAITING, NULL);
}

/* Ends a declared call in which t kept its processor. */
static void end_call(weft__order *o, struct weft__traced_task *t)
{
    if (!t->calling)
        return;
    step(o, WEFT__STEP_CALLED, weft__known_thread(o, t->thread), t, NULL);
    t->calling = false;
}

static bool opens_region(weft__order *o, struct weft__traced_task *t, uint64_t arg)
{
    struct weft__traced_region *r = malloc(sizeof(*r));

    o->failed |= !r;
    if (!r)
        return false;
    *r = (struct weft__traced_region){arg, t->regions};
    t->regions = r;
    return true;
}

static bool closes_region(struct weft__traced_task *t, uint64_t arg)
{
    struct weft__traced_region *r = t->regions;

    if (!r || r->arg != arg)
        return false;
    t->regions = r->outer;
    free(r);
    return true;
}

static void drop_regions(struct weft__traced_task *t)
{
    while (t->regions)
        closes_region(t, t->regions->arg);
}

/* Events --------------------------------------------------------------------------------------- */

static void spawned(weft__order *o, struct weft__traced_task *t, const struct weft__event *e,
                    struct weft__traced_thread *m)
{
    t->fn = e->arg;
    if (e->arg == 0) {
        t->is = WEFT__IS_UNMADE;
        return;
    }
    step(o, WEFT__STEP_CREATE, with_proc(o, m), t, e);
    t->is = WEFT__IS_RUNNABLE;
}

static void runs(weft__order *o, struct weft__traced_task *t, const struct weft__event *e)
{
    uint32_t index = weft__event_proc(e->arg);
    struct weft__traced_thread *m = weft__known_thread(o, weft__event_thread(e->arg));
    struct weft__known_proc *p;

    if (!m)
        return;
    if (t->is != WEFT__IS_UNMADE)
        make_runnable(o, t);
    make_free(o, m);
    if (index == WEFT__NO_PROC)
        index = weft__known_foreign_proc(o, m);
    p = weft__known_find(o, &o->procs, index, true);
    if (p && p->held && p->holder != m->id)
        make_free(o, weft__known_thread(o, p->holder));
    take_proc(o, m, index);
    if (t->is == WEFT__IS_UNMADE) {
        step(o, WEFT__STEP_CREATE, m, t, NULL);
        t->is = WEFT__IS_RUNNABLE;
    }
    start(o, t, m);
}

/* Only a task with a processor can lose it. */
static void lost(weft__order *o, struct weft__traced_task *t, const struct weft__event *e)
{
    struct weft__traced_thread *m = weft__known_thread(o, (uint32_t)e->arg);
    struct weft__known_proc *p;

    if (!m || t->is == WEFT__IS_CALLING)
        return;
    make_running(o, t, m);
    m = weft__known_thread(o, t->thread);
    if (!t->calling)
        step(o, WEFT__STEP_CALL, m, t, e);
    step(o, WEFT__STEP_LOST, m, t, e);
    t->calling = false;
    t->is = WEFT__IS_CALLING;
    p = weft__known_find(o, &o->procs, m->proc, false);
    if (p)
        p->held = false;
    m->proc = WEFT__NO_PROC;
}

static void ended(weft__order *o, struct weft__traced_task *t, struct weft__traced_thread *m)
{
    make_running(o, t, m);
    m = weft__known_thread(o, t->thread);
    drop_regions(t);
    stops(o, t, WEFT__STEP_END, WEFT__IS_UNKNOWN, NULL);
    if (m && m->proc != WEFT__NO_PROC && m->proc >= WEFT__PROC_FOREIGN)
        leave_proc(o, m);
    o->gone++;
}

/* A task that leaves its thread came back before, if it was lost. */
static void leaves(weft__order *o, struct weft__traced_task *t, const struct weft__event *e,
                   struct weft__traced_thread *m)
{
    if (t->is == WEFT__IS_CALLING)
        make_runnable(o, t);
    make_running(o, t, m);
    if (e->kind == WEFT__EV_PARK)
        stops(o, t, WEFT__STEP_BLOCK, WEFT__IS_WAITING, e);
    else
        stops(o, t, WEFT__STEP_YIELD, WEFT__IS_RUNNABLE, e);
}

/* A call is declared, or is over. */
static void calls(weft__order *o, struct weft__traced_task *t, const struct weft__event *e,
                  struct weft__traced_thread *m)
{
    make_running(o, t, m);
    if (t->is != WEFT__IS_RUNNING || e->kind == WEFT__EV_CALLED)
        return;
    step(o, WEFT__STEP_CALL, weft__known_thread(o, t->thread), t, e);
    t->calling = true;
}

/* The program tells something. */
static void notes(weft__order *o, struct weft__traced_task *t, const struct weft__event *e,
                  struct weft__traced_thread *m)
{
    bool fits = true;

    make_running(o, t, m);
    if (e->kind == WEFT__EV_REGION_BEGIN)
        fits = opens_region(o, t, e->arg);
    else if (e->kind == WEFT__EV_REGION_END)
        fits = closes_region(t, e->arg);
    if (fits && t->is == WEFT__IS_RUNNING)
        step(o, (enum weft__step_kind)(e->kind - WEFT__EV_TASK_BEGIN + WEFT__STEP_TASK_BEGIN),
             weft__known_thread(o, t->thread), t, e);
    t->more = 0;
}

static bool is_free(weft__order *o, uint32_t index)
{
    const struct weft__known_proc *p =
        index == WEFT__NO_PROC ? NULL : weft__known_find(o, &o->procs, index, true);

    return p && !p->held;
}

/* Returns the processor of a worker that wakes tasks from its loop, which no event has told: the
 * one on which it runs the next task, the one that it had before it slept, or any that is free. */
static uint32_t proc_of_loop(weft__order *o, const struct weft__event *e,
                             const struct weft__event *end, const struct weft__traced_thread *m)
{
    if (end - e > LOOK_AHEAD)
        end = e + LOOK_AHEAD;
    for (; e < end && e->kind != WEFT__EV_IDLE; e++) {
        if (e->kind == WEFT__EV_RUN && is_free(o, weft__event_proc(e->arg)))
            return weft__event_proc(e->arg);
    }
    if (is_free(o, m->last))
        return m->last;
    for (uint32_t i = 0; i < o->active; i++) {
        if (is_free(o, i))
            return i;
    }
    return WEFT__NO_PROC;
}

/* Gives the thread of a wake-up a processor, on whose row the tools draw it. The library's threads
 * that are no workers have one that stands for them all. */
static void wakes(weft__order *o, const struct weft__event *e, const struct weft__event *end,
                  struct weft__traced_thread *m)
{
    uint32_t index;

    if (m->id == 0)
        with_proc(o, m);
    if (m->proc != WEFT__NO_PROC || m->task != 0 ||
        (e->detail != WEFT__BY_LOOP && e->detail != WEFT__BY_TIMER))
        return;
    index = proc_of_loop(o, e, end, m);
    if (index != WEFT__NO_PROC)
        take_proc(o, m, index);
}

/* Moves the time on to an event's. */
static void set_now(weft__order *o, const struct weft__event *e)
{
    int64_t nanos = weft__order_nanos(o, e->ticks);

    if (nanos > o->now)
        o->now = nanos;
}

/* Takes an event of a task. end: of those that follow on the strand. */
static void take(weft__order *o, const struct weft__event *e, const struct weft__event *end,
                 struct weft__traced_thread *m, struct weft__traced_task *t)
{
    struct weft__traced_task *on = m->task == t->id ? t
                                   : m->task        ? weft__known_task(o, m->task)
                                                    : NULL;

    set_now(o, e);
    t->seq = e->seq;
    if (on && (on != t || e->kind != WEFT__EV_LOST))
        end_call(o, on);
    switch (e->kind) {
    case WEFT__EV_SPAWN:
        spawned(o, t, e, m);
        break;
    case WEFT__EV_RUN:
        runs(o, t, e);
        break;
    case WEFT__EV_PARK:
    case WEFT__EV_YIELD:
        leaves(o, t, e, m);
        break;
    case WEFT__EV_READY:
        make_waiting(o, t);
        wakes(o, e, end, m);
        step(o, WEFT__STEP_UNBLOCK, m, t, e);
        t->is = WEFT__IS_RUNNABLE;
        break;
    case WEFT__EV_LOST:
        lost(o, t, e);
        break;
    case WEFT__EV_BACK:
        if (t->is != WEFT__IS_CALLING)
            make_running(o, t, m);
        make_runnable(o, t);
        break;
    case WEFT__EV_END:
        ended(o, t, m);
        break;
    case WEFT__EV_CALL:
    case WEFT__EV_CALLED:
        calls(o, t, e, m);
        break;
    case WEFT__EV_MORE:
        t->more = e->arg;
        break;
    case WEFT__EV_TASK_BEGIN:
    case WEFT__EV_TASK_END:
    case WEFT__EV_REGION_BEGIN:
    case WEFT__EV_REGION_END:
    case WEFT__EV_LOG:
        notes(o, t, e, m);
        break;
    default:
        break;
    }
}

/* The thread sleeps; it runs nothing. */
static void idles(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m)
{
    set_now(o, e);
    if (m->task == 0)
        leave_proc(o, m);
}

/* The thread waited for a CPU. */
static void delayed(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m)
{
    struct weft__step s = {
        .kind = WEFT__STEP_DELAY, .thread = (uint32_t)m->id, .proc = e->stack, .arg = e->arg};

    set_now(o, e);
    s.nanos = ++o->now;
    m->delay += e->arg;
    o->form->step(o->form, o, &s);
}

static void labeled(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m)
{
    struct weft__traced_task *t = weft__known_task(o, e->arg);

    if (!t)
        return;
    set_now(o, e);
    t->labels = e->stack;
    if (t->is == WEFT__IS_RUNNING && !t->calling && m->task == t->id)
        step(o, WEFT__STEP_LABEL, m, t, NULL);
}

/* Other processors run tasks, or fewer. */
static void resized(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m)
{
    if (e->arg == o->active)
        return;
    set_now(o, e);
    o->active = e->arg;
    step(o, WEFT__STEP_PROCS, m, NULL, e);
}

/* Takes an event of a thread, which is about no task. */
static void take_other(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m)
{
    if (e->kind == WEFT__EV_IDLE)
        idles(o, e, m);
    else if (e->kind == WEFT__EV_DELAY)
        delayed(o, e, m);
    else if (e->kind == WEFT__EV_LABELS && e->arg != 0)
        labeled(o, e, m);
    else if (e->kind == WEFT__EV_PROCS)
        resized(o, e, m);
}

/* Returns whether the event may come now. */
static bool may_come(weft__order *o, const struct weft__event *e, struct weft__traced_task *t)
{
    struct weft__traced_thread *m;
    struct weft__known_proc *p;

    if (t->seq != 0 ? e->seq != t->seq + 1 : e->seq != t->least)
        return false;
    if (e->kind != WEFT__EV_RUN || weft__event_proc(e->arg) == WEFT__NO_PROC)
        return true;
    p = weft__known_find(o, &o->procs, weft__event_proc(e->arg), false);
    if (!p || !p->held || p->holder == weft__event_thread(e->arg))
        return true;
    m = weft__known_thread(o, p->holder);
    return !m || m->task == 0;
}

/* Spans ---------------------------------------------------------------------------------------- */

/* Moves past marks, notes the thread, and finds the task of the event behind. */
static void pass_marks(weft__order *o, struct cursor *c)
{
    for (; c->at < c->end && c->at->kind == WEFT__EV_MARK; c->at++) {
        uint32_t index = weft__event_proc(c->at->arg);

        c->thread = weft__known_thread(o, weft__event_thread(c->at->arg));
        if (!c->thread)
            continue;
        c->thread->foreign = c->at->detail;
        if (index != WEFT__NO_PROC)
            c->thread->last = index;
    }
    c->task = c->at < c->end && c->at->task != 0 ? weft__known_task(o, c->at->task) : NULL;
}

/* Finds the strand whose next event is the earliest that may come. If none may, since events are
 * missing, the earliest. */
static struct cursor *next_of(weft__order *o, struct cursor *c, size_t n)
{
    struct cursor *best = NULL, *any = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct weft__event *e = c[i].at;

        if (e == c[i].end)
            continue;
        if (!any || e->ticks < any->at->ticks)
            any = &c[i];
        if (best && e->ticks >= best->at->ticks)
            continue;
        if (!c[i].task || may_come(o, e, c[i].task))
            best = &c[i];
    }
    return best ? best : any;
}

/* Forgets the tasks that have ended, when they are many. */
static void forget(weft__order *o)
{
    struct weft__known_table old = o->tasks;

    if (o->gone < WEFT__KNOWN_SEGMENT || o->gone < old.n / 2)
        return;
    memset(&o->tasks, 0, sizeof(o->tasks));
    o->tasks.size = old.size;
    o->gone = 0;
    for (uint32_t i = 0; i < old.n; i++) {
        const struct weft__traced_task *t = weft__known_at(&old, i);
        struct weft__traced_task *to =
            t->is == WEFT__IS_UNKNOWN ? NULL : weft__known_find(o, &o->tasks, t->id, true);

        if (to)
            *to = *t;
    }
    weft__known_free(&old);
}

bool weft__order_span(weft__order *o, const struct weft__span *s)
{
    struct cursor *all = calloc(s->n_strands + 1, sizeof(*all)), *c;

    if (!all)
        return false;
    weft__known_times(o, s);
    forget(o);
    weft__known_firsts(o, s);
    for (size_t i = 0; i < s->n_strands; i++) {
        all[i].at = s->events + s->strands[i].first;
        all[i].end = all[i].at + s->strands[i].n;
        pass_marks(o, &all[i]);
    }
    while (!o->failed && (c = next_of(o, all, s->n_strands)) != NULL) {
        if (!c->thread)
            c->thread = weft__known_thread(o, 0);
        if (c->thread && !c->task)
            take_other(o, c->at, c->thread);
        else if (c->thread)
            take(o, c->at, c->end, c->thread, c->task);
        c->at++;
        pass_marks(o, c);
    }
    free(all);
    return !o->failed;
}

weft__order *weft__order_new(struct weft__form *f)
{
    weft__order *o = calloc(1, sizeof(*o));

    if (o) {
        o->form = f;
        o->tasks.size = sizeof(struct weft__traced_task);
        o->threads.size = sizeof(struct weft__traced_thread);
        o->procs.size = sizeof(struct weft__known_proc);
    }
    return o;
}

void weft__order_free(weft__order *o)
{
    if (!o)
        return;
    for (uint32_t i = 0; i < o->tasks.n; i++)
        drop_regions(weft__known_at(&o->tasks, i));
    weft__known_free(&o->tasks);
    weft__known_free(&o->threads);
    weft__known_free(&o->procs);
    free(o);
}

void weft__order_tasks(weft__order *o, void (*fn)(void *arg, struct weft__traced_task *t),
                       void *arg)
{
    for (uint32_t i = 0; i < o->tasks.n; i++)
        fn(arg, weft__known_at(&o->tasks, i));
}

void weft__order_threads(weft__order *o, void (*fn)(void *arg, struct weft__traced_thread *t),
                         void *arg)
{
    for (uint32_t i = 0; i < o->threads.n; i++)
        fn(arg, weft__known_at(&o->threads, i));
}

void weft__order_procs(weft__order *o,
                       void (*fn)(void *arg, uint32_t proc, struct weft__traced_thread *thread),
                       void *arg)
{
    for (uint32_t i = 0; i < o->procs.n; i++) {
        const struct weft__known_proc *p = weft__known_at(&o->procs, i);

        fn(arg, (uint32_t)p->index, p->held ? weft__known_thread(o, p->holder) : NULL);
    }
}
