/* SPDX-License-Identifier: MIT */
/* tasks_merged.c - writes a snapshot with equal tasks counted together: debug=1 and pprof.
 *
 * Tasks with equal stacks and equal labels share a bucket. So do those without a stack, and those
 * that were not started yet and have the same function. Memory: 24 bytes for each distinct stack,
 * and as much again, with two slots of a table, for each stack with labels.
 *
 * Owns nothing. Called by any task or thread with no lock held: it may wait for the symbolizer and
 * for the sink. */
#include "profiles/render/tasks_merged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/render/labels.h"
#include "profiles/render/output.h"
#include "profiles/render/pprof.h"
#include "profiles/render/stack_text.h"
#include "profiles/table/idmap.h"

/* All tasks with one stack and the same labels. */
struct bucket {
    const struct weft__stack_entry *stack; /* or NULL */
    const weft__tags *set;                 /* the labels, borrowed from one of the tasks; or NULL */
    uint32_t count;                        /* tasks */
    uint32_t shift;                        /* to add to the PCs to make return addresses */
};

/* The buckets. While tasks are added, list[id] is the bucket without labels of the stack with this
 * id, and buckets with labels follow in the order in which they are made. */
struct buckets {
    struct bucket *list;
    size_t n, room;
    uint64_t total;             /* tasks */
    struct weft__idmap labeled; /* finds a bucket with labels: its index in list */
};

static struct bucket *bucket_add(struct buckets *all)
{
    if (all->n == all->room) {
        size_t room = all->room * 2;
        struct bucket *bigger = realloc(all->list, room * sizeof *bigger);

        if (!bigger)
            return NULL;
        all->list = bigger;
        all->room = room;
    }
    all->list[all->n] = (struct bucket){.count = 0};
    return &all->list[all->n++];
}

/* Finds the bucket of a stack with labels, and adds it if it is not there. Returns NULL if memory
 * ran out. */
static struct bucket *bucket_labeled(struct buckets *all, const struct weft__stack_entry *e,
                                     const weft__tags *set)
{
    uint64_t hash = weft__idmap_mix(set->hash ^ (uintptr_t)e);
    uint32_t id, at = weft__idmap_first(&all->labeled, hash);
    struct bucket *new;

    while ((id = weft__idmap_next(&all->labeled, hash, &at))) {
        struct bucket *have = &all->list[id];

        if (have->stack == e && have->set->hash == set->hash &&
            weft__tags_compare(have->set, set) == 0)
            return have;
    }
    new = bucket_add(all);
    if (!new || !weft__idmap_add(&all->labeled, hash, (uint32_t)(new - all->list)))
        return NULL;
    new->set = set;
    return new;
}

/* Finds the bucket for a task. The map can use 0 for "none", because list[0] is the bucket without
 * stack and labels. Returns NULL if memory ran out. */
static struct bucket *bucket_of(struct buckets *all, const struct weft__record *r,
                                const struct weft__stack_entry *e)
{
    const weft__tags *set = weft__tags_set(r->tags);

    return set ? bucket_labeled(all, e, set) : &all->list[e ? r->stack : 0];
}

static void buckets_free(struct buckets *all)
{
    weft__idmap_free(&all->labeled);
    free(all->list);
}

/* Removes the buckets without tasks. */
static void squeeze(struct buckets *all)
{
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++) {
        if (all->list[i].count)
            all->list[n++] = all->list[i];
    }
    all->n = n;
}

/* Puts the tasks of a snapshot into buckets. The caller frees these, also after an error. Returns 0
 * or -ENOMEM. */
static int merge(const struct weft__snapshot *s, struct buckets *buckets)
{
    size_t room = (s->stacks ? weft__stacktab_count(s->stacks) : 0) + (size_t)1;

    *buckets =
        (struct buckets){.list = calloc(room, sizeof(struct bucket)), .room = room, .n = room};
    if (!buckets->list)
        return -ENOMEM;
    for (size_t i = 0; i < s->n; i++) {
        const struct weft__record *r = &s->records[i];
        const struct weft__stack_entry *e;
        struct bucket *b;

        if (!weft__record_is_shown(r))
            continue;
        e = weft__record_stack(s, r);
        b = bucket_of(buckets, r, e);
        if (!b)
            return -ENOMEM;
        b->stack = e;
        b->shift = (uint32_t)weft__record_shift(r);
        b->count++;
        buckets->total++;
    }
    squeeze(buckets);
    return 0;
}

/* Returns the PCs of a bucket's stack; NULL if it has none. */
static const uintptr_t *pcs_of(const struct bucket *b)
{
    return b->stack ? b->stack->pcs : NULL;
}

static uint32_t depth_of(const struct bucket *b)
{
    return b->stack ? b->stack->kept : 0;
}

/* Compares buckets by stack and labels. */
static int compare_kinds(const void *va, const void *vb)
{
    const struct bucket *a = va, *b = vb;
    int c = weft__stack_text_compare(pcs_of(a), depth_of(a), a->shift, pcs_of(b), depth_of(b),
                                     b->shift);

    return c ? c : weft__tags_compare(a->set, b->set);
}

/* Orders buckets with more tasks first. */
static int compare_buckets(const void *va, const void *vb)
{
    const struct bucket *a = va, *b = vb;

    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return compare_kinds(va, vb);
}

static void put_bucket(struct weft__out *o, const struct bucket *b)
{
    weft__out_dec(o, b->count);
    weft__out_str(o, " @");
    weft__stack_text_addresses(o, pcs_of(b), depth_of(b), b->shift);
    weft__labels_put(o, b->set);
    weft__stack_text_frames(o, pcs_of(b), depth_of(b), b->shift);
    weft__out_char(o, '\n');
}

int weft__tasks_merged(const struct weft__snapshot *s, const struct weft__sink *to)
{
    struct weft__out *o = weft__out_new(to);
    struct buckets buckets;
    int rc;

    if (!o)
        return -ENOMEM;
    o->rc = merge(s, &buckets);
    if (o->rc == 0)
        qsort(buckets.list, buckets.n, sizeof *buckets.list, compare_buckets);
    weft__out_str(o, "goroutine profile: total ");
    weft__out_dec(o, buckets.total);
    weft__out_char(o, '\n');
    for (size_t i = 0; i < buckets.n && o->rc == 0; i++)
        put_bucket(o, &buckets.list[i]);
    rc = weft__out_end(o);
    buckets_free(&buckets);
    return rc;
}

static const struct weft__pprof_type type = {"goroutine", "count"};

weft__pprof *weft__tasks_pprof_begin(const struct weft__snapshot *s, int64_t duration,
                                     const struct weft__sink *to)
{
    const struct weft__pprof_head head = {
        .name = type.type,
        .form = s->form,
        .page = s->page,
        .types = &type,
        .n_types = 1,
        .period_type = type,
        .period = 1,
        .time = s->wall,
        .duration = duration,
    };

    return weft__pprof_begin(&head, to);
}

static int add(weft__pprof *p, const struct bucket *b, int64_t value)
{
    struct weft__pprof_label labels[WEFT_LABELS_MAX];

    return weft__pprof_add(p, &(struct weft__pprof_sample){
                                  .pcs = pcs_of(b),
                                  .n = depth_of(b),
                                  .leaf_exact = b->shift,
                                  .values = &value,
                                  .labels = labels,
                                  .n_labels = weft__labels_add(labels, 0, b->set),
                              });
}

int weft__tasks_pprof(const struct weft__snapshot *s, const struct weft__sink *to)
{
    weft__pprof *p = weft__tasks_pprof_begin(s, 0, to);
    struct buckets buckets;
    int rc;

    if (!p)
        return -ENOMEM;
    rc = merge(s, &buckets);
    for (size_t i = 0; i < buckets.n && rc == 0; i++)
        rc = add(p, &buckets.list[i], buckets.list[i].count);
    buckets_free(&buckets);
    return weft__pprof_end(p, rc);
}

/* Adds a sample for each bucket whose count changed. Both lists are ordered by compare_kinds. */
static int add_differences(weft__pprof *p, const struct buckets *was, const struct buckets *is)
{
    size_t i = 0, j = 0;
    int rc = 0;

    while (rc == 0 && (i < was->n || j < is->n)) {
        const struct bucket *old = &was->list[i], *new = &is->list[j];
        int c = i == was->n ? 1 : j == is->n ? -1 : compare_kinds(old, new);
        int64_t change = (c >= 0 ? (int64_t) new->count : 0) - (c <= 0 ? (int64_t)old->count : 0);

        if (change != 0)
            rc = add(p, c < 0 ? old : new, change);
        i += c <= 0;
        j += c >= 0;
    }
    return rc;
}

int weft__tasks_pprof_delta(const struct weft__snapshot *from, const struct weft__snapshot *until,
                            const struct weft__sink *to)
{
    weft__pprof *p = weft__tasks_pprof_begin(until, until->wall - from->wall, to);
    struct buckets was, is = {0};
    int rc;

    if (!p)
        return -ENOMEM;
    rc = merge(from, &was);
    if (rc == 0)
        rc = merge(until, &is);
    if (rc == 0) {
        qsort(was.list, was.n, sizeof *was.list, compare_kinds);
        qsort(is.list, is.n, sizeof *is.list, compare_kinds);
        rc = add_differences(p, &was, &is);
    }
    buckets_free(&was);
    buckets_free(&is);
    return weft__pprof_end(p, rc);
}
