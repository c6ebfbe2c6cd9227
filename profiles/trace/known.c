/* SPDX-License-Identifier: MIT */
/* known.c - see known.h. Owns nothing. */
#include "profiles/trace/known.h"

#include "runtime/base/clock.h"

#include <string.h>

void *weft__known_at(const struct weft__known_table *t, uint32_t i)
{
    return (char *)t->segments[i / WEFT__KNOWN_SEGMENT] +
           (size_t)(i % WEFT__KNOWN_SEGMENT) * t->size;
}

void *weft__known_search(weft__order *o, struct weft__known_table *t, uint64_t key, bool make)
{
    uint64_t hash = weft__idmap_mix(key);
    uint32_t id, at = weft__idmap_first(&t->map, hash);
    void *e;

    while ((id = weft__idmap_next(&t->map, hash, &at))) {
        e = weft__known_at(t, id - 1);
        if (memcmp(e, &key, sizeof(key)) == 0)
            return t->latest = e;
    }
    if (!make)
        return NULL;
    if (t->n == t->n_segments * WEFT__KNOWN_SEGMENT) {
        void **more = realloc(t->segments, (t->n_segments + 1) * sizeof(*more));

        if (more)
            t->segments = more;
        if (!more || !(more[t->n_segments] = calloc(WEFT__KNOWN_SEGMENT, t->size))) {
            o->failed = true;
            return NULL;
        }
        t->n_segments++;
    }
    if (!weft__idmap_add(&t->map, hash, t->n + 1)) {
        o->failed = true;
        return NULL;
    }
    e = weft__known_at(t, t->n++);
    memcpy(e, &key, sizeof(key));
    return e;
}

void weft__known_free(struct weft__known_table *t)
{
    for (uint32_t i = 0; i < t->n_segments; i++)
        free(t->segments[i]);
    free(t->segments);
    weft__idmap_free(&t->map);
    memset(t, 0, sizeof(*t));
}

struct weft__traced_task *weft__known_task(weft__order *o, uint64_t id)
{
    return weft__known_find(o, &o->tasks, id, true);
}

struct weft__traced_thread *weft__known_thread(weft__order *o, uint32_t id)
{
    uint32_t n = o->threads.n;
    struct weft__traced_thread *t = weft__known_find(o, &o->threads, id, true);

    if (t && o->threads.n > n)
        t->proc = t->last = WEFT__NO_PROC;
    return t;
}

uint32_t weft__known_foreign_proc(weft__order *o, const struct weft__traced_thread *m)
{
    const struct weft__known_proc *p;
    uint32_t index = WEFT__PROC_FOREIGN;

    if (m->proc != WEFT__NO_PROC)
        return m->proc;
    while ((p = weft__known_find(o, &o->procs, index, false)) && p->held)
        index++;
    return index;
}

void weft__known_times(weft__order *o, const struct weft__span *s)
{
    int64_t until = weft__ticks_to_nanos(s->until);

    o->from = s->from;
    o->base = weft__ticks_to_nanos(s->from);
    o->rate = s->until > s->from ? (double)(until - o->base) / (double)(s->until - s->from) : 1;
}

void weft__known_firsts(weft__order *o, const struct weft__span *s)
{
    o->span++;
    for (size_t i = 0; i < s->n && !o->failed; i++) {
        const struct weft__event *e = &s->events[i];
        struct weft__traced_task *t =
            e->task == 0 || e->kind == WEFT__EV_MARK ? NULL : weft__known_task(o, e->task);

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
