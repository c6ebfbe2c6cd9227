/* SPDX-License-Identifier: MIT */
/* print.h - the sorted record, which the parts of the summary print.
 *
 * Times are in milliseconds before the last event of all. */
#ifndef WEFT_TOOLS_PRINT_H
#define WEFT_TOOLS_PRINT_H

#include "tools/flight/summary.h"

/* A task's events, in its order; n >= 1. */
struct task {
    const struct weft__settled *events;
    size_t n;
};

/* The record, sorted. */
struct summary {
    const struct weft__trace_words *words;
    const struct weft__settled *list; /* all events, as they came; the caller's */
    size_t n;
    int64_t begin, end;           /* ns of the first and of the last event */
    struct weft__settled *sorted; /* all events, by task and its order */
    struct task *tasks;           /* the last event of the first one is the latest */
    size_t n_tasks;
};

/* Returns the last event of a task. */
static inline const struct weft__event *last_of(const struct task *t)
{
    return t->events[t->n - 1].event;
}

double ago(const summary *p, const struct weft__event *e);
const char *task_name(const summary *p, uint64_t task); /* or "" */
/* Prints the library's call that the task made, and the innermost frames around it. */
void print_stack(const summary *p, uint32_t stack);

/* ends.c. Prints what the tasks did at the end, those that did the same on one line. Returns false
 * if memory ran out. */
bool print_ends(const summary *p);

#endif
