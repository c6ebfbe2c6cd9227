/* SPDX-License-Identifier: MIT */
/* start.c - the state at the beginning of an order, from the first span, the snapshot and the list
 * of threads. The first event of a task tells what the task did before. */
#include "profiles/trace/known.h"

#include "profiles/capture/snapshot.h"
#include "profiles/table/labelset.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"
#include "runtime/sched/wait.h"

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
    struct weft__known_proc *p =
        index == WEFT__NO_PROC ? NULL : weft__known_find(o, &o->procs, index, true);

    if (!p || p->held)
        return;
    p->held = true;
    p->holder = (uint32_t)m->id;
    m->proc = index;
}

/* The state of a task before its first event. */
static void first_event(weft__order *o, const struct weft__event *e, struct weft__traced_thread *m)
{
    struct weft__traced_task *t = weft__known_task(o, e->task);

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
        m = weft__known_thread(o, (uint32_t)e->arg);
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
    struct weft__traced_thread *m = weft__known_thread(o, weft__event_thread(e->arg));
    struct weft__traced_task *t = e->task ? weft__known_task(o, e->task) : NULL;

    if (!m || !t || m->form != 0)
        return;
    m->foreign = e->detail;
    hold(o, m, m->foreign ? weft__known_foreign_proc(o, m) : index);
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
            m = weft__known_thread(o, weft__event_thread(e[k].arg));
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
                m = weft__known_thread(o, weft__event_thread(e[k].arg));
            else if (e[k].kind == WEFT__EV_PROCS && o->active == 0)
                o->active = e[k].arg;
            else if (e[k].task != 0)
                first_event(o, &e[k], m);
        }
    }
}

/* Threads without an event were the whole span as they were found. */
static void look_at_threads(weft__order *o, const struct weft__tape_start *start)
{
    for (size_t i = 0; i < start->n_threads; i++) {
        const struct weft__tape_thread *from = &start->threads[i];
        struct weft__traced_thread *m = from->thread ? weft__known_thread(o, from->thread) : NULL;
        struct weft__traced_task *t;

        if (!m || m->form != 0)
            continue;
        m->form = 1;
        t = from->task ? weft__known_task(o, from->task) : NULL;
        if (t && (t->span != o->span || t->is == WEFT__IS_UNKNOWN) && m->task == 0) {
            hold(o, m, from->proc);
            put_on(t, m);
        }
    }
}

/* Returns the function of the task that had the slot at the cut, or 0 if another one has it now. A
 * new task's id is stored before its function, so the id is read after it. */
static uint64_t function_of(size_t slot, uint64_t id)
{
    const weft__task *t = weft__tasks_at((uint32_t)slot);
    weft_task_fn *fn = weft__load_acq(&t->fn);

    return weft__load(&t->id) == id ? (uintptr_t)fn : 0;
}

/* Takes a task from the snapshot: its function, its stack and reason, and its state if no event has
 * told it. */
static void from_record(weft__order *o, const struct weft__snapshot *s, size_t slot,
                        struct weft__walk *walk)
{
    const struct weft__record *r = &s->records[slot];
    const struct weft__stack_entry *stack =
        r->stack ? weft__stacktab_get(s->stacks, r->stack) : NULL;
    struct weft__traced_task *t = weft__known_find(o, &o->tasks, r->id, false);
    bool is_new = !t;

    if (t && t->is == WEFT__IS_UNKNOWN)
        return; /* it was made in the span */
    if (!t && !(t = weft__known_task(o, r->id)))
        return;
    if (is_new)
        t->is = r->state == WEFT__REC_WAITING && r->reason != WEFT__WAIT_HOG_LANE &&
                        r->reason != WEFT__WAIT_THREAD
                    ? WEFT__IS_WAITING
                    : WEFT__IS_RUNNABLE;
    t->reason = r->reason;
    t->fn = function_of(slot, r->id);
    t->labels = weft__labelset_keep(weft__tags_set(r->tags));
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
    weft__known_times(o, first);
    o->now = o->base;
    weft__known_firsts(o, first);
    look_at_strands(o, first);
    look_at_events(o, first);
    look_at_threads(o, start);
    for (size_t i = 0; s && i < s->n && !o->failed; i++) {
        if (s->records[i].state != WEFT__REC_NONE)
            from_record(o, s, i, walk);
    }
    weft__order_threads(o, clear_form, NULL);
    free(walk);
    return !o->failed;
}
