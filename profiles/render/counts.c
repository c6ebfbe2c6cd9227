/* SPDX-License-Identifier: MIT */
/* counts.c - see counts.h. Owns nothing. */
#include "profiles/render/counts.h"

#include "profiles/render/output.h"
#include "profiles/render/stack_text.h"

#include <errno.h>
#include <stdlib.h>

/* Orders buckets by their first value, the largest first, then by the text of their data lines. */
static int compare(const void *va, const void *vb)
{
    const struct weft__bucket *a = va, *b = vb;

    if (a->values[0] != b->values[0])
        return a->values[0] > b->values[0] ? -1 : 1;
    return weft__stack_text_compare(a->stack->pcs, a->stack->kept, 0, b->stack->pcs, b->stack->kept,
                                    0);
}

/* Returns the buckets in order, for free(); NULL if memory ran out. */
static struct weft__bucket *sorted(const weft__buckets *b, size_t *n)
{
    struct weft__bucket *all = weft__buckets_read(b, 1, n);

    if (all)
        qsort(all, *n, sizeof(*all), compare);
    return all;
}

/* The names of several values follow on a line of their own; a single one is named by the profile.
 */
static void put_head(struct weft__out *o, const char *name, const struct weft__pprof_head *head,
                     const struct weft__bucket *all, size_t n)
{
    weft__out_str(o, name);
    weft__out_str(o, " profile: total ");
    for (size_t k = 0; k < head->n_types; k++) {
        int64_t total = 0;

        for (size_t i = 0; i < n; i++)
            total += all[i].values[k];
        weft__out_int(o, total);
        weft__out_char(o, k + 1 < head->n_types ? ' ' : '\n');
    }
    for (size_t k = 0; head->n_types > 1 && k < head->n_types; k++) {
        weft__out_str(o, k == 0 ? "# " : " ");
        weft__out_str(o, head->types[k].type);
        weft__out_char(o, '/');
        weft__out_str(o, head->types[k].unit);
        weft__out_str(o, k + 1 < head->n_types ? "" : "\n");
    }
}

static void put_record(struct weft__out *o, const struct weft__bucket *b, size_t n_values)
{
    const struct weft__stack_entry *e = b->stack;

    for (size_t k = 0; k < n_values; k++) {
        weft__out_int(o, b->values[k]);
        weft__out_char(o, ' ');
    }
    weft__out_char(o, '@');
    weft__stack_text_addresses(o, e->pcs, e->kept, 0);
    weft__stack_text_frames(o, e->pcs, e->kept, 0);
    weft__out_char(o, '\n');
}

int weft__counts_text(const char *name, const struct weft__pprof_head *head, const weft__buckets *b,
                      const struct weft__sink *to)
{
    struct weft__out *o = weft__out_new(to);
    size_t n;
    struct weft__bucket *all = o ? sorted(b, &n) : NULL;

    if (!all) {
        free(o);
        return -ENOMEM;
    }
    put_head(o, name, head, all, n);
    for (size_t i = 0; i < n && o->rc == 0; i++)
        put_record(o, &all[i], head->n_types);
    free(all);
    return weft__out_end(o);
}

int weft__counts_pprof(const struct weft__pprof_head *head, const weft__buckets *b,
                       const struct weft__sink *to)
{
    size_t n;
    struct weft__bucket *all = sorted(b, &n);
    weft__pprof *p = all ? weft__pprof_begin(head, to) : NULL;
    int rc = 0;

    for (size_t i = 0; p && i < n && rc == 0; i++)
        rc = weft__pprof_add(p, &(struct weft__pprof_sample){.pcs = all[i].stack->pcs,
                                                             .n = all[i].stack->kept,
                                                             .values = all[i].values});
    free(all);
    return p ? weft__pprof_end(p, rc) : -ENOMEM;
}
