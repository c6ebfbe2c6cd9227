/* SPDX-License-Identifier: MIT */
/* account/cpu.c - the profile of CPU time, which Go calls "profile": the samples of cpu/cpu.h by
 * stack and labels. Here they get names; the calls of weft/profile.h for it.
 *
 * Owns: the view for which samples are being taken; there is one at most. The thread that exchanges
 * `current` for NULL ends the sampling and has the view: the one that asked for it, or weft_run's
 * when the run ends first.
 *
 * The words of a bucket: the id of the labels, the id of the task or 0, where the sample came from,
 * then the frames. Only the writing looks at names.
 *
 * The sum of all samples is the CPU time of the process. So time that no sample stands for has a
 * row of its own: weft.lost, where a ring was full, and weft.unsampled for the rest: threads that
 * ended before they had a timer, that block the signal, or that the kernel gave no timer. */
#include "profiles/account/cpu.h"

#include "profiles/account/profile.h"
#include "profiles/capture/tasks.h"
#include "profiles/cpu/cpu.h"
#include "profiles/render/frame_text.h"
#include "profiles/render/labels.h"
#include "profiles/render/output.h"
#include "profiles/render/stack_text.h"
#include "profiles/table/buckets.h"
#include "profiles/table/labelset.h"
#include "profiles/walk/symbolize.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS, TASK, WHERE, STACK };
enum { COUNT, TIME, VALUES };
enum { HZ = 100, HZ_MOST = 1000, COMMENTS = 8, COMMENT_SIZE = 160 };

struct view {
    struct weft__cpu_sink sink;
    weft__buckets *buckets;
    struct weft__walk key; /* the words of the sample that is being added */
    struct weft__cpu_counts counts;
    int64_t period; /* ns */
    weft_time began;
    bool goid; /* tells tasks apart */
    int fd;    /* of weft_cpu_profile_start, and the form of the file */
    enum weft_profile_form form;
};

extern const struct weft__profile weft__profile_profile;

static struct view *current; /* atomic */
static struct view *started; /* atomic: current, if weft_cpu_profile_start began it */
static int rate = HZ;        /* atomic */

/* Taking --------------------------------------------------------------------------------------- */

static void view_drop(void *view)
{
    struct view *v = view;

    if (v)
        weft__buckets_free(v->buckets);
    free(v);
}

static void add(struct view *v, uintptr_t labels, uintptr_t task, uintptr_t where, uint64_t weight)
{
    const int64_t values[VALUES] = {(int64_t)weight, (int64_t)weight * v->period};

    v->key.pcs[LABELS] = labels;
    v->key.pcs[TASK] = task;
    v->key.pcs[WHERE] = where;
    weft__buckets_add(v->buckets, &v->key, values);
}

/* The controller calls it. */
static void on_sample(struct weft__cpu_sink *s, const struct weft__cpu_sample *one)
{
    struct view *v = (struct view *)(void *)s; /* sink is its first member */
    uint32_t n = one->walk->kept;

    memcpy(v->key.pcs + STACK, one->walk->pcs, n * sizeof(uintptr_t));
    if (one->where == WEFT__CPU_SCHEDULER)
        v->key.pcs[STACK + n++] = WEFT__MARK_SCHEDULER;
    if (one->where == WEFT__CPU_IDLE)
        v->key.pcs[STACK + n++] = WEFT__MARK_IDLE;
    if (one->where == WEFT__CPU_SWITCH)
        v->key.pcs[STACK + (n = 0, n++)] = WEFT__MARK_SWITCH;
    v->key.kept = v->key.depth = STACK + n;
    add(v, weft__labelset_keep(weft__tags_set(one->tags)), v->goid ? one->task : 0, one->where,
        one->weight);
}

static void add_rest(struct view *v, uintptr_t mark, uint64_t weight)
{
    if (weight == 0)
        return;
    v->key.pcs[STACK] = mark;
    v->key.kept = v->key.depth = STACK + 1;
    add(v, 0, 0, WEFT__CPU_THREAD, weight);
}

static struct view *begin(bool goid, int *rc)
{
    struct view *v = calloc(1, sizeof(*v)), *none = NULL;
    int hz = weft__load(&rate);

    *rc = -ENOMEM;
    if (!v || !(v->buckets = weft__buckets_new(VALUES)))
        goto fail;
    v->sink.sample = on_sample;
    v->goid = goid;
    v->period = INT64_C(1000000000) / hz;
    v->began = weft_now();
    *rc = -EBUSY;
    if (!weft__cas(&current, &none, v))
        goto fail;
    *rc = weft__cpu_start(&v->sink, hz);
    if (*rc == 0)
        return v;
    weft__store_rel(&current, NULL);
fail:
    view_drop(v);
    return NULL;
}

/* Ends the sampling for v. Returns false if the run's end has done so, and dropped v. The
 * controller may be busy for some milliseconds; aside: other tasks get the processor meanwhile. */
static bool end(struct view *v, bool aside)
{
    struct view *mine = v;
    uint64_t sum, all;

    if (!weft__cas(&current, &mine, NULL))
        return false;
    aside = aside && weft__stand_aside(SIZE_MAX);
    weft__cpu_stop(&v->counts);
    if (aside)
        weft__stand_back();
    sum = v->counts.weight + v->counts.lost;
    all = (uint64_t)((v->counts.cpu + v->period / 2) / v->period);
    add_rest(v, WEFT__MARK_LOST, v->counts.lost);
    add_rest(v, WEFT__MARK_UNSAMPLED, all > sum ? all - sum : 0);
    return true;
}

static void *sample(const struct weft__asked *a, int *rc)
{
    struct view *v = begin(a->params[0] != 0, rc);
    bool wanted;

    if (!v)
        return NULL;
    wanted = weft__asked_wait(a, weft_now() + a->over);
    if (!end(v, true))
        return NULL;
    if (wanted)
        return v;
    *rc = -ECANCELED;
    view_drop(v);
    return NULL;
}

static void stop(struct weft__event_sink *s)
{
    struct view *v = weft__load_acq(&current);

    (void)s;
    weft__store(&started, NULL);
    if (v && end(v, false))
        view_drop(v);
}

void weft__cpu_attach(void)
{
    static struct weft__event_sink sink = {.stop = stop};

    weft__sinks_add(&sink);
}

/* Writing -------------------------------------------------------------------------------------- */

static const char *const states[] = {
    [WEFT__CPU_RUNNING] = "running",
    [WEFT__CPU_RUNTIME] = "runtime",
    [WEFT__CPU_LOST] = "without processor",
    [WEFT__CPU_THREAD] = NULL,
    [WEFT__CPU_SCHEDULER] = NULL,
    [WEFT__CPU_IDLE] = NULL,
    [WEFT__CPU_SWITCH] = NULL,
};

/* Returns the index of the innermost call of the library that programs make; n if there is none. */
static size_t call_in(const uintptr_t *pcs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct weft__symbol *s = weft__mark_name(pcs[i]) ? NULL : weft__symbolize(pcs[i] - 1);

        if (s && weft__frame_is_call(s->frames[s->n - 1].function))
            return i;
    }
    return n;
}

/* Returns the first frame to show of a task's stack. Inside the runtime that is the call that the
 * program made, whatever the runtime called for it. */
static size_t first_of(const uintptr_t *pcs, size_t n, uintptr_t where)
{
    size_t i = where == WEFT__CPU_RUNTIME ? call_in(pcs, n) : n;

    if (i < n)
        return i;
    return where <= WEFT__CPU_LOST ? weft__stack_text_first(pcs, n, 0) : 0;
}

/* Adds a label, unless the program's labels have its key. Returns the new length. */
static size_t label(struct weft__pprof_label *list, size_t n, struct weft__pprof_label one)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].key, one.key) == 0)
            return n;
    }
    list[n] = one;
    return n + 1;
}

static int add_sample(weft__pprof *p, const struct weft__bucket *b)
{
    struct weft__pprof_label labels[WEFT_LABELS_MAX + 2];
    const uintptr_t *words = b->stack->pcs;
    size_t n = b->stack->kept - STACK, first = first_of(words + STACK, n, words[WHERE]);
    weft__tags *set = weft__labelset_get(weft__labelset_now((uint32_t)words[LABELS]));
    size_t n_labels = weft__labels_add(labels, 0, set);
    int rc;

    if (words[TASK])
        n_labels = label(labels, n_labels,
                         (struct weft__pprof_label){.key = "goid", .num = (int64_t)words[TASK]});
    if (states[words[WHERE]])
        n_labels = label(labels, n_labels,
                         (struct weft__pprof_label){.key = "state", .str = states[words[WHERE]]});
    rc = weft__pprof_add(p, &(struct weft__pprof_sample){.pcs = words + STACK + first,
                                                         .n = n - first,
                                                         .values = b->values,
                                                         .labels = labels,
                                                         .n_labels = n_labels});
    weft__tags_drop(set);
    return rc;
}

static int compare(const void *va, const void *vb)
{
    const struct weft__bucket *a = va, *b = vb;

    return a->values[TIME] > b->values[TIME] ? -1 : a->values[TIME] < b->values[TIME];
}

struct comments {
    size_t n;
    const char *lines[COMMENTS];
    char text[COMMENTS][COMMENT_SIZE];
};

static void comment(struct comments *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void comment(struct comments *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->text[c->n], COMMENT_SIZE, format, args);
    va_end(args);
    c->lines[c->n] = c->text[c->n];
    c->n++;
}

static void comments_of(struct comments *to, const struct weft__cpu_counts *c)
{
    const char *name = sigabbrev_np(c->signo);

    to->n = 0;
    comment(to, "clock: the CPU time of each thread, %d Hz, by %s%s", c->hz,
            name ? "SIG" : "signal ", name ? name : "");
    comment(to, "stacks: %" PRIu64 " complete, %" PRIu64 " deferred, %" PRIu64 " cut", c->whole,
            c->deferred, c->cut);
    comment(to, "overruns: %" PRIu64 ", lost: %" PRIu64 ", threads: %" PRIu32, c->late, c->lost,
            c->threads);
    if (c->refused > 0)
        comment(to, "timer_create: %s: %" PRIu32 " threads are in weft.unsampled (ulimit -i)",
                strerrorname_np(c->error), c->refused);
    if (c->silent > 0)
        comment(to, "%" PRIu32 " threads gave no sample: they block the signal", c->silent);
    if (c->replaced)
        comment(to, "the program took the signal's handler: samples after that are missing");
}

static int write_all(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                     const struct weft__sink *to)
{
    struct weft__pprof_head head = weft__asked_head(a, duration);
    struct view *v = view;
    struct comments *c = malloc(sizeof(*c));
    size_t n = 0;
    struct weft__bucket *all = weft__buckets_read(v->buckets, 1, &n);
    weft__pprof *p = NULL;
    int rc = 0;

    (void)from; /* no view is the difference of two */
    if (c && all) {
        qsort(all, n, sizeof(*all), compare);
        comments_of(c, &v->counts);
        head.comments = c->lines;
        head.n_comments = c->n;
        head.period = v->period;
        p = weft__pprof_begin(&head, to);
    }
    for (size_t i = 0; p && i < n && rc == 0; i++)
        rc = add_sample(p, &all[i]);
    free(all);
    free(c);
    return p ? weft__pprof_end(p, rc) : -ENOMEM;
}

/* The public calls ----------------------------------------------------------------------------- */

void weft_cpu_profile_set_rate(int hz)
{
    weft__store(&rate, hz <= 0 ? HZ : hz > HZ_MOST ? HZ_MOST : hz);
}

int weft_cpu_profile_start_with(int fd, const weft_profile_options *options)
{
    enum weft_profile_form form = options ? options->form : WEFT_PROFILE_PPROF;
    struct view *v;
    int rc;

    if ((unsigned)form > WEFT_PROFILE_HTML || !weft__enter_try("weft_cpu_profile_start"))
        return WEFT_EINVAL;
    weft__exit();
    v = begin(false, &rc);
    if (!v)
        return rc;
    v->fd = fd;
    v->form = form;
    weft__store_rel(&started, v);
    return 0;
}

int weft_cpu_profile_stop(void)
{
    struct view *v;
    struct weft__asked asked;
    struct weft__sink to;
    int rc;

    if (!weft__enter_try("weft_cpu_profile_stop"))
        return WEFT_EINVAL;
    weft__exit();
    v = weft__xchg(&started, NULL);
    if (!v || !end(v, true))
        return WEFT_EINVAL;
    weft__asked_begin(&asked, &weft__profile_profile);
    asked.form = v->form;
    to = weft__sink_fd(v->fd);
    rc = write_all(&asked, NULL, v, weft_now() - v->began, &to);
    view_drop(v);
    return rc;
}

static size_t size(const void *view)
{
    return weft__buckets_count(((const struct view *)view)->buckets);
}

static const struct weft__pprof_type values[VALUES] = {{"samples", "count"},
                                                       {"cpu", "nanoseconds"}};
static const struct weft__param params[] = {{.name = "goid"}, {.name = NULL}};

const struct weft__profile weft__profile_profile = {
    .name = "profile",
    .about = "Where the process spends CPU time: 100 samples of each second of it, for seconds=N.",
    .busy = "Could not enable CPU profiling: cpu profiling already in use",
    .usual_time = 30 * WEFT_SECOND,
    .no_text = true,
    .values = values,
    .n_values = VALUES,
    .period_type = &values[TIME],
    .period = INT64_C(1000000000) / HZ,
    .params = params,
    .sample = sample,
    .write = write_all,
    .drop = view_drop,
    .size = size,
};
