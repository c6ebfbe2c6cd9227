/* SPDX-License-Identifier: MIT */
/* order.c - see order.h.
 *
 * The events of a strand are in order, and seq orders those of a task over all strands. So the next
 * event is always the earliest of those that may come: its task's last event had the seq before,
 * and its processor is not another running task's. That is what readers of the formats do, too.
 * Time only chooses among events that nothing else orders. */
#include "profiles/trace/order.h"

#include "profiles/capture/snapshot.h"
#include "profiles/table/idmap.h"
#include "profiles/walk/unwind.h"
#include "runtime/base/clock.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

#include <string.h>

enum { SEGMENT = 1024 };

/* Things that are found by a number. They never move. */
struct table {
    struct weft__idmap map;
    void **segments;
    size_t size;
    uint32_t n, n_segments;
};

struct proc {
    uint64_t index;
    uint32_t holder; /* thread; 0 and !held: nobody */
    bool held;
};

struct cursor {
    const struct weft__event *at, *end;
    uint32_t thread; /* of the last mark */
};

struct weft__order {
    struct weft__form *form;
    struct table tasks, threads, procs;
    uint32_t span, gone, foreign;
    int64_t now;
    double rate; /* ns a tick in this span */
    int64_t from, base;
    bool failed; /* memory ran out */
};

/* Tables --------------------------------------------------------------------------------------- */

static void *element(const struct table *t, uint32_t i)
{
    return (char *)t->segments[i / SEGMENT] + (size_t)(i % SEGMENT) * t->size;
}

/* Finds or makes the element of a number, which is its first field of 8 bytes. */
static void *find(weft__order *o, struct table *t, uint64_t key, bool make)
{
    uint64_t hash = weft__idmap_mix(key);
    uint32_t id, at = weft__idmap_first(&t->map, hash);
    void *e;

    while ((id = weft__idmap_next(&t->map, hash, &at))) {
        e = element(t, id - 1);
        if (memcmp(e, &key, sizeof(key)) == 0)
            return e;
    }
    if (!make)
        return NULL;
    if (t->n == t->n_segments * SEGMENT) {
        void **more = realloc(t->segments, (t->n_segments + 1) * sizeof(*more));

        if (more)
            t->segments = more;
        if (!more || !(more[t->n_segments] = calloc(SEGMENT, t->size))) {
            o->failed = true;
            return NULL;
        }
        t->n_segments++;
    }
    if (!weft__idmap_add(&t->map, hash, t->n + 1)) {
        o->failed = true;
        return NULL;
    }
    e = element(t, t->n++);
    memcpy(e, &key, sizeof(key));
    return e;
}

static void table_free(struct table *t)
{
    for (uint32_t i = 0; i < t->n_segments; i++)
        free(t->segments[i]);
    free(t->segments);
    weft__idmap_free(&t->map);
    memset(t, 0, sizeof(*t));
}

static struct weft__traced_task *task_of(weft__order *o, uint64_t id)
{
    return find(o, &o->tasks, id, true);
}

static struct weft__traced_thread *thread_of(weft__order *o, uint32_t id)
{
    uint32_t n = o->threads.n;
    struct weft__traced_thread *t = find(o, &o->threads, id, true);

    if (t && o->threads.n > n)
        t->proc = WEFT__NO_PROC;
    return t;
}

struct weft__traced_thread *weft__order_thread(weft__order *o, uint32_t id)
{
    return find(o, &o->threads, id, false);
}

int64_t weft__order_now(const weft__order *o)
{
    return o->now;
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
    }
    o->form->step(o->form, o, &s);
}

static void leave_proc(weft__order *o, struct weft__traced_thread *m)
{
    struct proc *p = find(o, &o->procs, m->proc, true);

    if (m->proc == WEFT__NO_PROC)
        return;
    step(o, WEFT__STEP_PROC_STOP, m, NULL, NULL);
    if (p)
        p->held = false;
    m->proc = WEFT__NO_PROC;
}

/* Gives m the processor, which no running task has. */
static void take_proc(weft__order *o, struct weft__traced_thread *m, uint32_t index)
{
    struct proc *p;

    if (m->proc == index)
        return;
    leave_proc(o, m);
    p = find(o, &o->procs, index, true);
    if (!p)
        return;
    if (p->held)
        leave_proc(o, thread_of(o, p->holder));
    p->held = true;
    p->holder = (uint32_t)m->id;
    m->proc = index;
    step(o, WEFT__STEP_PROC_START, m, NULL, NULL);
}

/* Returns the processor of a thread that is no worker. */
static uint32_t foreign_proc(weft__order *o, const struct weft__traced_thread *m)
{
    return m->proc != WEFT__NO_PROC ? m->proc : WEFT__PROC_FOREIGN + o->foreign++;
}

/* Returns the thread of a step that needs a processor: m, or the library's if m has none. */
static struct weft__traced_thread *with_proc(weft__order *o, struct weft__traced_thread *m)
{
    if (m->proc != WEFT__NO_PROC)
        return m;
    if (!m->foreign)
        m = thread_of(o, 0);
    if (m)
        take_proc(o, m, m->foreign ? foreign_proc(o, m) : WEFT__PROC_LIBRARY);
    return m;
}

static void start(weft__order *o, struct weft__traced_task *t, struct weft__traced_thread *m)
{
    step(o, WEFT__STEP_START, m, t, NULL);
    t->is = WEFT__IS_RUNNING;
    t->thread = (uint32_t)m->id;
    m->task = t->id;
}

/* The task leaves its thread. */
static void stops(weft__order *o, struct weft__traced_task *t, enum weft__step_kind kind,
                  enum weft__task_is is, const struct weft__event *e)
{
    struct weft__traced_thread *m = thread_of(o, t->thread);

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
        step(o, WEFT__STEP_CREATE, with_proc(o, thread_of(o, 0)), t, NULL);
        t->is = WEFT__IS_RUNNABLE;
        break;
    case WEFT__IS_WAITING:
        step(o, WEFT__STEP_UNBLOCK, NULL, t, NULL);
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
        make_runnable(o, task_of(o, m->task));
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
        make_running(o, t, with_proc(o, thread_of(o, 0)));
    stops(o, t, WEFT__STEP_BLOCK, WEFT__IS_WAITING, NULL);
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
    struct weft__traced_thread *m = thread_of(o, weft__event_thread(e->arg));
    struct proc *p;

    if (!m)
        return;
    if (t->is != WEFT__IS_UNMADE)
        make_runnable(o, t);
    make_free(o, m);
    if (index == WEFT__NO_PROC)
        index = foreign_proc(o, m);
    p = find(o, &o->procs, index, true);
    if (p && p->held && p->holder != m->id)
        make_free(o, thread_of(o, p->holder));
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
    struct weft__traced_thread *m = thread_of(o, (uint32_t)e->arg);
    struct proc *p;

    if (!m || t->is == WEFT__IS_CALLING)
        return;
    make_running(o, t, m);
    m = thread_of(o, t->thread);
    step(o, WEFT__STEP_CALL, m, t, e);
    step(o, WEFT__STEP_LOST, m, t, e);
    t->is = WEFT__IS_CALLING;
    p = find(o, &o->procs, m->proc, true);
    if (p)
        p->held = false;
    m->proc = WEFT__NO_PROC;
}

static void ended(weft__order *o, struct weft__traced_task *t, struct weft__traced_thread *m)
{
    make_running(o, t, m);
    m = thread_of(o, t->thread);
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

static void take(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m,
                 struct weft__traced_task *t)
{
    int64_t nanos = o->base + (int64_t)((double)(e->ticks - o->from) * o->rate);

    if (nanos > o->now)
        o->now = nanos;
    t->seq = e->seq;
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
    default:
        break;
    }
}

/* Returns whether the event may come now. */
static bool may_come(weft__order *o, const struct weft__event *e, struct weft__traced_task *t)
{
    struct weft__traced_thread *m;
    struct proc *p;

    if (t->seq != 0 ? e->seq != t->seq + 1 : e->seq != t->least)
        return false;
    if (e->kind != WEFT__EV_RUN || weft__event_proc(e->arg) == WEFT__NO_PROC)
        return true;
    p = find(o, &o->procs, weft__event_proc(e->arg), false);
    if (!p || !p->held || p->holder == weft__event_thread(e->arg))
        return true;
    m = thread_of(o, p->holder);
    return !m || m->task == 0;
}

/* Spans ---------------------------------------------------------------------------------------- */

/* Moves past marks, and notes the thread. */
static void pass_marks(weft__order *o, struct cursor *c)
{
    for (; c->at < c->end && c->at->kind == WEFT__EV_MARK; c->at++) {
        struct weft__traced_thread *m = thread_of(o, weft__event_thread(c->at->arg));

        c->thread = weft__event_thread(c->at->arg);
        if (m)
            m->foreign = c->at->detail;
    }
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
        if (may_come(o, e, task_of(o, e->task)))
            best = &c[i];
    }
    return best ? best : any;
}

static void set_times(weft__order *o, const struct weft__span *s)
{
    int64_t until = weft__ticks_to_nanos(s->until);

    o->from = s->from;
    o->base = weft__ticks_to_nanos(s->from);
    o->rate = s->until > s->from ? (double)(until - o->base) / (double)(s->until - s->from) : 1;
}

/* Notes the first event of each task in the span. After missing events the next is the first. */
static void note_tasks(weft__order *o, const struct weft__span *s)
{
    o->span++;
    for (size_t i = 0; i < s->n && !o->failed; i++) {
        const struct weft__event *e = &s->events[i];
        struct weft__traced_task *t = e->kind == WEFT__EV_MARK ? NULL : task_of(o, e->task);

        if (!t)
            continue;
        if (t->span != o->span) {
            t->span = o->span;
            t->least = e->seq;
            if (s->missed)
                t->seq = 0;
        } else if (e->seq < t->least) {
            t->least = e->seq;
        }
    }
}

/* Forgets the tasks that have ended, when they are many. */
static void forget(weft__order *o)
{
    struct table old = o->tasks;

    if (o->gone < SEGMENT || o->gone < old.n / 2)
        return;
    memset(&o->tasks, 0, sizeof(o->tasks));
    o->tasks.size = old.size;
    o->gone = 0;
    for (uint32_t i = 0; i < old.n; i++) {
        const struct weft__traced_task *t = element(&old, i);
        struct weft__traced_task *to =
            t->is == WEFT__IS_UNKNOWN ? NULL : find(o, &o->tasks, t->id, true);

        if (to)
            *to = *t;
    }
    table_free(&old);
}

bool weft__order_span(weft__order *o, const struct weft__span *s)
{
    struct cursor *all = calloc(s->n_strands + 1, sizeof(*all)), *c;

    if (!all)
        return false;
    set_times(o, s);
    forget(o);
    note_tasks(o, s);
    for (size_t i = 0; i < s->n_strands; i++) {
        all[i].at = s->events + s->strands[i].first;
        all[i].end = all[i].at + s->strands[i].n;
        pass_marks(o, &all[i]);
    }
    while (!o->failed && (c = next_of(o, all, s->n_strands)) != NULL) {
        struct weft__traced_thread *m = thread_of(o, c->thread);

        if (m)
            take(o, c->at, m, task_of(o, c->at->task));
        c->at++;
        pass_marks(o, c);
    }
    free(all);
    return !o->failed;
}

/* The start ------------------------------------------------------------------------------------ */

/* Puts t on m, as it was at the start. */
static void put_on(struct weft__traced_task *t, struct weft__traced_thread *m)
{
    t->is = m->proc != WEFT__NO_PROC ? WEFT__IS_RUNNING : WEFT__IS_CALLING;
    t->thread = (uint32_t)m->id;
    m->task = t->id;
}

/* Gives m its processor at the start, unless another thread has it. */
static void hold(weft__order *o, struct weft__traced_thread *m, uint32_t index)
{
    struct proc *p = index == WEFT__NO_PROC ? NULL : find(o, &o->procs, index, true);

    if (!p || p->held)
        return;
    p->held = true;
    p->holder = (uint32_t)m->id;
    m->proc = index;
}

/* The state of a task before its first event. */
static void first_event(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m)
{
    struct weft__traced_task *t = task_of(o, e->task);

    if (!t || e->seq != t->least)
        return;
    switch (e->kind) {
    case WEFT__EV_RUN:
        t->is = WEFT__IS_RUNNABLE;
        break;
    case WEFT__EV_READY:
        t->is = WEFT__IS_WAITING;
        break;
    case WEFT__EV_SPAWN:
        break;
    case WEFT__EV_LOST:
        m = thread_of(o, (uint32_t)e->arg);
        /* fall through */
    default:
        if (m && m->task == 0)
            put_on(t, m);
    }
}

/* A mark that stands first on its thread's strand says what the thread ran. A thread that ran
 * nothing gets its processor when it runs something. */
static void first_mark(weft__order *o, const struct weft__event *e)
{
    uint32_t index = weft__event_proc(e->arg);
    struct weft__traced_thread *m = thread_of(o, weft__event_thread(e->arg));
    struct weft__traced_task *t = e->task ? task_of(o, e->task) : NULL;

    if (!m || !t || m->form != 0)
        return;
    m->foreign = e->detail;
    hold(o, m, m->foreign ? foreign_proc(o, m) : index);
    put_on(t, m);
}

/* Marks the threads that were seen by form, until the form itself uses it. */
static void look_at_strands(weft__order *o, const struct weft__span *s)
{
    for (size_t i = 0; i < s->n_strands; i++) {
        const struct weft__event *e = s->events + s->strands[i].first;

        for (size_t k = 0; k < s->strands[i].n; k++) {
            struct weft__traced_thread *m;

            if (e[k].kind != WEFT__EV_MARK)
                continue;
            first_mark(o, &e[k]);
            m = thread_of(o, weft__event_thread(e[k].arg));
            if (m)
                m->form = 1;
        }
    }
}

static void look_at_events(weft__order *o, const struct weft__span *s)
{
    for (size_t i = 0; i < s->n_strands; i++) {
        const struct weft__event *e = s->events + s->strands[i].first;
        struct weft__traced_thread *m = NULL;

        for (size_t k = 0; k < s->strands[i].n; k++) {
            if (e[k].kind == WEFT__EV_MARK)
                m = thread_of(o, weft__event_thread(e[k].arg));
            else
                first_event(o, &e[k], m);
        }
    }
}

/* Threads without an event were the whole span as they were found. */
static void look_at_threads(weft__order *o, const struct weft__tape_start *start)
{
    for (size_t i = 0; i < start->n_threads; i++) {
        const struct weft__tape_thread *from = &start->threads[i];
        struct weft__traced_thread *m = from->thread ? thread_of(o, from->thread) : NULL;
        struct weft__traced_task *t;

        if (!m || m->form != 0)
            continue;
        m->form = 1;
        t = from->task ? task_of(o, from->task) : NULL;
        if (t && (t->span != o->span || t->is == WEFT__IS_UNKNOWN) && m->task == 0) {
            hold(o, m, from->proc);
            put_on(t, m);
        }
    }
}

/* Takes a task from the snapshot: its stack and reason, and its state if no event has told it. */
static void from_record(weft__order *o, const struct weft__snapshot *s,
                        const struct weft__record *r, struct weft__walk *walk)
{
    const struct weft__stack_entry *stack =
        r->stack ? weft__stacktab_get(s->stacks, r->stack) : NULL;
    struct weft__traced_task *t = find(o, &o->tasks, r->id, false);
    bool is_new = !t;

    if (t && t->is == WEFT__IS_UNKNOWN)
        return; /* it was made in the span */
    if (!t && !(t = task_of(o, r->id)))
        return;
    if (is_new)
        t->is = r->state == WEFT__REC_WAITING && r->reason != WEFT__WAIT_HOG_LANE &&
                        r->reason != WEFT__WAIT_THREAD
                    ? WEFT__IS_WAITING
                    : WEFT__IS_RUNNABLE;
    t->reason = r->reason;
    if (stack) {
        weft__walk_set(walk, stack->pcs, stack->kept);
        t->stack = weft__tape_intern(walk);
    }
}

static void clear_form(void *arg, struct weft__traced_thread *t)
{
    (void)arg;
    t->form = 0;
}

bool weft__order_begin(weft__order *o, const struct weft__tape_start *start,
                       const struct weft__span *first)
{
    const struct weft__snapshot *s = start->tasks;
    struct weft__walk *walk = malloc(sizeof(*walk));

    if (!walk)
        return false;
    set_times(o, first);
    o->now = o->base;
    note_tasks(o, first);
    look_at_strands(o, first);
    look_at_events(o, first);
    look_at_threads(o, start);
    for (size_t i = 0; s && i < s->n && !o->failed; i++) {
        if (s->records[i].state != WEFT__REC_NONE)
            from_record(o, s, &s->records[i], walk);
    }
    weft__order_threads(o, clear_form, NULL);
    free(walk);
    return !o->failed;
}

weft__order *weft__order_new(struct weft__form *f)
{
    weft__order *o = calloc(1, sizeof(*o));

    if (o) {
        o->form = f;
        o->tasks.size = sizeof(struct weft__traced_task);
        o->threads.size = sizeof(struct weft__traced_thread);
        o->procs.size = sizeof(struct proc);
    }
    return o;
}

void weft__order_free(weft__order *o)
{
    if (!o)
        return;
    table_free(&o->tasks);
    table_free(&o->threads);
    table_free(&o->procs);
    free(o);
}

void weft__order_tasks(weft__order *o, void (*fn)(void *arg, struct weft__traced_task *t),
                       void *arg)
{
    for (uint32_t i = 0; i < o->tasks.n; i++)
        fn(arg, element(&o->tasks, i));
}

void weft__order_threads(weft__order *o, void (*fn)(void *arg, struct weft__traced_thread *t),
                         void *arg)
{
    for (uint32_t i = 0; i < o->threads.n; i++)
        fn(arg, element(&o->threads, i));
}

void weft__order_procs(weft__order *o,
                       void (*fn)(void *arg, uint32_t proc, struct weft__traced_thread *thread),
                       void *arg)
{
    for (uint32_t i = 0; i < o->procs.n; i++) {
        const struct proc *p = element(&o->procs, i);

        fn(arg, (uint32_t)p->index, p->held ? thread_of(o, p->holder) : NULL);
    }
}
