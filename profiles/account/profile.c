/* SPDX-License-Identifier: MIT */
/* profile.c - serves a request for a profile, from its parameters to its bytes (see profile.h).
 *
 * Owns nothing, and knows profiles by their descriptors alone. Encoding many stacks takes long, and
 * no task may wait for a processor because of that. So a large view is written inside a declared
 * blocking call. */
#include "profiles/account/profile.h"

#include "profiles/capture/tasks.h"
#include "profiles/render/counts.h"
#include "runtime/base/clock.h"
#include "runtime/sched/scheduler.h"

#include <errno.h>
#include <string.h>

void weft__asked_begin(struct weft__asked *a, const struct weft__profile *p)
{
    *a = (struct weft__asked){.profile = p};
    for (int i = 0; p->params && p->params[i].name; i++) {
        weft__assert(i < WEFT__PARAMS);
        a->params[i] = p->params[i].otherwise;
    }
}

void weft__asked_set(struct weft__asked *a, const char *name, int value)
{
    const struct weft__param *params = a->profile->params;

    for (int i = 0; params && params[i].name; i++) {
        if (strcmp(params[i].name, name) == 0)
            a->params[i] = value;
    }
}

/* A profile that has no take is of the time before now. */
struct weft__pprof_head weft__asked_head(const struct weft__asked *a, int64_t duration)
{
    const struct weft__profile *p = a->profile;

    return (struct weft__pprof_head){
        .name = p->name,
        .form = a->form,
        .page = a->page,
        .types = p->values,
        .n_types = p->n_values,
        .default_type = p->default_type,
        .period_type = p->period_type ? *p->period_type : p->values[0],
        .period = p->period ? p->period : 1,
        .time = weft__realtime() - (p->take ? 0 : duration),
        .duration = duration,
    };
}

/* Views ---------------------------------------------------------------------------------------- */

static void drop(const struct weft__profile *p, void *view)
{
    if (p->drop)
        p->drop(view);
    else
        weft__buckets_free(view);
}

static size_t size(const struct weft__profile *p, const void *view)
{
    return p->size ? p->size(view) : weft__buckets_count(view);
}

static int write_counts(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                        const struct weft__sink *to)
{
    const struct weft__pprof_head head = weft__asked_head(a, duration);

    if (from && !weft__buckets_add_all(view, from, -1))
        return -ENOMEM;
    return a->debug ? weft__counts_text(a->profile->name, &head, view, to)
                    : weft__counts_pprof(&head, view, to);
}

/* A sink that goes on with the blocking call after each piece. */
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

static int write_view(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                      const struct weft__sink *to)
{
    const struct weft__profile *p = a->profile;
    struct aside s = {to, size(p, view)};
    const struct weft__sink aside = {write_aside, &s};
    bool stands = !a->debug && weft__stand_aside(s.n);
    int rc = (p->write ? p->write : write_counts)(a, from, view, duration, stands ? &aside : to);

    if (stands)
        weft__stand_back();
    return rc;
}

/* Takes two views with the time between them. */
static void *take_change(const struct weft__asked *a, void **from, int *rc)
{
    weft_time until = weft_now() + a->over;

    *from = a->profile->take(a);
    if (!*from)
        return NULL;
    if (weft__asked_wait(a, until))
        return a->profile->take(a);
    *rc = -ECANCELED;
    return NULL;
}

int weft__asked_serve(const struct weft__asked *a, const struct weft__sink *to)
{
    const struct weft__profile *p = a->profile;
    weft_time start = weft_now();
    void *from = NULL, *view;
    int rc = -ENOMEM;

    if (a->over == 0)
        view = p->take(a);
    else if (p->sample)
        view = p->sample(a, &rc);
    else
        view = take_change(a, &from, &rc);
    if (view)
        rc = write_view(a, from, view, a->over > 0 ? weft_now() - start : 0, to);
    drop(p, from);
    drop(p, view);
    return rc;
}
