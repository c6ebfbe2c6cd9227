/* SPDX-License-Identifier: MIT */
/* toy_profile.c - a profile of four values in one file: boxes, by the stacks that made them. A
 * program keeps some and serves the profile at an address, for toy_pprof.sh:
 *
 *     toy_profile unix:PATH
 *
 * tests/README.md says how to add a profile to the library. */
#include <weft.h>

#include "profiles/account/profile.h"
#include "profiles/capture/running.h"
#include "profiles/table/buckets.h"
#include "runtime/sched/scheduler.h"

#include <stdlib.h>

#define NOINLINE __attribute__((noinline))
enum { MADE, MADE_BYTES, KEPT, KEPT_BYTES, VALUES };

struct box {
    weft__cell *cell;
    int64_t bytes;
};

static weft__buckets *table;

static void walk_caller(void *walk)
{
    weft__walk_saved(walk, weft__self()->task);
}

static NOINLINE struct box *box_new(int64_t bytes)
{
    weft__task *t = weft__enter("box_new")->task;
    struct weft__walk *walk = malloc(sizeof(*walk)); /* too large for a task's stack */
    struct box *b = malloc(sizeof(*b));

    weft__ctx_call(&t->ctx.sp, walk_caller, walk);
    *b = (struct box){weft__buckets_cell(table, walk), bytes};
    weft__cell_add(table, b->cell, (int64_t[VALUES]){1, bytes, 1, bytes});
    free(walk);
    weft__exit_as(t);
    return b;
}

static void box_free(struct box *b)
{
    weft__cell_add(table, b->cell, (int64_t[VALUES]){0, 0, -1, -b->bytes});
    free(b);
}

static void *take(const struct weft__asked *a)
{
    weft__buckets *view = weft__buckets_new(VALUES);

    (void)a;
    if (view && weft__buckets_add_all(view, table, 1))
        return view;
    weft__buckets_free(view);
    return NULL;
}

static int count(const struct weft__profile *p)
{
    (void)p;
    return (int)weft__buckets_count(table);
}

static const struct weft__pprof_type values[VALUES] = {
    {"made", "count"}, {"made_space", "bytes"}, {"kept", "count"}, {"kept_space", "bytes"}};

static struct weft__profile boxes = {
    .name = "boxes",
    .about = "Boxes, and the stacks that made them.",
    .changes = true,
    .values = values,
    .n_values = VALUES,
    .default_type = "made_space",
    .period_type = &values[MADE_BYTES],
    .take = take,
    .count = count,
};

static struct box *all[31];

static NOINLINE void lake(void)
{
    for (int i = 0; i < 30; i++)
        all[i] = box_new(100);
    for (int i = 20; i < 30; i++)
        box_free(all[i]);
}

static NOINLINE void pond(void)
{
    all[30] = box_new(10000);
}

static void rain(void *arg)
{
    (void)arg;
    for (;; weft_sleep(20 * WEFT_MILLISECOND))
        box_free(box_new(7));
}

static int run(void *address)
{
    table = weft__buckets_new(VALUES);
    lake();
    pond();
    weft_go(rain, NULL);
    if (!weft__profile_add(&boxes) || weft_debug_serve(address) < 0)
        return 1;
    return weft_sleep(600 * WEFT_SECOND);
}

int main(int argc, char **argv)
{
    return argc > 1 ? weft_run(run, argv[1]) : 2;
}
