/* SPDX-License-Identifier: MIT */
/* profile.c - see profile.h; and weft_profile_write. */
#include "profiles/account/profile.h"

#include "profiles/account/custom.h"
#include "profiles/account/sample.h"
#include "profiles/account/tables.h"
#include "profiles/account/threads.h"
#include "profiles/account/waits.h"
#include "profiles/account/windows.h"
#include "profiles/capture/tasks.h"
#include "profiles/render/counts.h"
#include "profiles/render/output.h"
#include "profiles/render/tasks_merged.h"
#include "runtime/sched/scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Tasks ---------------------------------------------------------------------------------------- */

static void *tasks_take(const struct weft__asked *asked)
{
    const struct weft__snapshot *s;

    (void)asked;
    return weft__snapshot_get(&s) == 0 ? (void *)(uintptr_t)s : NULL;
}

static int tasks_write(const struct weft__asked *asked, const void *from, void *view,
                       int64_t duration, const struct weft__sink *to)
{
    static const enum weft_dump_form forms[] = {WEFT_DUMP_PPROF, WEFT_DUMP_MERGED, WEFT_DUMP_TASKS,
                                                WEFT_DUMP_FULL};

    (void)duration; /* the views know their times */
    if (from)
        return weft__tasks_pprof_delta(from, view, to);
    return weft__tasks_write(view, asked->per_task ? WEFT_DUMP_PPROF_EACH : forms[asked->debug],
                             to);
}

static void tasks_drop(void *view)
{
    weft__snapshot_put(view);
}

static size_t tasks_size(const void *view)
{
    return ((const struct weft__snapshot *)view)->alive;
}

static int tasks_count(const struct weft__profile *p)
{
    struct weft__census c;

    (void)p;
    weft__tasks_count(&c);
    return (int)(c.states[WEFT__RUNNABLE] + c.states[WEFT__RUNNING] + c.states[WEFT__PARKED] +
                 c.states[WEFT__LOST]);
}

/* Waits ---------------------------------------------------------------------------------------- */

static void buckets_drop(void *view)
{
    weft__buckets_free(view);
}

static size_t buckets_size(const void *view)
{
    return weft__buckets_count(view);
}

static enum weft__contention which(const struct weft__asked *asked)
{
    return (enum weft__contention)asked->profile.which;
}

static struct weft__waits waits_of(const struct weft__asked *asked)
{
    return (struct weft__waits){
        .which = which(asked), .with_io = asked->with_io, .live = !asked->no_live};
}

static void *waits_take(const struct weft__asked *asked)
{
    const struct weft__waits w = waits_of(asked);

    return weft__waits_take(&w);
}

static void *waits_begin(const struct weft__asked *asked)
{
    const struct weft__waits w = waits_of(asked);

    return weft__waits_begin(&w);
}

static void *waits_end(const struct weft__asked *asked, void *begun)
{
    const struct weft__waits w = waits_of(asked);

    return weft__waits_end(&w, begun);
}

static void waits_cancel(void *begun)
{
    weft__window_free(begun);
}

static int waits_write(const struct weft__asked *asked, const void *from, void *view,
                       int64_t duration, const struct weft__sink *to)
{
    (void)from;
    return asked->debug ? weft__waits_text(which(asked), view, to)
                        : weft__waits_pprof(view, duration, to);
}

static int waits_count(const struct weft__profile *p)
{
    return (int)weft__tables_count((enum weft__contention)p->which);
}

/* The ended waits that were shown so far: only these never change their row. Nothing under the lock
 * can switch tasks, so a pthread mutex is safe. */
static struct {
    pthread_mutex_t lock;
    weft__buckets *shown[WEFT__CONTENTIONS];
} since = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Takes the waits that ended since the last request for them. */
static void *since_take(const struct weft__asked *asked)
{
    weft__buckets **shown = &since.shown[asked->profile.which];
    const struct weft__waits over = {.which = which(asked), .stays = true};
    weft__buckets *now, *done, *added = weft__buckets_new(WEFT__SAMPLE_VALUES);
    bool good, aside = weft__stand_aside((size_t)waits_count(&asked->profile));

    pthread_mutex_lock(&since.lock);
    now = added ? weft__waits_take(&over) : NULL;
    good = now && weft__samples_add(added, now, 1) &&
           (!*shown || weft__samples_add(added, *shown, -1));
    done = good ? *shown : now;
    if (good)
        *shown = now;
    pthread_mutex_unlock(&since.lock);
    if (aside)
        weft__stand_back();
    weft__buckets_free(done);
    if (good)
        return added;
    weft__buckets_free(added);
    return NULL;
}

/* The profiles --------------------------------------------------------------------------------- */

static int counts_write(const struct weft__asked *asked, const void *from, void *view,
                        int64_t duration, const struct weft__sink *to)
{
    if (from && !weft__buckets_add_all(view, from, -1))
        return -ENOMEM;
    return asked->debug ? weft__counts_text(asked->profile.name, view, to)
                        : weft__counts_pprof(asked->profile.name, view, duration, to);
}

static void *threads_take(const struct weft__asked *asked)
{
    (void)asked;
    return weft__threads_take();
}

static int threads_count(const struct weft__profile *p)
{
    (void)p;
    return weft__threads_count();
}

static void *custom_take(const struct weft__asked *asked)
{
    return weft__custom_take(asked->profile.custom);
}

static int custom_count(const struct weft__profile *p)
{
    return weft__custom_count(p->custom);
}

static struct weft__profile of_custom(weft_profile *custom)
{
    return (struct weft__profile){.name = weft__custom_name(custom),
                                  .about = "The program's own.",
                                  .kind = WEFT__PROFILE_STANDING,
                                  .count = custom_count,
                                  .take = custom_take,
                                  .write = counts_write,
                                  .drop = buckets_drop,
                                  .size = buckets_size,
                                  .custom = custom};
}

/* Time ----------------------------------------------------------------------------------------- */

static int wall_write(const struct weft__asked *asked, const void *from, void *view,
                      int64_t duration, const struct weft__sink *to)
{
    (void)from;
    return asked->debug ? weft__wall_text(view, to) : weft__wall_pprof(view, duration, to);
}

/* All ------------------------------------------------------------------------------------------ */

#define TASKS                                                                                      \
    .count = tasks_count, .take = tasks_take, .write = tasks_write, .drop = tasks_drop,            \
    .size = tasks_size
#define WAITS(of)                                                                                  \
    .which = of, .count = waits_count, .take = waits_take, .begin = waits_begin, .end = waits_end, \
    .cancel = waits_cancel, .write = waits_write, .drop = buckets_drop, .size = buckets_size
#define SINCE(of)                                                                                  \
    .which = of, .take = since_take, .write = waits_write, .drop = buckets_drop,                   \
    .size = buckets_size

/* By name; the last has none. */
static const struct weft__profile profiles[] = {
    {"block",
     "Where tasks waited for others, and how long: channels, select, locks, groups. live=0 leaves "
     "out what is not over, io=1 adds I/O and sleeps.",
     WEFT__PROFILE_CHANGING, WAITS(WEFT__CONTENTION_BLOCK)},
    {"contention",
     "The same waits for locks with both sides: the stack that waited, and the stack that "
     "unlocked.",
     WEFT__PROFILE_CHANGING, WAITS(WEFT__CONTENTION_PAIRS)},
    {"delta_block", "The waits of block that ended since delta_block was last asked for.",
     WEFT__PROFILE_STANDING, SINCE(WEFT__CONTENTION_BLOCK)},
    {"delta_mutex", "The waits of mutex that ended since delta_mutex was last asked for.",
     WEFT__PROFILE_STANDING, SINCE(WEFT__CONTENTION_MUTEX)},
    {"fgprof",
     "Where tasks spend their time, whether they run or wait, by looking at some of them every 10 "
     "ms for seconds=N.",
     WEFT__PROFILE_SAMPLED, .write = wall_write, .drop = buckets_drop, .size = buckets_size},
    {"goroutine",
     "Every task, its state and its stack. debug=1 merges equal stacks with equal labels, debug=2 "
     "is the text of a Go panic, debug=3 adds names, labels, lock owners and exact times. "
     "per_task=1: the binary form with one sample a task, and its id, state and wait as labels of "
     "it.",
     WEFT__PROFILE_CHANGING, TASKS},
    {"mutex",
     "Where mutexes and rwmutexes were unlocked for which others waited, and how long all did.",
     WEFT__PROFILE_CHANGING, WAITS(WEFT__CONTENTION_MUTEX)},
    {"threadcreate", "The threads of the library, and the stacks that made them.",
     WEFT__PROFILE_CHANGING, .count = threads_count, .take = threads_take, .write = counts_write,
     .drop = buckets_drop, .size = buckets_size},
    {.name = NULL},
};

bool weft__profile_find(struct weft__profile *out, const char *name)
{
    weft_profile *custom = weft__custom_find(name);

    if (custom) {
        *out = of_custom(custom);
        return true;
    }
    for (const struct weft__profile *p = profiles; p->name; p++) {
        if (strcmp(name, p->name) == 0) {
            *out = *p;
            return true;
        }
    }
    return false;
}

struct each {
    void (*fn)(const struct weft__profile *p, void *arg);
    void *arg;
};

static void show_custom(weft_profile *custom, void *arg)
{
    const struct weft__profile p = of_custom(custom);
    const struct each *each = arg;

    each->fn(&p, each->arg);
}

void weft__profile_each(void (*fn)(const struct weft__profile *p, void *arg), void *arg)
{
    for (const struct weft__profile *p = profiles; p->name; p++)
        fn(p, arg);
    weft__custom_each(show_custom, &(struct each){fn, arg});
}

/* Encoding many stacks takes long, and nobody may wait for a processor because of it. */
struct aside {
    const struct weft__sink *to;
    size_t n;
};

static int write_aside(void *arg, const void *data, size_t n)
{
    const struct aside *a = arg;
    int rc = a->to->write(a->to->arg, data, n); /* with a processor, if it is any call of ours */

    weft__stand_aside(a->n);
    return rc;
}

static int write_view(const struct weft__asked *asked, const void *from, void *view,
                      int64_t duration, const struct weft__sink *to)
{
    const struct weft__profile *p = &asked->profile;
    struct aside a = {to, p->size(view)};
    const struct weft__sink aside = {write_aside, &a};
    int rc;

    if (asked->debug || !weft__stand_aside(a.n))
        return p->write(asked, from, view, duration, to);
    rc = p->write(asked, from, view, duration, &aside);
    weft__stand_back();
    return rc;
}

static int serve_sampled(const struct weft__asked *asked, weft__wall_wait *wait, void *arg,
                         const struct weft__sink *to)
{
    weft_time start = weft_now();
    int rc;
    weft__buckets *view = weft__wall_sample(asked->over, wait, arg, &rc);

    if (view)
        rc = write_view(asked, NULL, view, weft_now() - start, to);
    asked->profile.drop(view);
    return rc;
}

/* One that is not the difference of two views. */
static int serve_window(const struct weft__asked *asked, weft__wall_wait *wait, void *arg,
                        const struct weft__sink *to)
{
    const struct weft__profile *p = &asked->profile;
    weft_time start = weft_now();
    void *begun = p->begin(asked), *view;
    int rc = -ENOMEM;

    if (begun && !wait(arg, start + asked->over)) {
        p->cancel(begun);
        return -ECANCELED;
    }
    view = p->end(asked, begun);
    if (view)
        rc = write_view(asked, NULL, view, weft_now() - start, to);
    p->drop(view);
    return rc;
}

static int serve_change(const struct weft__asked *asked, weft__wall_wait *wait, void *arg,
                        const struct weft__sink *to)
{
    const struct weft__profile *p = &asked->profile;
    weft_time start = weft_now();
    void *from = p->take(asked), *view = NULL;
    int rc = -ENOMEM;

    if (from && !wait(arg, start + asked->over))
        rc = -ECANCELED;
    else if (from && (view = p->take(asked)) != NULL)
        rc = write_view(asked, from, view, weft_now() - start, to);
    p->drop(from);
    p->drop(view);
    return rc;
}

int weft__profile_serve(const struct weft__asked *asked, weft__wall_wait *wait, void *arg,
                        const struct weft__sink *to)
{
    const struct weft__profile *p = &asked->profile;
    void *view;
    int rc;

    if (p->kind == WEFT__PROFILE_SAMPLED)
        return serve_sampled(asked, wait, arg, to);
    if (asked->over > 0)
        return (p->begin ? serve_window : serve_change)(asked, wait, arg, to);
    view = p->take(asked);
    rc = view ? write_view(asked, NULL, view, 0, to) : -ENOMEM;
    p->drop(view);
    return rc;
}

/* weft_profile_write --------------------------------------------------------------------------- */

static bool wait_here(void *arg, weft_time until)
{
    (void)arg;
    return weft_sleep_until(until) == 0;
}

int weft_profile_write(int fd, const char *name, const weft_profile_options *options)
{
    const weft_profile_options o = options ? *options : (weft_profile_options){0};
    const struct weft__sink to = weft__sink_fd(fd);
    struct weft__asked asked = {
        .debug = o.text, .no_live = o.no_live, .with_io = o.with_io, .over = o.over};
    int rc;

    if (!weft__profile_find(&asked.profile, name) || !weft__enter_try("weft_profile_write"))
        return WEFT_EINVAL;
    weft__exit();
    if (asked.profile.kind == WEFT__PROFILE_SAMPLED && o.over <= 0)
        asked.over = WEFT__PROFILE_SECONDS * WEFT_SECOND;
    if (o.over < 0 || (o.over > 0 && (asked.profile.kind == WEFT__PROFILE_STANDING ||
                                      (o.text && asked.profile.kind == WEFT__PROFILE_CHANGING))))
        return WEFT_EINVAL;
    rc = weft__profile_serve(&asked, wait_here, NULL, &to);
    return rc == -ENOMEM ? WEFT_ENOMEM : rc == -ECANCELED ? WEFT_ECANCELED : rc;
}
