/* SPDX-License-Identifier: MIT */
/* sample.c - see sample.h. Owns nothing. */
#include "profiles/account/sample.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/render/labels.h"
#include "profiles/render/output.h"
#include "profiles/render/stack_text.h"
#include "profiles/table/labelset.h"
#include "runtime/sched/wait.h"

/* The words of a sample: these, its stack, the holder's. */
enum { LABELS, KIND, OBJECT, LENGTH, STACKS };
enum { ROOM = WEFT__WALK_ROOM - STACKS, NO_PAIR = WEFT__WAIT_COUNT /* else the reason */ };

/* Copies a stack. If it has more frames than `most`, a mark replaces its middle. Returns the number
 * of words. */
static size_t copy(uintptr_t *to, const uintptr_t *pcs, size_t n, size_t most)
{
    size_t inner = n > most ? most / 2 - 2 : n, outer = most / 2, used = inner;

    if (n == 0) /* then pcs may be NULL */
        return 0;
    memcpy(to, pcs, inner * sizeof(*to));
    if (n <= most)
        return n;
    to[used++] = WEFT__MARK_CUT;
    for (size_t i = inner; i < n - outer; i++) {
        if (pcs[i] == WEFT__MARK_GUESS)
            to[used++] = WEFT__MARK_GUESS;
    }
    memcpy(to + used, pcs + n - outer, outer * sizeof(*to));
    return used + outer;
}

void weft__sample_join(struct weft__walk *to, const struct weft__sample *s)
{
    size_t most = s->is_pair ? ROOM / 2 : ROOM;
    size_t n = copy(to->pcs + STACKS, s->pcs, s->n, most);
    size_t m = copy(to->pcs + STACKS + n, s->holder, s->n_holder, most); /* 0 if it is no pair */

    to->pcs[LABELS] = s->labels;
    to->pcs[KIND] = s->is_pair ? s->reason : NO_PAIR;
    to->pcs[OBJECT] = (uintptr_t)s->object;
    to->pcs[LENGTH] = n;
    to->kept = to->depth = (uint32_t)(STACKS + n + m);
}

struct weft__sample weft__sample_of(const struct weft__stack_entry *e)
{
    size_t n = e->pcs[LENGTH];

    return (struct weft__sample){
        .pcs = e->pcs + STACKS,
        .n = n,
        .labels = (uint32_t)e->pcs[LABELS],
        .is_pair = e->pcs[KIND] != NO_PAIR,
        .reason = (unsigned)e->pcs[KIND],
        .object = (const void *)e->pcs[OBJECT],
        .holder = e->pcs + STACKS + n,
        .n_holder = e->kept - STACKS - n,
    };
}

bool weft__samples_add(weft__buckets *to, const weft__buckets *from, int times)
{
    struct weft__walk *walk = malloc(sizeof(*walk));
    size_t n;
    struct weft__bucket *all = weft__buckets_read(from, times, &n);
    bool good = walk && all;

    for (size_t i = 0; good && i < n; i++) {
        struct weft__sample s = weft__sample_of(all[i].stack);

        s.labels = weft__labelset_now(s.labels);
        weft__sample_join(walk, &s);
        weft__buckets_add(to, walk, all[i].values);
    }
    free(all);
    free(walk);
    return good;
}

/* Writes a pair as one stack, in which the two functions that meet at the lock are neighbours. From
 * root to leaf it has the waiter from its outermost frame to its innermost, "-- held by --", and
 * the holder from its innermost frame to its outermost. Writes the only stack if it is no pair.
 * Returns the number of words. */
static size_t joined(const struct weft__sample *s, uintptr_t *to)
{
    size_t n = 0;

    for (size_t i = s->n_holder; i > 0; i--)
        to[n++] = s->holder[i - 1];
    if (s->is_pair)
        to[n++] = WEFT__MARK_HELD_BY;
    for (size_t i = 0; i < s->n; i++)
        to[n++] = s->pcs[i];
    return n;
}

static int64_t time_of(const struct weft__bucket *b)
{
    return b->values[WEFT__SAMPLE_TIME];
}

static int compare_times(const void *va, const void *vb)
{
    int64_t a = time_of(va), b = time_of(vb);

    return a > b ? -1 : a < b;
}

/* Cuts down the largest times until the sum of all fits into 64 bits, which hold 292 years: a
 * million waits of three hours. Readers add all times up. The other times stay true. */
static void fit(struct weft__bucket *all, size_t n)
{
    int64_t left = INT64_MAX;

    for (size_t i = n; i > 0; i--) {
        int64_t most = left / (int64_t)i;

        if (time_of(&all[i - 1]) > most)
            all[i - 1].values[WEFT__SAMPLE_TIME] = most;
        left -= time_of(&all[i - 1]);
    }
}

static int64_t whole(int64_t count)
{
    return count < WEFT__PARTS ? 1 : (count + WEFT__PARTS / 2) / WEFT__PARTS;
}

/* Reads the samples with a time, the longest first, with whole counts. Returns NULL if memory ran
 * out. */
static struct weft__bucket *sorted(const weft__buckets *b, size_t *n)
{
    struct weft__bucket *all = weft__buckets_read(b, 1, n);

    if (!all)
        return NULL;
    qsort(all, *n, sizeof(*all), compare_times);
    while (*n > 0 && time_of(&all[*n - 1]) <= 0)
        --*n;
    fit(all, *n);
    for (size_t i = 0; i < *n; i++)
        all[i].values[WEFT__SAMPLE_COUNT] = whole(all[i].values[WEFT__SAMPLE_COUNT]);
    return all;
}

/* Memory to encode one sample, which is large for a task's stack. */
struct scratch {
    uintptr_t pcs[WEFT__WALK_ROOM];
    struct weft__pprof_label labels[2 + WEFT_LABELS_MAX];
    char object[24];
};

static size_t labels_of(const struct weft__sample *s, const weft__tags *set, struct scratch *x)
{
    size_t n = 0;

    if (s->is_pair) {
        snprintf(x->object, sizeof(x->object), s->object ? "0x%" PRIxPTR : "many",
                 (uintptr_t)s->object);
        x->labels[n++] = (struct weft__pprof_label){.key = "object", .str = x->object};
        x->labels[n++] =
            (struct weft__pprof_label){.key = "reason", .str = weft__wait_text(s->reason)};
    }
    return weft__labels_add(x->labels, n, set);
}

static int add(weft__pprof *p, const struct weft__bucket *b, bool counted, struct scratch *x)
{
    const struct weft__sample s = weft__sample_of(b->stack);
    weft__tags *set = weft__labelset_get(s.labels);
    int rc = weft__pprof_add(
        p, &(struct weft__pprof_sample){.pcs = x->pcs,
                                        .n = joined(&s, x->pcs),
                                        .values = b->values + (counted ? 0 : WEFT__SAMPLE_TIME),
                                        .labels = x->labels,
                                        .n_labels = labels_of(&s, set, x)});

    weft__tags_drop(set);
    return rc;
}

static int write_pprof(const struct weft__pprof_head *head, const weft__buckets *b,
                       const struct weft__sink *to)
{
    struct scratch *x = malloc(sizeof(*x));
    size_t n;
    struct weft__bucket *all = sorted(b, &n);
    weft__pprof *p = x && all ? weft__pprof_begin(head, to) : NULL;
    int rc = 0;

    for (size_t i = 0; p && i < n && rc == 0; i++)
        rc = add(p, &all[i], head->n_types == 2, x);
    free(x);
    free(all);
    return p ? weft__pprof_end(p, rc) : -ENOMEM;
}

/* pcs: scratch. */
static void put(struct weft__out *o, const struct weft__bucket *b, uintptr_t *pcs)
{
    const struct weft__sample s = weft__sample_of(b->stack);
    weft__tags *set = weft__labelset_get(s.labels);

    weft__out_dec(o, (uint64_t)time_of(b));
    weft__out_char(o, ' ');
    weft__out_dec(o, (uint64_t)b->values[WEFT__SAMPLE_COUNT]);
    weft__out_str(o, " @");
    weft__stack_text_addresses(o, pcs, joined(&s, pcs), 0);
    weft__labels_put(o, set);
    weft__tags_drop(set);
    if (s.is_pair) {
        weft__out_str(o, "# ");
        weft__out_str(o, weft__wait_text(s.reason));
        weft__out_str(o, " ");
        if (s.object)
            weft__out_hex(o, (uintptr_t)s.object);
        else
            weft__out_str(o, "many");
        weft__out_char(o, '\n');
    }
    weft__stack_text_frames(o, s.pcs, s.n, 0);
    if (s.is_pair) {
        weft__out_str(o, "# " WEFT__HELD_BY "\n");
        weft__stack_text_frames(o, s.holder, s.n_holder, 0);
    }
    weft__out_char(o, '\n');
}

static int write_text(const char *head, const weft__buckets *b, const struct weft__sink *to)
{
    struct weft__out *o = weft__out_new(to);
    uintptr_t *pcs = malloc(WEFT__WALK_ROOM * sizeof(*pcs));
    size_t n = 0;
    struct weft__bucket *all = sorted(b, &n);
    int rc = -ENOMEM;

    if (o && pcs && all) {
        weft__out_str(o, head);
        for (size_t i = 0; i < n && o->rc == 0; i++)
            put(o, &all[i], pcs);
        rc = weft__out_end(o);
        o = NULL;
    }
    free(o);
    free(pcs);
    free(all);
    return rc;
}

int weft__samples_write(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                        const struct weft__sink *to)
{
    const struct weft__pprof_head head = weft__asked_head(a, duration);

    (void)from; /* no view is the difference of two */
    return a->debug ? write_text(a->profile->text_head, view, to) : write_pprof(&head, view, to);
}
