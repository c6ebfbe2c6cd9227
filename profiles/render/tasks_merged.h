/* SPDX-License-Identifier: MIT */
/* tasks_merged.h - reads the records of a snapshot for its renderers, and renders tasks merged by
 * equal stacks and labels.
 *
 * The inline functions only read a snapshot: any thread. The others may wait for the symbolizer and
 * for the sink: no lock held. */
#ifndef WEFT_TASKS_MERGED_H
#define WEFT_TASKS_MERGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/capture/snapshot.h"

/* Returns whether dumps and profiles show this record. */
static inline bool weft__record_is_shown(const struct weft__record *r)
{
    return r->state != WEFT__REC_NONE && !(r->flags & WEFT__REC_SYSTEM);
}

/* Returns the stack of a record; NULL if it has none, or no frames. */
static inline const struct weft__stack_entry *weft__record_stack(const struct weft__snapshot *s,
                                                                 const struct weft__record *r)
{
    const struct weft__stack_entry *e;

    if (!r->stack || (r->flags & WEFT__REC_NO_STACK))
        return NULL;
    e = weft__stacktab_get(s->stacks, r->stack);
    return e->kept ? e : NULL;
}

/* Returns what to add to the PCs of a record's stack to make return addresses of them: 1 if the
 * stack is the address of a function that was not entered yet. */
static inline uintptr_t weft__record_shift(const struct weft__record *r)
{
    return r->flags & WEFT__REC_UNSTARTED ? 1 : 0;
}

/* Returns for how many ns the task has waited, or has been in a declared call or without a
 * processor; -1 if it does none of these. */
static inline int64_t weft__record_waited(const struct weft__snapshot *s,
                                          const struct weft__record *r)
{
    if (r->since == 0 || r->state == WEFT__REC_RUNNABLE)
        return -1;
    return s->now > r->since ? s->now - r->since : 0;
}

/* Begins a profile of tasks at the time of s. duration: ns, or 0 if it is no difference. Returns
 * NULL if memory ran out. */
struct weft__pprof *weft__tasks_pprof_begin(const struct weft__snapshot *s, int64_t duration,
                                            const struct weft__sink *to);

/* debug=1; tasks_merged.c */
int weft__tasks_merged(const struct weft__snapshot *s, const struct weft__sink *to);

#endif
