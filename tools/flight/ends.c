/* SPDX-License-Identifier: MIT */
/* ends.c - prints the state of tasks when the record ended, and which task waited for which. Owns
 * nothing.
 *
 * Tasks that did the same at the same place are a group, and one line: first those that wait for a
 * lock, by lock, then those that ran, then the others; large groups first. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/sched/sinks.h"
#include "runtime/sched/wait.h"
#include "tools/flight/print.h"

enum { GROUPS_SHOWN = 60, TASKS_NAMED = 5 };

enum class { FOR_LOCK, RAN, WAITED, ENDED };

/* The state of a task at the end. */
struct end {
    const struct task *task;
    const struct weft__event *event;
    const char *state;
    enum class class;
};

struct group {
    const struct end *ends;
    size_t n;
};

/* Says what a task that made this event last does from then on. */
static struct end end_after(const struct task *t)
{
    const struct weft__event *e = last_of(t);

    switch ((enum weft__event_kind)e->kind) {
    case WEFT__EV_RUN:
    case WEFT__EV_CALLED:
    case WEFT__EV_NONE:
        return (struct end){t, e, "ran", RAN};
    case WEFT__EV_CALL:
        return (struct end){t, e, "in a blocking call", RAN};
    case WEFT__EV_LOST:
        return (struct end){t, e, "ran without processor", RAN};
    case WEFT__EV_PARK:
        return (struct end){t, e, weft__wait_text(e->detail),
                            weft__wait_is_for_lock(e->detail) ? FOR_LOCK : WAITED};
    case WEFT__EV_END:
        return (struct end){t, e, "ended", ENDED};
    default:
        return (struct end){t, e, "waited for a processor", RAN};
    }
}

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* 0: they are of one group. */
static int compare_ends(const struct end *a, const struct end *b)
{
    int order = compare(a->class, b->class);

    if (order == 0 && a->class == FOR_LOCK)
        order = compare(a->event->arg, b->event->arg);
    if (order == 0)
        order = compare((uintptr_t)a->state, (uintptr_t)b->state);
    return order ? order : compare(a->event->stack, b->event->stack);
}

/* Within a group the task that did it for longest goes first. */
static int by_group(const void *x, const void *y)
{
    const struct end *a = x, *b = y;
    int order = compare_ends(a, b);

    return order ? order
                 : (a->event->ticks > b->event->ticks) - (a->event->ticks < b->event->ticks);
}

static int by_size(const void *x, const void *y)
{
    const struct group *a = x, *b = y;
    int order = compare(a->ends->class, b->ends->class);

    order = order ? order : compare(b->n, a->n);
    return order ? order
                 : compare(a->ends->task->events->event->task, b->ends->task->events->event->task);
}

/* Returns the task that another one woke last from a wait for an object: of a lock, the task that
 * got it last. 0: none. */
static uint64_t last_woken(const summary *p, uint64_t object)
{
    const struct weft__event *last = NULL;

    for (size_t i = 0; i + 1 < p->n; i++) {
        const struct weft__event *e = p->sorted[i].event, *next = p->sorted[i + 1].event;

        if (e->kind == WEFT__EV_PARK && e->arg == object && next->task == e->task &&
            next->kind == WEFT__EV_READY && next->detail == WEFT__BY_TASK &&
            (!last || next->ticks > last->ticks))
            last = next;
    }
    return last ? last->task : 0;
}

static void print_tasks_of(const summary *p, const struct group *g)
{
    for (size_t i = 0; i < g->n && i < TASKS_NAMED; i++) {
        uint64_t id = g->ends[i].event->task;

        printf("%s %llu", i ? "," : g->n == 1 ? "task" : "tasks", (unsigned long long)id);
        if (task_name(p, id)[0])
            printf(" %s", task_name(p, id));
    }
    if (g->n > TASKS_NAMED)
        printf(" and %zu more", g->n - TASKS_NAMED);
}

static void print_group(const summary *p, const struct group *g)
{
    const struct weft__event *e = g->ends->event;
    uint64_t got;

    printf("  %s", g->ends->state);
    if (e->kind == WEFT__EV_PARK && e->arg && (g->n == 1 || g->ends->class == FOR_LOCK))
        printf(" 0x%llx", (unsigned long long)e->arg);
    printf(g->n == 1 ? " for %.3f ms: " : " for up to %.3f ms: ", ago(p, e));
    print_tasks_of(p, g);
    if (g->ends->class == FOR_LOCK && (got = last_woken(p, e->arg)))
        printf("; task %llu %s got it last", (unsigned long long)got, task_name(p, got));
    if (e->stack && e->kind == WEFT__EV_READY)
        printf("; woken"); /* the stack is the waker's */
    if (e->stack && e->kind == WEFT__EV_SPAWN)
        printf("; made");
    print_stack(p, e->stack);
    putchar('\n');
}

/* Makes groups of sorted ends, but of tasks that have ended. Returns how many. */
static size_t make_groups(const struct end *ends, size_t n, struct group *to)
{
    size_t made = 0;

    for (size_t i = 0; i < n && ends[i].class != ENDED; i++) {
        if (made == 0 || compare_ends(to[made - 1].ends, &ends[i]) != 0)
            to[made++] = (struct group){&ends[i], 0};
        to[made - 1].n++;
    }
    return made;
}

bool print_ends(const summary *p)
{
    struct end *ends = calloc(p->n_tasks + 1, sizeof(*ends));
    struct group *groups = calloc(p->n_tasks + 1, sizeof(*groups));
    size_t n;

    if (ends && groups) {
        for (size_t i = 0; i < p->n_tasks; i++)
            ends[i] = end_after(&p->tasks[i]);
        qsort(ends, p->n_tasks, sizeof(*ends), by_group);
        n = make_groups(ends, p->n_tasks, groups);
        qsort(groups, n, sizeof(*groups), by_size);
        printf("\nwhat tasks did at the end, and for how long:\n");
        for (size_t i = 0; i < n && i < GROUPS_SHOWN; i++)
            print_group(p, &groups[i]);
        if (n > GROUPS_SHOWN)
            printf("  and %zu more such lines\n", n - GROUPS_SHOWN);
    }
    free(ends);
    free(groups);
    return ends && groups;
}
