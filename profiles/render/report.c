/* SPDX-License-Identifier: MIT */
/* report.c - the report of the process's end: which tasks there were, and what they waited for.
 *
 * Owns the reporter, the runtime's way to this folder (runtime/sched/observe.h). The thread that
 * dies calls it, once in a process, whatever locks that thread holds; after a fault, weft_run's
 * thread writes the full report for it (runtime/sched/errand.h). */
#include "profiles/render/report.h"

#include "profiles/capture/dying.h"
#include "profiles/capture/interrupt.h"
#include "profiles/render/dump.h"
#include "profiles/render/fault.h"
#include "profiles/render/forbidden.h"
#include "profiles/render/holders.h"
#include "profiles/render/output.h"
#include "profiles/walk/libdw_fault.h"
#include "profiles/walk/symbolize.h"
#include "runtime/base/death.h"
#include "runtime/sched/errand.h"
#include "runtime/sched/observe.h"

#include <unistd.h>

/* A report of the process's end that is being written. */
struct report {
    struct weft__asking asking;
    const struct weft__death *death;
    int fd;
};

static int write_report(void *arg, const void *data, size_t n)
{
    return weft__death_write((int)(intptr_t)arg, data, n);
}

/* Writes which calls the kernel forbids, since the report lacks something then. */
static void tell_forbidden(const struct weft__sink *sink)
{
    struct weft__out *o = weft__out_new(sink);

    if (!o)
        return;
    if (weft__forbidden_put(o, "weft: ") > 0)
        weft__out_char(o, '\n');
    weft__out_end(o);
}

/* Writes the report of all tasks, or of the caller alone. */
static void explain_in(void *arg)
{
    struct report *r = arg;
    struct weft__sink sink = {write_report, (void *)(intptr_t)r->fd};
    const struct weft__task *first = r->death->overflowed ? r->death->overflowed : r->asking.self;
    const struct weft__snapshot *s = weft__snapshot_of_death(&r->asking);
    struct weft__snapshot view;

    if (!s)
        return;
    view = *s;
    view.half = WEFT__REPORT_HALF;
    tell_forbidden(&sink);
    if (r->death->locks)
        weft__holders_text(&view, &sink);
    weft__tasks_render(&view, first ? first->id : 0, &sink, WEFT_DUMP_TASKS);
    weft__snapshot_put(s);
}

static void explain_first(int fd, const struct weft__death *d)
{
    if (weft__mutant == WEFT__CRASH_IN_FIRST && !d->distrust)
        weft__mutant_crash();
    weft__explain_first(fd, d);
}

/* The reporter's `explain`: writes which tasks there were. Called once, by the thread that dies. */
static void explain(int fd, const struct weft__death *d)
{
    static const char why[] =
        "weft: the process died during a snapshot, so the other tasks are not shown\n\n";
    weft__worker *w = d->distrust ? NULL : weft__self();
    struct report r = {.death = d, .fd = fd};
    bool in_capture = weft__holds_capture(w);

    r.asking.self = weft__dying_task(d);
    r.asking.ucontext = d->ucontext;
    r.asking.from = d->caller;
    r.asking.alone = in_capture || (d->alone && r.asking.self);
    if (in_capture && weft__death_write(fd, why, sizeof(why) - 1) < 0)
        return;
    weft__symbolizer_died();
    while (weft__mutant == WEFT__HANG_IN_REPORT)
        pause();
    if (weft__mutant == WEFT__CRASH_IN_NAMES)
        weft__symbolizer_crash = weft__mutant_crash;
    if (!d->ucontext || !weft__errand(explain_in, &r))
        explain_in(&r);
}

void weft__report_attach(void)
{
    static const struct weft__reporter reporter = {
        .record = weft__snapshot_record,
        .explain = explain,
        .explain_first = explain_first,
        .put_place = weft__put_place,
        .faulted = weft__libdw_faulted,
        .dies = weft__symbolizer_died,
        .interrupted = weft__interrupted,
    };

    weft__reporter = &reporter;
}
