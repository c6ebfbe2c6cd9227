/* SPDX-License-Identifier: MIT */
/* heap.c - the heap and allocs profiles: the samples of profiles/heap/, by stack and labels.
 *
 * Owns the descriptors. A view has a bucket for each stack and set of labels with the sums of
 * heap/stacks.h: the samples as they are, for text, whose readers scale them up as they do Go's;
 * and the blocks that they stand for, for profile.proto. Each sample stands for 1 / (1 - exp(-size
 * / rate)) blocks of its size, which is Go's formula. Stacks begin where the program called the
 * library, or malloc. */
#include "profiles/heap/heap.h"
#include "profiles/account/heap.h"
#include "profiles/heap/live.h"

#include "profiles/account/memory.h"
#include "profiles/account/profile.h"
#include "profiles/account/sample.h"
#include "profiles/heap/jemalloc.h"
#include "profiles/heap/poisson.h"
#include "profiles/heap/stacks.h"
#include "profiles/render/labels.h"
#include "profiles/render/output.h"
#include "profiles/render/stack_text.h"
#include "profiles/table/labelset.h"
#include "profiles/walk/symbolize.h"
#include "runtime/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { AGE }; /* parameter */

/* Taking --------------------------------------------------------------------------------------- */

static void add_stack(weft__buckets *b, const struct weft__heap_stack *s, const int64_t *sums,
                      struct weft__walk *walk)
{
    size_t first = weft__stack_text_first(s->pcs, s->n, 0);

    weft__sample_join(walk, &(struct weft__sample){.pcs = s->pcs + first,
                                                   .n = s->n - first,
                                                   .labels = weft__labelset_keep(s->labels)});
    weft__buckets_add(b, walk, sums);
}

static void add_all(weft__buckets *b, struct weft__walk *walk)
{
    const struct weft__heap_stack *s = NULL;
    int64_t sums[WEFT__HEAP_SUMS];

    while ((s = weft__heap_stack_next(s)) != NULL) {
        for (int i = 0; i < WEFT__HEAP_SUMS; i++)
            sums[i] = weft__load(&s->sums[i]);
        add_stack(b, s, sums, walk);
    }
}

/* The state while samples are added one by one. */
struct adding {
    weft__buckets *b;
    struct weft__walk *walk;
    int64_t before; /* samples of that time are old */
    int64_t rate;
};

static void add_old(void *arg, const struct weft__heap_sample *s)
{
    const struct adding *g = arg;
    int64_t sums[WEFT__HEAP_SUMS] = {0};

    if (s->time > g->before)
        return;
    weft__heap_sums_add(sums, s);
    add_stack(g->b, s->stack, sums, g->walk);
}

static int64_t rate_now(void)
{
    return weft__heap_state() == WEFT__HEAP_JEMALLOC ? weft__jemalloc_rate() : weft__heap_period();
}

/* Adds what n samples of so many bytes stand for. */
static void scale(int64_t *parts, int64_t *all_bytes, int64_t n, int64_t bytes, int64_t rate)
{
    double weight;

    if (n <= 0)
        return;
    weight = 1 / weft__heap_chance((double)bytes / (double)n, (double)rate);
    *parts = (int64_t)((double)n * weight * WEFT__PARTS + 0.5);
    *all_bytes = (int64_t)((double)bytes * weight + 0.5);
}

static void add_dumped(void *arg, const struct weft__jemalloc_stack *s)
{
    const struct adding *g = arg;
    int64_t sums[WEFT__HEAP_SUMS] = {s->allocs, s->alloc_bytes, s->live, s->live_bytes};
    int64_t *blocks = sums + WEFT__HEAP_SAMPLED;
    size_t first = weft__stack_text_first(s->pcs, s->n, 0);

    scale(&blocks[WEFT__HEAP_ALLOCS], &blocks[WEFT__HEAP_ALLOC_BYTES], s->allocs, s->alloc_bytes,
          g->rate);
    scale(&blocks[WEFT__HEAP_LIVE], &blocks[WEFT__HEAP_LIVE_BYTES], s->live, s->live_bytes,
          g->rate);
    weft__sample_join(g->walk, &(struct weft__sample){.pcs = s->pcs + first, .n = s->n - first});
    weft__buckets_add(g->b, g->walk, sums);
}

/* Adds the samples that are asked for. Returns false if that fails: jemalloc's have no ages. */
static bool add_asked(const struct weft__asked *a, struct adding *to)
{
    if (weft__heap_state() == WEFT__HEAP_JEMALLOC)
        return a->params[AGE] == 0 && weft__jemalloc_each(add_dumped, to) == 0;
    if (a->params[AGE] > 0)
        weft__heap_live_each(add_old, to);
    else
        add_all(to->b, to->walk);
    return true;
}

void *weft__heap_take(const struct weft__asked *a)
{
    struct weft__walk *walk = malloc(sizeof(*walk));
    weft__buckets *b = weft__buckets_new(WEFT__HEAP_SUMS);
    struct adding to = {b, walk, weft__mono() - a->params[AGE] * INT64_C(1000000), rate_now()};
    bool good = walk && b;

    if (good) {
        weft__symbolizer_look();
        good = add_asked(a, &to);
    }
    free(walk);
    if (good)
        return b;
    weft__buckets_free(b);
    return NULL;
}

static int64_t live_bytes(const struct weft__bucket *b)
{
    return b->values[WEFT__HEAP_LIVE_BYTES];
}

static int compare(const void *va, const void *vb)
{
    const struct weft__bucket *a = va, *b = vb;
    int64_t more = live_bytes(a) - live_bytes(b);

    if (more == 0)
        more = a->values[WEFT__HEAP_ALLOC_BYTES] - b->values[WEFT__HEAP_ALLOC_BYTES];
    return more > 0 ? -1 : more < 0;
}

/* Returns the buckets, those with the most live bytes first, for free(). NULL without memory. */
static struct weft__bucket *sorted(const weft__buckets *b, size_t *n)
{
    struct weft__bucket *all = weft__buckets_read(b, 1, n);

    if (all)
        qsort(all, *n, sizeof(*all), compare);
    return all;
}

/* profile.proto -------------------------------------------------------------------------------- */

/* Memory to encode one sample. */
struct scratch {
    int64_t values[WEFT__HEAP_SAMPLED];
    struct weft__pprof_label labels[1 + WEFT_LABELS_MAX];
};

static int64_t whole(int64_t parts)
{
    return (parts + (parts < 0 ? -WEFT__PARTS / 2 : WEFT__PARTS / 2)) / WEFT__PARTS;
}

static int add(weft__pprof *p, const struct weft__bucket *b, struct scratch *x)
{
    const struct weft__sample s = weft__sample_of(b->stack);
    const int64_t *values = b->values + WEFT__HEAP_SAMPLED;
    weft__tags *set = weft__labelset_get(s.labels);
    size_t n = 0;
    int rc;

    memcpy(x->values, values, sizeof(x->values));
    x->values[WEFT__HEAP_ALLOCS] = whole(values[WEFT__HEAP_ALLOCS]);
    x->values[WEFT__HEAP_LIVE] = whole(values[WEFT__HEAP_LIVE]);
    if (b->values[WEFT__HEAP_ALLOCS])
        x->labels[n++] = (struct weft__pprof_label){.key = "bytes",
                                                    .num = b->values[WEFT__HEAP_ALLOC_BYTES] /
                                                           b->values[WEFT__HEAP_ALLOCS]};
    rc = weft__pprof_add(
        p, &(struct weft__pprof_sample){.pcs = s.pcs,
                                        .n = s.n,
                                        .values = x->values,
                                        .labels = x->labels,
                                        .n_labels = weft__labels_add(x->labels, n, set)});
    weft__tags_drop(set);
    return rc;
}

static int write_pprof(const struct weft__pprof_head *head, const struct weft__bucket *all,
                       size_t n, const struct weft__sink *to)
{
    struct scratch *x = malloc(sizeof(*x));
    weft__pprof *p = x ? weft__pprof_begin(head, to) : NULL;
    int rc = 0;

    for (size_t i = 0; p && i < n && rc == 0; i++)
        rc = add(p, &all[i], x);
    free(x);
    return p ? weft__pprof_end(p, rc) : -ENOMEM;
}

/* Text ----------------------------------------------------------------------------------------- */

/* Puts "LIVE: BYTES [ALLOCATED: BYTES] @". */
static void put_sums(struct weft__out *o, const int64_t *sums)
{
    weft__out_int(o, sums[WEFT__HEAP_LIVE]);
    weft__out_str(o, ": ");
    weft__out_int(o, sums[WEFT__HEAP_LIVE_BYTES]);
    weft__out_str(o, " [");
    weft__out_int(o, sums[WEFT__HEAP_ALLOCS]);
    weft__out_str(o, ": ");
    weft__out_int(o, sums[WEFT__HEAP_ALLOC_BYTES]);
    weft__out_str(o, "] @");
}

/* As Go does, makes the bytes allocated differ from those live, and names twice the rate: old
 * readers would take it for another profile. */
static void put_head(struct weft__out *o, const struct weft__bucket *all, size_t n)
{
    int64_t total[WEFT__HEAP_SAMPLED] = {0};

    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < WEFT__HEAP_SAMPLED; k++)
            total[k] += all[i].values[k];
    }
    total[WEFT__HEAP_ALLOC_BYTES] += total[WEFT__HEAP_ALLOC_BYTES] == total[WEFT__HEAP_LIVE_BYTES];
    weft__out_str(o, "heap profile: ");
    put_sums(o, total);
    weft__out_str(o, " heap/");
    weft__out_dec(o, 2 * (uint64_t)rate_now());
    weft__out_char(o, '\n');
}

static void put(struct weft__out *o, const struct weft__bucket *b)
{
    const struct weft__sample s = weft__sample_of(b->stack);
    weft__tags *set = weft__labelset_get(s.labels);

    put_sums(o, b->values);
    weft__stack_text_addresses(o, s.pcs, s.n, 0);
    weft__labels_put(o, set);
    weft__stack_text_frames(o, s.pcs, s.n, 0);
    weft__out_char(o, '\n');
    weft__tags_drop(set);
}

static void put_stat(struct weft__out *o, const char *name, uint64_t value)
{
    weft__out_str(o, "# ");
    weft__out_str(o, name);
    weft__out_str(o, " = ");
    weft__out_dec(o, value);
    weft__out_char(o, '\n');
}

static void put_pair(struct weft__out *o, const char *name, uint64_t inuse, uint64_t sys)
{
    weft__out_str(o, "# ");
    weft__out_str(o, name);
    weft__out_str(o, " = ");
    weft__out_dec(o, inuse);
    weft__out_str(o, " / ");
    weft__out_dec(o, sys);
    weft__out_char(o, '\n');
}

static void put_zeros(struct weft__out *o, const char *name)
{
    weft__out_str(o, "# ");
    weft__out_str(o, name);
    weft__out_str(o, " = [0");
    for (int i = 1; i < 256; i++)
        weft__out_str(o, " 0");
    weft__out_str(o, "]\n");
}

static void put_gc(struct weft__out *o)
{
    put_stat(o, "NextGC", 0);
    put_stat(o, "LastGC", 0);
    put_zeros(o, "PauseNs");
    put_zeros(o, "PauseEnd");
    put_stat(o, "NumGC", 0);
    put_stat(o, "NumForcedGC", 0);
    put_stat(o, "GCCPUFraction", 0);
    weft__out_str(o, "# DebugGC = false\n");
}

bool weft__heap_is_fed(char *to, size_t size)
{
    size_t n = (size_t)snprintf(to, size, "heap profile ");

    weft__heap_state_text(to + n, size - n);
    return weft__heap_state() <= WEFT__HEAP_OFF || weft__heap_stack_count() > 0;
}

static void put_state(struct weft__out *o, const struct weft__memory *m)
{
    char state[256];

    weft__heap_is_fed(state, sizeof(state));
    weft__out_str(o, "# weft: ");
    weft__out_str(o, state);
    weft__out_str(o, "; bytes from ");
    weft__out_str(o, m->from);
    weft__out_str(o, ", counts from ");
    weft__out_str(o, m->counts_from);
    weft__out_char(o, '\n');
}

/* Puts jemalloc's size classes that were ever in use. */
static void put_bins(struct weft__out *o)
{
    struct weft__jemalloc_bin b;

    if (!weft__jemalloc_serves())
        return;
    weft__out_str(o, "# jemalloc's size classes: SIZE = LIVE: BYTES [ALLOCATED, FREED], SLABS\n");
    for (unsigned i = 0; weft__jemalloc_bin(i, &b); i++) {
        const struct {
            const char *before;
            uint64_t value;
        } parts[] = {{"# ", b.size},    {" = ", b.live}, {": ", b.live * b.size},
                     {" [", b.mallocs}, {", ", b.frees}, {"], ", b.slabs}};

        for (size_t k = 0; b.mallocs > 0 && k < sizeof(parts) / sizeof(*parts); k++) {
            weft__out_str(o, parts[k].before);
            weft__out_dec(o, parts[k].value);
        }
        weft__out_str(o, b.mallocs > 0 ? "\n" : "");
    }
}

/* Puts the memory under the names and in the order of Go. */
static void put_memory(struct weft__out *o)
{
    struct weft__memory m;
    struct rusage usage;

    weft__memory_read(&m);
    getrusage(RUSAGE_SELF, &usage);
    weft__out_str(o, "\n# runtime.MemStats\n");
    put_stat(o, "Alloc", m.alloc);
    put_stat(o, "TotalAlloc", m.total_alloc);
    put_stat(o, "Sys", m.sys);
    put_stat(o, "Lookups", 0);
    put_stat(o, "Mallocs", m.mallocs);
    put_stat(o, "Frees", m.frees);
    put_stat(o, "HeapAlloc", m.alloc);
    put_stat(o, "HeapSys", m.heap_sys);
    put_stat(o, "HeapIdle", m.heap_idle);
    put_stat(o, "HeapInuse", m.heap_inuse);
    put_stat(o, "HeapReleased", m.heap_released);
    put_stat(o, "HeapObjects", m.mallocs - m.frees);
    put_pair(o, "Stack", m.stack_inuse, m.stack_sys);
    put_pair(o, "MSpan", 0, 0);
    put_pair(o, "MCache", 0, 0);
    put_stat(o, "BuckHashSys", m.buck_hash_sys);
    put_stat(o, "GCSys", 0);
    put_stat(o, "OtherSys", m.other_sys);
    put_gc(o);
    put_stat(o, "MaxRSS", (uint64_t)usage.ru_maxrss * 1024);
    put_state(o, &m);
    put_bins(o);
}

static int write_text(const struct weft__bucket *all, size_t n, const struct weft__sink *to)
{
    struct weft__out *o = weft__out_new(to);

    if (!o)
        return -ENOMEM;
    put_head(o, all, n);
    for (size_t i = 0; i < n && o->rc == 0; i++)
        put(o, &all[i]);
    put_memory(o);
    return weft__out_end(o);
}

int weft__heap_write(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                     const struct weft__sink *to)
{
    struct weft__pprof_head head = weft__asked_head(a, duration);
    struct weft__bucket *all = NULL;
    size_t n;
    int rc = -ENOMEM;

    head.period = rate_now();
    if (!from || weft__samples_add(view, from, -1))
        all = sorted(view, &n);
    if (all)
        rc = a->debug ? write_text(all, n, to) : write_pprof(&head, all, n, to);
    free(all);
    return rc;
}

/* The profiles --------------------------------------------------------------------------------- */

static int count(const struct weft__profile *p)
{
    (void)p;
    return (int)weft__heap_stack_count();
}

static void put_sizes(const struct weft__profile *p, weft__sizes_put *put_size, void *arg)
{
    put_size(arg, p->name, weft__heap_stack_count(), WEFT__HEAP_STACKS);
}

const struct weft__pprof_type weft__heap_values[] = {{"alloc_objects", "count"},
                                                     {"alloc_space", "bytes"},
                                                     {"inuse_objects", "count"},
                                                     {"inuse_space", "bytes"}};
const struct weft__pprof_type weft__heap_space = {"space", "bytes"};

static const struct weft__param params[] = {{.name = "age", .is_time = true}, {.name = NULL}};

#define HEAP                                                                                       \
    .values = weft__heap_values, .n_values = 4, .period_type = &weft__heap_space,                  \
    .params = params, .take = weft__heap_take, .write = weft__heap_write, .count = count,          \
    .state = weft__heap_is_fed, .changes = true

const struct weft__profile weft__profile_heap = {
    .name = "heap",
    .about =
        "The memory from malloc that is in use, by the stack that allocated it. age=15m leaves "
        "out blocks that are younger.",
    .sizes = put_sizes,
    HEAP,
};

const struct weft__profile weft__profile_allocs = {
    .name = "allocs",
    .about =
        "All memory that malloc gave so far, freed since or not, by the stack that allocated it.",
    .default_type = "alloc_space",
    HEAP,
};
