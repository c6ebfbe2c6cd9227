/* SPDX-License-Identifier: MIT */
/* goroutine.c - the profile of all tasks. Its views are snapshots. Owns its descriptor alone;
 * called as profile.h says. */
#include "profiles/account/profile.h"

#include "profiles/render/dump.h"
#include "runtime/sched/scheduler.h"

#include <weft/dump.h>

enum { PER_TASK };

static void *take(const struct weft__asked *a)
{
    const struct weft__snapshot *s;

    (void)a;
    return weft__snapshot_get(&s) == 0 ? (void *)(uintptr_t)s : NULL;
}

static int write_tasks(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                       const struct weft__sink *to)
{
    static const enum weft_dump_form forms[] = {WEFT_DUMP_PPROF, WEFT_DUMP_MERGED, WEFT_DUMP_TASKS,
                                                WEFT_DUMP_FULL};

    struct weft__snapshot s = *(const struct weft__snapshot *)view;

    (void)duration; /* the views know their times */
    s.form = a->form;
    s.page = a->page;
    if (from)
        return weft__tasks_pprof_delta(from, &s, to);
    return weft__tasks_write(&s, a->params[PER_TASK] ? WEFT_DUMP_PPROF_EACH : forms[a->debug], to);
}

static void drop(void *view)
{
    weft__snapshot_put(view);
}

static size_t size(const void *view)
{
    return ((const struct weft__snapshot *)view)->alive;
}

static int count(const struct weft__profile *p)
{
    struct weft__census c;

    (void)p;
    weft__tasks_count(&c);
    return (int)(c.states[WEFT__RUNNABLE] + c.states[WEFT__RUNNING] + c.states[WEFT__PARKED] +
                 c.states[WEFT__LOST]);
}

static const struct weft__pprof_type value = {"goroutine", "count"};
/* A binary form of one sample a task. */
static const struct weft__param params[] = {{.name = "per_task", .is_form = true}, {.name = NULL}};

const struct weft__profile weft__profile_goroutine = {
    .name = "goroutine",
    .about = "All tasks, with state and stack. debug=1 counts tasks with equal stacks and labels "
             "together, debug=2 is the text of a Go panic, debug=3 adds names, labels, holders of "
             "locks and exact times. per_task=1 is the binary form with one sample for each task, "
             "which has the task's id, state and wait as labels.",
    .other_name = "goroutines",
    .changes = true,
    .values = &value,
    .n_values = 1,
    .params = params,
    .take = take,
    .write = write_tasks,
    .drop = drop,
    .size = size,
    .count = count,
};
