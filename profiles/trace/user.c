/* SPDX-License-Identifier: MIT */
/* user.c - weft/trace.h's traced tasks, regions and logs: tells them to the sinks.
 *
 * Owns: the numbers of traced tasks, which are not used again. */
#include "profiles/trace/user.h"

#include "runtime/sched/sinks.h"

#include <weft/trace.h>

static uint32_t last; /* atomic */

/* Tells a note from inside the runtime, so that it is in order with the task's other events. */
static WEFT__NOINLINE void tell(const char *call, const struct weft__note *n)
{
    weft__worker *w = weft__enter_try(call);

    if (!w)
        return;
    weft__tell(note, w->task, n);
    weft__exit();
}

uint64_t weft_trace_task_begin(const char *name, uint64_t parent)
{
    struct weft__note n = {.kind = WEFT__EV_TASK_BEGIN, .parent = parent, .name = name};

    if (weft__likely(!weft__heard(note)))
        return 0;
    n.task = (uint32_t)(weft__add(&last, 1) + 1);
    tell("weft_trace_task_begin", &n);
    return n.task;
}

void weft_trace_task_end(uint64_t task)
{
    if (task != 0 && weft__heard(note))
        tell("weft_trace_task_end", &(struct weft__note){.kind = WEFT__EV_TASK_END, .task = task});
}

void weft_trace_region_begin(uint64_t task, const char *name)
{
    if (weft__heard(note))
        tell("weft_trace_region_begin",
             &(struct weft__note){.kind = WEFT__EV_REGION_BEGIN, .task = task, .name = name});
}

void weft_trace_region_end(uint64_t task, const char *name)
{
    if (weft__heard(note))
        tell("weft_trace_region_end",
             &(struct weft__note){.kind = WEFT__EV_REGION_END, .task = task, .name = name});
}

void weft_trace_log(uint64_t task, const char *key, const char *value)
{
    if (weft__heard(note))
        tell("weft_trace_log",
             &(struct weft__note){.kind = WEFT__EV_LOG, .task = task, .name = key, .value = value});
}
