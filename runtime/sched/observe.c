/* SPDX-License-Identifier: MIT */
/* observe.c - the reporter of a program without profiles: it shows nothing.
 *
 * Owns: weft__reporter, which profiles/ replaces before a run. So the runtime calls through the
 * pointer without a test. observe.h says on which thread each function is called. */
#include "runtime/sched/observe.h"

static void record(weft__task *t, bool running)
{
    (void)t, (void)running;
}

static void explain(int fd, const struct weft__death *d)
{
    (void)fd, (void)d;
}

static void put_place(int fd, uintptr_t pc)
{
    (void)fd, (void)pc;
}

static void faulted(int signo, const siginfo_t *info, const void *ucontext)
{
    (void)signo, (void)info, (void)ucontext;
}

static void dies(void)
{
}

static void interrupted(weft__task *t, void *ucontext)
{
    (void)t, (void)ucontext;
}

static const struct weft__reporter none = {
    .record = record,
    .explain = explain,
    .explain_first = explain,
    .put_place = put_place,
    .faulted = faulted,
    .dies = dies,
    .interrupted = interrupted,
};

const struct weft__reporter *weft__reporter = &none;
