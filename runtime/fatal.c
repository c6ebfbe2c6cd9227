/* SPDX-License-Identifier: MIT */
/* fatal.c - the ways a program ends because of us: a message in Go's words, the tasks, status 2.
 *
 * WEFT_TRACEBACK, else GOTRACEBACK, says what is shown: none (the message), single and all (every
 * task: C tasks share memory, so the others matter), crash (and SIGABRT, for a core). The process
 * ends by _exit: exit() would run libuv's clean-up while workers still poll. */
#include "fatal.h"

#include "env.h"
#include "observe.h"
#include "park.h"
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool by_signal; /* a signal shows the tasks whatever WEFT_TRACEBACK says, as in Go */
static uint32_t dying; /* atomic: the first to die speaks, others wait for the end */

static const char *traceback(void)
{
    static const char *const levels[] = {"none", "single", "all", "system", "crash",
                                         "0",    "1",      "2",   NULL};
    int level = weft__env_word("WEFT_TRACEBACK", levels, -1);
    const char *go = getenv("GOTRACEBACK");

    if (level >= 0)
        return levels[level];
    return go ? go : "all";
}

void weft__traceback_check(void)
{
    traceback();
}

static bool traceback_none(void)
{
    const char *s = traceback();

    return strcmp(s, "none") == 0 || strcmp(s, "0") == 0;
}

static WEFT__NORETURN void end(void)
{
    if (strcmp(traceback(), "crash") == 0) {
        signal(SIGABRT, SIG_DFL);
        raise(SIGABRT);
    }
    _exit(2);
}

static void say(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, text, n);

        if (done < 0 && errno != EINTR)
            return;
        if (done > 0) {
            text += done;
            n -= (size_t)done;
        }
    }
}

/* One thread at a time, and only once: a second panic while the first prints waits for its end; a
 * panic inside the report ends it. A report that hangs is cut by an alarm. */
static void begin_dying(void)
{
    static pthread_t who; /* atomic */
    uint32_t not = 0;

    if (!weft__cas(&dying, &not, 1)) {
        if (weft__load_acq(&who) == pthread_self())
            end();
        for (;;)
            pause();
    }
    weft__store_rel(&who, pthread_self());
    signal(SIGALRM, SIG_DFL);
    alarm(60);
}

void weft__death_wait(void)
{
    while (weft__load_acq(&dying))
        pause();
}

static void die(const char *prefix, const void *ucontext, const char *format,
                va_list ap) WEFT__NORETURN WEFT__PRINTF(3, 0);

static void die(const char *prefix, const void *ucontext, const char *format, va_list ap)
{
    char text[512];
    int n;

    if (!weft__forked) /* whose parent's thread may be dying, too */
        begin_dying();
    n = snprintf(text, sizeof(text), "%s", prefix);
    n += vsnprintf(text + n, sizeof(text) - (size_t)n - 2, format, ap);
    if (n > (int)sizeof(text) - 3)
        n = (int)sizeof(text) - 3;
    text[n++] = '\n';
    text[n++] = '\n';
    say(text, (size_t)n);
    if (weft__load(&weft__sched.running) && !weft__forked && (by_signal || !traceback_none()))
        weft__hooks.explain(STDERR_FILENO, ucontext);
    end();
}

void weft__panic(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    die("panic: ", NULL, format, ap);
}

void weft__fatal(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    die("fatal error: ", NULL, format, ap);
}

void weft__assert_failed(const char *what, const char *file, int line)
{
    weft__fatal("weft: assertion failed: %s (%s:%d)", what, file, line);
}

void weft__deadlock(void)
{
    weft__fatal("all goroutines are asleep - deadlock!");
}

static WEFT__NORETURN void die_at(const void *ucontext, const char *prefix, const char *format, ...)
    WEFT__PRINTF(3, 4);

static void die_at(const void *ucontext, const char *prefix, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    die(prefix, ucontext, format, ap);
}

void weft__report_overflow(weft__task *t, uintptr_t address, void *ucontext)
{
    const char *name = weft__tags_name(t->tags);

    if (!name)
        name = "";
    fprintf(stderr,
            "weft: stack of task %llu%s%s%s exceeds its %zu bytes (WEFT stack_size); entry %p\n"
            "weft: address=%#llx stack=[%#llx, %#llx]\n",
            (unsigned long long)t->id, name[0] ? " \"" : "", name, name[0] ? "\"" : "",
            (size_t)(t->ctx.hi - t->ctx.lo), (void *)(uintptr_t)t->fn, (unsigned long long)address,
            (unsigned long long)t->ctx.lo, (unsigned long long)t->ctx.hi);
    die_at(ucontext, "fatal error: ", "stack overflow");
}

void weft__signal_death(const char *name, uintptr_t pc, int code, void *ucontext)
{
    by_signal = true;
    die_at(ucontext, name, "\nPC=%#llx m=0 sigcode=%d", (unsigned long long)pc, code);
}
