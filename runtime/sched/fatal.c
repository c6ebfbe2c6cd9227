/* SPDX-License-Identifier: MIT */
/* fatal.c - reports of a program's end that know tasks: of panics, deadlocks, stack overflows,
 * SIGQUIT and faults.
 *
 * Owns no state but the value of WEFT_TRACEBACK at the start of a run. A report is made on the
 * thread that dies, whatever locks it holds; SIGQUIT's on weft_run's thread. base/death.c lets one
 * thread of a process report.
 *
 * A fault may have left malloc, the heap or a stack in any state. So its report has two parts:
 *   first   the faulting task's own stack, by code that needs no lock, no heap and no other thread
 *   full    every task, which may hang or fault in turn
 * The first part reads rules from the mapped .eh_frame, and names from the files' symbol tables at
 * that moment, so nothing has to be prepared. It trusts no record: each step may fault and is
 * jumped out of, the text is formatted without the C library's data, and a mark at the top of each
 * task's stack has the task's id. weft_run's thread makes the second part, since the thread that
 * died may hold its arena's lock in malloc. Then the old disposition is restored and the signal
 * sent again; it comes when the handler returns, so that a core shows the instruction. */
#include "runtime/sched/fatal.h"

#include "runtime/base/death.h"
#include "runtime/base/handler.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum weft__traceback level_at_start = WEFT__SHOW_ALL; /* for faults, which may have
                                                              * overwritten the environment */

/* Returns whether tasks can be shown: while a run is under way, but not in a child of fork, which
 * has no workers to help with a snapshot. */
static bool can_explain(void)
{
    return weft__load(&weft__sched.running) && !weft__forked;
}

static void say_overflow(const struct weft__death *d)
{
    const weft__task *t = d->overflowed;
    const char *name = weft__tags_name(t->tags);

    if (!name)
        name = "";
    weft__death_say(
        "weft: stack of task %llu%s%s%s exceeds its %zu bytes (WEFT stack_size); entry ",
        (unsigned long long)t->id, name[0] ? " \"" : "", name, name[0] ? "\"" : "",
        (size_t)(t->ctx.hi - t->ctx.lo));
    weft__reporter->put_place(STDERR_FILENO, (uintptr_t)t->fn);
    weft__death_say("\nweft: address=%#llx stack=[%#llx, %#llx]\n", (unsigned long long)d->address,
                    (unsigned long long)t->ctx.lo, (unsigned long long)t->ctx.hi);
}

/* Reports a panic or a fatal error of a call. */
static void explain_call(const void *caller, bool alone)
{
    struct weft__death d = {.caller = caller, .alone = alone};

    if (can_explain())
        weft__reporter->explain(STDERR_FILENO, &d);
}

static void silenced(void)
{
    weft__reporter->dies();
}

void weft__fatal_begin(void)
{
    level_at_start = weft__traceback();
    weft__death_explain = explain_call;
    weft__death_silenced = silenced;
}

static void fatal(const struct weft__death *d, const char *text) WEFT__NORETURN;

static void fatal(const struct weft__death *d, const char *text)
{
    weft__death_begin(0);
    weft__death_because(text);
    if (d->overflowed)
        say_overflow(d);
    weft__death_say("fatal error: %s\n\n", text);
    if (can_explain() && weft__traceback() != WEFT__SHOW_NONE)
        weft__reporter->explain(STDERR_FILENO, d);
    weft__death_end();
}

void weft__deadlock(void)
{
    static const struct weft__death d = {.locks = true};

    fatal(&d, "all goroutines are asleep - deadlock!");
}

void weft__report_overflow(weft__task *t)
{
    struct weft__death d = {.overflowed = t};

    fatal(&d, "stack overflow");
}

void weft__quit(uintptr_t pc, int code)
{
    static const struct weft__death d = {.locks = true};

    weft__death_begin(0);
    weft__death_because("SIGQUIT: quit");
    weft__death_say("SIGQUIT: quit\nPC=%#llx m=0 sigcode=%d\n\n", (unsigned long long)pc, code);
    if (can_explain()) /* with any WEFT_TRACEBACK, as in Go */
        weft__reporter->explain(STDERR_FILENO, &d);
    weft__death_end();
}

static void say_fault(const char *name, const siginfo_t *info, const void *ucontext)
{
    bool has_address = info->si_code > 0 && info->si_code != SI_KERNEL;

    weft__death_say("%s\nPC=0x%llx m=0 sigcode=%d", name,
                    (unsigned long long)weft__ctx_pc(ucontext), info->si_code);
    if (has_address)
        weft__death_say(" addr=0x%llx", (unsigned long long)(uintptr_t)info->si_addr);
    weft__death_say("\n\n");
}

/* Finds the task in whose guard, or just below whose stack, the address lies. */
static void find_overflowed(struct weft__death *d)
{
    weft__worker *w = weft__self();
    weft__task *t = w && !w->foreign ? w->task : NULL;

    if (t && d->address < t->ctx.lo && d->address >= t->ctx.lo - weft__stack_guard)
        d->overflowed = t;
}

/* Writes which call of libuv has aborted, if one has: libuv aborts where it has no code for a
 * failure of the kernel. */
static void tell_of_loop(struct weft__death *d)
{
    weft__worker *w = weft__self();
    weft__proc *p = w ? weft__load(&w->p) : NULL;

    weft__loop_aborted(p ? p->loop : NULL, d->error);
}

static void tell_of_overflow(struct weft__death *d)
{
    say_overflow(d);
}

static void explain_first(struct weft__death *d)
{
    weft__reporter->explain_first(STDERR_FILENO, d);
}

/* Reports a fault and returns. Does not return if another thread is dying already. error: errno
 * when the signal came. */
static void report_fault(const char *name, const siginfo_t *info, const void *ucontext, int error)
{
    struct weft__death d = {.ucontext = ucontext, .error = error};
    int signo = info->si_signo;

    weft__death_begin(signo);
    weft__death_because(name);
    d.alone = level_at_start == WEFT__SHOW_SINGLE;
    d.address = (uintptr_t)info->si_addr;
    if (info->si_code > 0 && (signo == SIGSEGV || signo == SIGBUS))
        weft__death_guard(find_overflowed, &d);
    if (signo == SIGABRT)
        weft__death_guard(tell_of_loop, &d);
    if (d.overflowed) {
        weft__death_guard(tell_of_overflow, &d);
        weft__death_say("fatal error: stack overflow\n\n");
    } else {
        say_fault(name, info, d.ucontext);
    }
    if (!can_explain() || level_at_start == WEFT__SHOW_NONE)
        return;
    if (!weft__death_guard(explain_first, &d)) {
        weft__death_say("\nweft: a fault in this report\n");
        d.distrust = true; /* the thread's stack alone may do */
        weft__death_guard(explain_first, &d);
    }
    weft__reporter->explain(STDERR_FILENO, &d);
}

/* Ends the process by the signal that was reported. It is sent again, blocked until the handler
 * returns, so that a core shows the instruction that it came at. */
static void end_after(int signo, siginfo_t *info)
{
    sigset_t set;

    weft__handler_default(signo);
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (int)syscall(SYS_gettid), signo, info);
}

/* Handles a fault, on the thread that caused it, on its alternate stack. Before the report has
 * begun it reads only static data of the runtime: the fault may have overwritten all other data,
 * and a second fault would end the process without a word. */
static void on_fault(int signo, siginfo_t *info, void *uc)
{
    int error = errno;

    if (!weft__handler_is_childs()) {
        weft__reporter->faulted(signo, info, uc);
        report_fault(weft__fault_name(signo), info, uc, error);
        weft__death_tell_record();
    }
    end_after(signo, info);
}

void weft__faults_begin(void)
{
    sigset_t set;

    weft__faults(&set);
    for (int s = 1; s < WEFT__SIGNALS; s++) {
        if (sigismember(&set, s) != 1)
            continue;
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
        signal(s, SIG_DFL); /* the sanitizer's own stood there */
#endif
        weft__handler_install_over_default(s, on_fault);
    }
}
