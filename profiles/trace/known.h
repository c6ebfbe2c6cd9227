/* SPDX-License-Identifier: MIT */
/* known.h - an order's state: the tasks, threads and processors of a trace. For order.c, and
 * start.c, which fills it. */
#ifndef WEFT_TRACE_KNOWN_H
#define WEFT_TRACE_KNOWN_H

#include "profiles/table/idmap.h"
#include "profiles/trace/order.h"

#include <string.h>

/* Things that are found by a number. They never move. */
struct weft__known_table {
    struct weft__idmap map;
    void **segments;
    void *latest; /* the element that was found last, which is most often the next; or NULL */
    size_t size;
    uint32_t n, n_segments;
};

struct weft__known_proc {
    uint64_t index;
    uint32_t holder; /* thread; 0 and !held: nobody */
    bool held;
};

struct weft__order {
    struct weft__form *form;
    struct weft__known_table tasks, threads, procs;
    uint32_t span, gone;
    uint64_t active; /* processors that run tasks; 0: not known */
    int64_t now;
    double rate; /* ns a tick in this span */
    int64_t from, base;
    bool failed; /* memory ran out */
};

/* Finds or makes the element of a number, which is its first field of 8 bytes. NULL: there is none,
 * or memory ran out, which sets failed. */
void *weft__known_search(weft__order *o, struct weft__known_table *t, uint64_t key, bool make);
static inline void *weft__known_find(weft__order *o, struct weft__known_table *t, uint64_t key,
                                     bool make)
{
    if (t->latest && memcmp(t->latest, &key, sizeof(key)) == 0)
        return t->latest;
    return weft__known_search(o, t, key, make);
}
void *weft__known_at(const struct weft__known_table *t, uint32_t i);
void weft__known_free(struct weft__known_table *t);
struct weft__traced_task *weft__known_task(weft__order *o, uint64_t id);
struct weft__traced_thread *weft__known_thread(weft__order *o, uint32_t id);
/* Returns the processor of a thread that is no worker: its own, or the first that is free. */
uint32_t weft__known_foreign_proc(weft__order *o, const struct weft__traced_thread *m);
/* Takes the rate of the clock in a span. */
void weft__known_times(weft__order *o, const struct weft__span *s);
/* Notes the first event of each task in the span. After missing events the next is the first. */
void weft__known_firsts(weft__order *o, const struct weft__span *s);

enum { WEFT__KNOWN_SEGMENT = 1024 };

#endif
