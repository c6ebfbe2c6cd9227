/* SPDX-License-Identifier: MIT */
/* group.c - groups of tasks: count, first error, deadline, cancellation.
 *
 * Lock: g->_lock (rank GROUP, parent before child) guards every field, the tasks linked on
 * _tasks and the groups linked on _children; _timer is atomic. _state has CANCELED. A group hangs
 * below the group of the task that first starts a task in it, from then until one of the two was
 * waited for.
 *
 * Cancel marks tasks, fences heavily, and ends their open waits; park opens its ticket, fences
 * lightly and looks at the mark (park.c). */
#include "group.h"

#include "park.h"

#include <string.h>

_Static_assert(sizeof(weft_group) == 80, "part of the ABI");

enum { CANCELED = 1, LINKED = 2 };

/* Rank GROUP, before any group's: guards _parent of all groups. A group may outlive the one above,
 * so whoever goes up holds it. */
static uint32_t tree;

static void cancel(weft_group *g);

struct deadline {
    weft__timer timer;
    weft_group *group;
};

static inline weft__waitq *queue(weft_group *g)
{
    return (weft__waitq *)g->_waiters;
}

/* Below the group of t, which cannot end before t does. */
static void link_parent(weft_group *g, weft__task *t)
{
    weft_group *parent = t->group;
    bool canceled;

    if (!parent || parent == g)
        return;
    weft__lock(&tree);
    weft__lock(&parent->_lock);
    g->_parent = parent;
    g->_prev = NULL;
    g->_next = parent->_children;
    if (g->_next)
        g->_next->_prev = g;
    parent->_children = g;
    canceled = parent->_state & CANCELED;
    weft__unlock(&parent->_lock);
    weft__unlock(&tree);
    if (canceled)
        cancel(g); /* others may have started tasks in it meanwhile */
}

/* Under tree. */
static void unlink_parent(weft_group *g)
{
    weft_group *parent = g->_parent;

    if (!parent)
        return;
    weft__lock(&parent->_lock);
    if (g->_prev)
        g->_prev->_next = g->_next;
    else
        parent->_children = g->_next;
    if (g->_next)
        g->_next->_prev = g->_prev;
    weft__unlock(&parent->_lock);
    g->_parent = NULL;
}

/* The groups below g go on without it. Under tree. */
static void leave_children(weft_group *g)
{
    weft__lock(&g->_lock);
    for (weft_group *c = g->_children; c; c = c->_next)
        c->_parent = NULL;
    g->_children = NULL;
    weft__unlock(&g->_lock);
}

void weft_group_go(weft_group *g, weft_main_fn *fn, void *arg)
{
    weft__worker *w = weft__enter("weft_group_go");
    weft__task *t = weft__task_new(w->p, NULL, (weft_task_fn *)(void (*)(void))fn, arg), *first;

    if (!(weft__load(&g->_state) & LINKED) && !(weft__or(&g->_state, LINKED) & LINKED))
        link_parent(g, w->task);
    weft__flag_set(t, WEFT__JOINS);
    weft__lock(&g->_lock);
    first = g->_tasks;
    t->group = g;
    t->group_prev = NULL;
    t->group_next = first;
    if (first)
        first->group_prev = t;
    g->_tasks = t;
    g->_count++;
    weft__store(&t->canceled, weft__load(&g->_state) & CANCELED ? 1u : 0u);
    weft__unlock(&g->_lock);
    weft__spawn(w, t, (uintptr_t)__builtin_return_address(0));
    weft__exit();
}

/* Unlinks t; wakes those that wait when it was the last. They may free the group at once. */
void weft__group_leave(weft__task *t, int result)
{
    weft_group *g = t->group;
    weft__waitq woken = {NULL, NULL};
    weft__waiter *wt;

    weft__enter("a task's end");
    weft__lock(&g->_lock);
    if (t->group_prev)
        t->group_prev->group_next = t->group_next;
    else
        g->_tasks = t->group_next;
    if (t->group_next)
        t->group_next->group_prev = t->group_prev;
    t->group = NULL;
    if (result != 0 && g->_err == 0)
        g->_err = result;
    if (--g->_count == 0) {
        while ((wt = weft__waitq_claim(queue(g), 0)) != NULL)
            weft__waitq_push(&woken, wt);
    }
    weft__unlock(&g->_lock);
    while ((wt = weft__waitq_pop(&woken)) != NULL)
        weft__ready(wt->task);
    weft__exit();
}

/* Marks all that is below g. */
static void mark(weft_group *g)
{
    weft__lock(&g->_lock);
    weft__or(&g->_state, CANCELED);
    for (weft__task *t = g->_tasks; t; t = t->group_next)
        weft__store(&t->canceled, 1);
    for (weft_group *c = g->_children; c; c = c->_next)
        mark(c);
    weft__unlock(&g->_lock);
}

/* Wakes all that is below g. Ready under the lock: GROUP ranks below OBJECT. */
static void wake(weft_group *g)
{
    weft__lock(&g->_lock);
    for (weft__task *t = g->_tasks; t; t = t->group_next)
        weft__cancel(t);
    for (weft_group *c = g->_children; c; c = c->_next)
        wake(c);
    weft__unlock(&g->_lock);
}

static void cancel(weft_group *g)
{
    mark(g);
    weft__fence_heavy();
    wake(g);
}

void weft_group_cancel(weft_group *g)
{
    weft__enter("weft_group_cancel");
    cancel(g);
    weft__exit();
}

static void deadline_passed(weft__timer *timer, uint64_t arg, int64_t now)
{
    (void)arg;
    (void)now;
    cancel(weft__container_of(timer, struct deadline, timer)->group);
}

static void deadline_end(struct deadline *d)
{
    if (!d)
        return;
    weft__timer_disarm_wait(&d->timer);
    weft__free(d);
}

/* Whoever takes the deadline out of g has it alone. If two move it at once, one of them finds none
 * there and makes another; the one that is put back last stays. */
void weft_group_deadline(weft_group *g, weft_time when)
{
    struct deadline *d;

    weft__enter("weft_group_deadline");
    d = weft__xchg(&g->_timer, NULL);
    if (!d) {
        d = weft__alloc(1, sizeof(*d));
        d->timer.fire = deadline_passed;
        d->group = g;
    }
    weft__timer_disarm_wait(&d->timer);
    if (when <= weft__nanos())
        cancel(g);
    else if (when != WEFT_FOREVER)
        weft__timer_arm(&d->timer, when, 0);
    deadline_end(weft__xchg(&g->_timer, d));
    weft__exit();
}

/* Nothing of the runtime refers to g once all that waited for it have returned; the first of them
 * does the work. */
static int all_done(weft_group *g)
{
    deadline_end(weft__xchg(&g->_timer, NULL));
    if (weft__and(&g->_state, ~(uint32_t)LINKED) & LINKED) {
        weft__lock(&tree);
        unlink_parent(g);
        leave_children(g);
        weft__unlock(&tree);
    }
    return g->_err;
}

static int wait_for_all(weft_group *g, enum weft__reason why, weft_time deadline)
{
    weft__worker *w = weft__enter("weft_group_wait");
    weft__waiter wt;
    int rc = 0;

    weft__lock(&g->_lock);
    if (g->_count == 0) {
        weft__unlock(&g->_lock);
    } else {
        weft__waiter_init(&wt, w->task);
        weft__waitq_push(queue(g), &wt);
        rc = weft__park_unlock(w->task, why, g, &g->_lock, deadline);
        if (rc < 0) {
            weft__lock(&g->_lock);
            weft__waitq_remove(queue(g), &wt);
            weft__unlock(&g->_lock);
        }
    }
    if (rc == 0)
        rc = all_done(g);
    weft__exit();
    return rc;
}

int weft_group_wait_until(weft_group *g, weft_time deadline)
{
    return wait_for_all(g, WEFT__WAIT_GROUP, deadline);
}

int weft_group_join(weft_group *g)
{
    return wait_for_all(g, WEFT__WAIT_JOIN, WEFT_FOREVER);
}

bool weft_group_is_canceled(const weft_group *g)
{
    weft__not_forked("weft_group_is_canceled");
    return weft__load(&g->_state) & CANCELED;
}
