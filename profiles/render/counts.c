/* SPDX-License-Identifier: MIT */
/* counts.c - see counts.h. Owns nothing. */
#include "profiles/render/counts.h"

#include "profiles/render/output.h"
#include "profiles/render/pprof.h"
#include "profiles/render/stack_text.h"
#include "runtime/base/clock.h"

#include <errno.h>
#include <stdlib.h>

/* Orders buckets by count, the largest first, then by the text of their data lines. */
static int compare(const void *va, const void *vb)
{
    const struct weft__bucket *a = va, *b = vb;

    if (a->values[0] != b->values[0])
        return a->values[0] > b->values[0] ? -1 : 1;
    return weft__listing_compare(a->stack->pcs, a->stack->kept, 0, b->stack->pcs, b->stack->kept,
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

static void put_count(struct weft__out *o, int64_t count)
{
    if (count < 0)
        weft__out_char(o, '-');
    weft__out_dec(o, count < 0 ? 0 - (uint64_t)count : (uint64_t)count);
}

static void put_records(struct weft__out *o, const char *name, const struct weft__bucket *all,
                        size_t n)
{
    int64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += all[i].values[0];
    weft__out_str(o, name);
    weft__out_str(o, " profile: total ");
    put_count(o, total);
    weft__out_char(o, '\n');
    for (size_t i = 0; i < n && o->rc == 0; i++) {
        const struct weft__stack_entry *e = all[i].stack;

        put_count(o, all[i].values[0]);
        weft__out_str(o, " @");
        weft__listing_addresses(o, e->pcs, e->kept, 0);
        weft__listing_frames(o, e->pcs, e->kept, 0);
        weft__out_char(o, '\n');
    }
}

int weft__counts_text(const char *name, const weft__buckets *b, const struct weft__sink *to)
{
    struct weft__out *o = weft__out_new(to);
    size_t n;
    struct weft__bucket *all = o ? sorted(b, &n) : NULL;

    if (!all) {
        free(o);
        return -ENOMEM;
    }
    put_records(o, name, all, n);
    free(all);
    return weft__out_end(o);
}

int weft__counts_pprof(const char *name, const weft__buckets *b, int64_t duration,
                       const struct weft__sink *to)
{
    const struct weft__pprof_type type = {name, "count"};
    const struct weft__pprof_head head = {.types = &type,
                                          .n_types = 1,
                                          .period_type = type,
                                          .period = 1,
                                          .time = weft__realtime(),
                                          .duration = duration};
    size_t n;
    struct weft__bucket *all = sorted(b, &n);
    weft__pprof *p = all ? weft__pprof_begin(&head, to) : NULL;
    int rc = 0;

    for (size_t i = 0; p && i < n && rc == 0; i++)
        rc = weft__pprof_add(p, &(struct weft__pprof_sample){.pcs = all[i].stack->pcs,
                                                             .n = all[i].stack->kept,
                                                             .values = all[i].values});
    free(all);
    return p ? weft__pprof_end(p, rc) : -ENOMEM;
}
