/* SPDX-License-Identifier: MIT */
/* settle.c - see settle.h. Owns nothing; no lock.
 *
 * Dropping goes in rounds. A task's last gap in seq says which of its events must go; a strand's
 * latest event that must go takes those before it on the strand with it; and each of these takes
 * the earlier ones of its own task. This ends when a round drops nothing. In a record that was
 * tampered with, seqs may go round in a circle: after ROUNDS everything is dropped. */
#include "profiles/trace/settle.h"

#include <stdlib.h>
#include <string.h>

#include "profiles/table/idmap.h"

enum { ROUNDS = 1000 };

/* A task while it is settled. */
struct life {
    uint64_t task;
    uint32_t from; /* its events with a lower seq go; then: the seq of its next event */
};

struct settling {
    struct weft__span *span;
    size_t *first;      /* of each strand: the first event that stays */
    uint64_t *place;    /* of each strand: where its next event happens */
    struct life *lives; /* open addressing by task id; task 0: free */
    size_t mask;
};

static struct life *life_of(const struct settling *s, uint64_t task)
{
    size_t at = weft__idmap_mix(task) & s->mask;

    while (s->lives[at].task && s->lives[at].task != task)
        at = (at + 1) & s->mask;
    return &s->lives[at];
}

static const struct weft__event *event_at(const struct settling *s, size_t strand, size_t i)
{
    return &s->span->events[s->span->strands[strand].first + i];
}

static bool is_mark(const struct weft__event *e)
{
    return e->kind == WEFT__EV_MARK || e->task == 0;
}

/* Seqs wrap around, after some four billion events of a task. */
static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static int by_task(const void *a, const void *b)
{
    const struct weft__event *x = *(const struct weft__event *const *)a;
    const struct weft__event *y = *(const struct weft__event *const *)b;

    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    return x->seq == y->seq ? 0 : before(x->seq, y->seq) ? -1 : 1;
}

/* Finds the seq behind the last gap of each task. Returns false if memory ran out. */
static bool find_gaps(struct settling *s)
{
    const struct weft__event **all = calloc(s->span->n + 1, sizeof(*all));
    size_t n = 0;

    if (!all)
        return false;
    for (size_t i = 0; i < s->span->n; i++)
        if (!is_mark(&s->span->events[i]))
            all[n++] = &s->span->events[i];
    qsort(all, n, sizeof(*all), by_task);
    for (size_t i = 0; i < n; i++) {
        struct life *l = life_of(s, all[i]->task);

        if (i == 0 || all[i - 1]->task != all[i]->task || all[i - 1]->seq + 1 != all[i]->seq)
            *l = (struct life){all[i]->task, all[i]->seq};
    }
    free(all);
    return true;
}

/* Raises the first event of a strand that stays. Returns whether anything changed. */
static bool drop_round(struct settling *s, size_t strand)
{
    size_t n = s->span->strands[strand].n, first = s->first[strand];
    bool changed = false;

    for (size_t i = 0; i < n; i++) {
        const struct weft__event *e = event_at(s, strand, i);

        if (!is_mark(e) && before(e->seq, life_of(s, e->task)->from))
            first = first > i + 1 ? first : i + 1;
    }
    s->first[strand] = first;
    for (size_t i = 0; i < first; i++) {
        const struct weft__event *e = event_at(s, strand, i);
        struct life *l = is_mark(e) ? NULL : life_of(s, e->task);

        if (l && !before(e->seq, l->from)) {
            l->from = e->seq + 1;
            changed = true;
        }
    }
    return changed;
}

static void drop_rounds(struct settling *s)
{
    bool changed = true;

    for (int round = 0; changed && round < ROUNDS; round++) {
        changed = false;
        for (size_t i = 0; i < s->span->n_strands; i++)
            changed |= drop_round(s, i);
    }
    for (size_t i = 0; changed && i < s->span->n_strands; i++)
        s->first[i] = s->span->strands[i].n;
}

/* Drops the first events of a strand but one, in whose place it puts a mark: of the latest thread,
 * with the processor that it had and the task that it ran then. */
static void drop(struct settling *s, size_t strand)
{
    struct weft__strand *at = &s->span->strands[strand];
    struct weft__event mark = {.kind = WEFT__EV_MARK};
    size_t n = s->first[strand];

    for (size_t i = 0; i < n; i++) {
        const struct weft__event *e = event_at(s, strand, i);

        if (e->kind == WEFT__EV_MARK) {
            mark = *e;
        } else if (e->kind == WEFT__EV_RUN) {
            mark.arg = e->arg;
            mark.task = e->task;
        } else if (e->kind == WEFT__EV_IDLE) {
            mark.arg = weft__event_place(weft__event_thread(mark.arg), WEFT__NO_PROC);
            mark.task = 0;
        } else if (e->kind == WEFT__EV_PARK || e->kind == WEFT__EV_YIELD ||
                   e->kind == WEFT__EV_END) {
            mark.task = 0;
        }
        mark.ticks = e->ticks;
    }
    if (n == 0)
        return;
    s->span->events[at->first + n - 1] = mark;
    at->first += n - 1;
    at->n -= n - 1;
    s->first[strand] = 0;
}

/* Moves a strand's place over an event. */
static void move_place(struct settling *s, size_t strand, const struct weft__event *e)
{
    if (e->kind == WEFT__EV_MARK || e->kind == WEFT__EV_RUN)
        s->place[strand] = e->arg;
}

/* Moves over what is dropped and over marks. Returns false at the end of the strand. */
static bool skip(struct settling *s, size_t strand, size_t *at)
{
    size_t n = s->span->strands[strand].n;

    while (*at < n && (*at < s->first[strand] || is_mark(event_at(s, strand, *at))))
        move_place(s, strand, event_at(s, strand, (*at)++));
    return *at < n;
}

/* Returns the strand whose next event is the earliest of those that can come next; n_strands if
 * there is none. */
static size_t next_strand(struct settling *s, size_t *at)
{
    size_t best = s->span->n_strands;
    int64_t time = INT64_MAX;

    for (size_t i = 0; i < s->span->n_strands; i++) {
        const struct weft__event *e = skip(s, i, &at[i]) ? event_at(s, i, at[i]) : NULL;

        if (e && e->ticks < time && life_of(s, e->task)->from == e->seq) {
            time = e->ticks;
            best = i;
        }
    }
    return best;
}

static size_t put_in_order(struct settling *s, size_t *at, struct weft__settled *to)
{
    size_t n = 0, strand;

    while ((strand = next_strand(s, at)) < s->span->n_strands) {
        const struct weft__event *e = event_at(s, strand, at[strand]++);

        move_place(s, strand, e);
        life_of(s, e->task)->from++;
        to[n++] = (struct weft__settled){e, s->place[strand]};
    }
    return n;
}

struct weft__settled *weft__settle(struct weft__span *span, size_t *n)
{
    struct settling s = {.span = span, .mask = 1023};
    size_t *at = calloc(span->n_strands + 1, sizeof(*at));
    struct weft__settled *list = calloc(span->n + 1, sizeof(*list));
    bool good;

    while (s.mask < span->n * 2)
        s.mask = s.mask * 2 + 1;
    s.first = calloc(span->n_strands + 1, sizeof(*s.first));
    s.place = calloc(span->n_strands + 1, sizeof(*s.place));
    s.lives = calloc(s.mask + 1, sizeof(*s.lives));
    good = at && list && s.first && s.place && s.lives && find_gaps(&s);
    if (good)
        drop_rounds(&s);
    for (size_t i = 0; good && i < span->n_strands; i++)
        drop(&s, i);
    if (good)
        *n = put_in_order(&s, at, list);
    free(at);
    free(s.first);
    free(s.place);
    free(s.lives);
    if (good)
        return list;
    free(list);
    return NULL;
}
