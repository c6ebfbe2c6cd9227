/* SPDX-License-Identifier: MIT */
/* samples.c - see samples.h.
 *
 * Owns: the samples that the trace has not taken yet. Lock: s->lock, a pthread mutex, guards the
 * list. Samples are dropped where the list is full, which a profile of all CPUs at its highest rate
 * fills in a second; a trace takes them out 20 times a second. */
#include "profiles/trace/samples.h"

#include "profiles/cpu/cpu.h"
#include "profiles/table/marks.h"
#include "profiles/trace/tape.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16 };

struct weft__trace_samples {
    struct weft__cpu_sink sink; /* the first member */
    pthread_mutex_t lock;
    struct weft__trace_sample *list;
    size_t n, cap;
    struct weft__walk walk; /* the controller's: the stack of the sample that it adds */
};

/* Returns the mark for a stack that is no task's; 0 if it needs none. */
static uintptr_t mark_of(enum weft__cpu_where where)
{
    switch (where) {
    case WEFT__CPU_SCHEDULER:
        return WEFT__MARK_SCHEDULER;
    case WEFT__CPU_IDLE:
        return WEFT__MARK_IDLE;
    case WEFT__CPU_SWITCH:
        return WEFT__MARK_SWITCH;
    default:
        return 0;
    }
}

/* Interns a sample's stack. A worker's own shows the runtime, so only its mark is kept. */
static uint32_t stack_of(struct weft__trace_samples *s, const struct weft__cpu_sample *one)
{
    uintptr_t mark = mark_of(one->where);

    if (!mark)
        return weft__tape_intern(one->walk);
    s->walk.pcs[0] = mark;
    s->walk.kept = s->walk.depth = 1;
    return weft__tape_intern(&s->walk);
}

/* Makes room for one more. Caller holds the lock. */
static bool make_room(struct weft__trace_samples *s)
{
    struct weft__trace_sample *more;
    size_t cap = s->cap ? 2 * s->cap : 256;

    if (s->n < s->cap || cap > MOST)
        return s->n < s->cap;
    more = realloc(s->list, cap * sizeof(*more));
    if (!more)
        return false;
    s->list = more;
    s->cap = cap;
    return true;
}

static void put(struct weft__trace_samples *s, const struct weft__trace_sample *one)
{
    pthread_mutex_lock(&s->lock);
    if (make_room(s))
        s->list[s->n++] = *one;
    pthread_mutex_unlock(&s->lock);
}

/* The controller calls it. */
static void on_sample(struct weft__cpu_sink *sink, const struct weft__cpu_sample *one)
{
    struct weft__trace_samples *s = (struct weft__trace_samples *)(void *)sink;
    struct weft__trace_sample to = {.ticks = one->at,
                                    .task = one->task & (UINT64_MAX >> 16),
                                    .thread = (uint32_t)one->tid,
                                    .proc = one->proc,
                                    .stack = stack_of(s, one)};

    put(s, &to);
}
_Static_assert(WEFT__CPU_NO_PROC == WEFT__NO_PROC, "no processor has one number");

weft__trace_samples *weft__trace_samples_begin(void)
{
    weft__trace_samples *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->sink.sample = on_sample;
    pthread_mutex_init(&s->lock, NULL);
    weft__cpu_listen(&s->sink);
    return s;
}

void weft__trace_samples_end(weft__trace_samples *s)
{
    if (!s)
        return;
    weft__cpu_listen(NULL);
    pthread_mutex_destroy(&s->lock);
    free(s->list);
    free(s);
}

void weft__trace_samples_take(weft__trace_samples *s, int64_t until,
                              void (*fn)(void *arg, const struct weft__trace_sample *one),
                              void *arg)
{
    struct weft__trace_sample *list;
    size_t n;

    weft__cpu_hand_on();
    pthread_mutex_lock(&s->lock);
    list = s->list;
    n = s->n;
    s->list = NULL;
    s->n = s->cap = 0;
    pthread_mutex_unlock(&s->lock);
    /* Without the lock, since fn may wait for names: the controller would lose samples. */
    for (size_t i = 0; i < n; i++) {
        if (list[i].ticks <= until)
            fn(arg, &list[i]);
        else
            put(s, &list[i]);
    }
    free(list);
}
