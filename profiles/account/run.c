/* SPDX-License-Identifier: MIT */
/* run.c - weft_run: starts a run of the runtime with the profiles attached to it. Owns nothing; the
 * program calls it on a thread that is in no run.
 *
 * The runtime knows no profile, so some file must name the profiles to the linker and to the
 * runtime. This one does both. Each program with tasks calls weft_run, so it links this object,
 * which calls the files that attach themselves. Constructors in those files would not do: a linker
 * takes an object out of libweft.a only if the program names something in it. A linker option (-u)
 * would have to be in each program's build. This way the static and the shared library behave
 * alike, and nothing depends on the order of constructors. A program that links runtime/ alone
 * calls weft__run, and has no profiles (tests/runtime/test_alone.c). */
#include "runtime/run/run.h"
#include "profiles/account/cpu.h"
#include "profiles/account/recorder.h"
#include "profiles/account/threads.h"
#include "profiles/capture/tasks.h"
#include "profiles/render/report.h"
#include "profiles/trace/flight.h"
#include "profiles/trace/trace.h"
#include "profiles/walk/symbolize.h"
#include "runtime/sched/sinks.h"

#include <pthread.h>

static void start(struct weft__event_sink *s)
{
    (void)s;
    weft__symbolizer_begin();
}

static void stop(struct weft__event_sink *s)
{
    (void)s;
    weft__trace_run_ends();
    weft__symbolizer_stop();
}

/* Sinks start in this order and stop in reverse. So a snapshot under way ends first, and the
 * symbolizer, which the others ask, stops last. It starts last, too: threads.c watches it. */
static void attach(void)
{
    static struct weft__event_sink stops_last = {.stop = stop}, starts_last = {.start = start};

    weft__sinks_add(&stops_last);
    weft__recorder_attach();
    weft__threads_attach();
    weft__capture_attach();
    weft__cpu_attach();
    weft__report_attach();
    weft__sinks_add(&starts_last);
}

int weft_run_with(const weft_run_options *options, weft_main_fn *fn, void *arg)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const weft_run_options defaults;
    int result;

    pthread_once(&once, attach);
    if (!options)
        options = &defaults;
    weft__flight_begin(options);
    result = weft__run(options, fn, arg);
    weft__flight_end();
    return result;
}

int weft_run(weft_main_fn *fn, void *arg)
{
    return weft_run_with(NULL, fn, arg);
}
