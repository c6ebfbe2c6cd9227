/* SPDX-License-Identifier: MIT */
/* handler.c - the signal handlers of the runtime, and the dispositions from before them.
 *
 * Owns: the table of dispositions, and the process id of weft_run's caller.
 * There is no lock, since handlers read the table. One thread at a time changes the entry of a
 * signal: weft_run's while no task runs, the only thread in a child of fork, and else a thread that
 * holds the lock of sync/signals.c. */
#include "runtime/base/handler.h"

#include "runtime/base/atomic.h"

#include <stddef.h>
#include <unistd.h>

static struct {
    struct sigaction before[WEFT__SIGNALS];
    bool ours[WEFT__SIGNALS];          /* the signal has a handler of the runtime; atomic */
    void (*moved[WEFT__SIGNALS])(int); /* the handlers of the program that `move` has changed */
    pid_t pid;                         /* of the process that called weft_run */
} handlers;

/* Makes the program's handlers run on the alternate stack, or undoes that. */
static void move(bool away)
{
    struct sigaction sa;

    for (int s = 1; s < WEFT__SIGNALS; s++) {
        if (sigaction(s, NULL, &sa) != 0 || sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN)
            continue;
        if (away ? (sa.sa_flags & SA_ONSTACK) != 0 : sa.sa_handler != handlers.moved[s])
            continue;
        sa.sa_flags ^= SA_ONSTACK;
        sigaction(s, &sa, NULL);
        handlers.moved[s] = away ? sa.sa_handler : NULL;
    }
}

void weft__handlers_begin(void)
{
    handlers.pid = getpid();
    move(true);
}

void weft__handlers_end(void)
{
    move(false);
}

void weft__handler_install(int signo, weft__handler *fn)
{
    struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    sigemptyset(&sa.sa_mask);
    weft__store_seq(&handlers.ours[signo], true);
    if (sigaction(signo, &sa, &handlers.before[signo]) != 0)
        weft__store_seq(&handlers.ours[signo], false);
}

void weft__handler_install_over_default(int signo, weft__handler *fn)
{
    struct sigaction now;

    if (sigaction(signo, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == SIG_DFL)
        weft__handler_install(signo, fn);
}

/* The handler may still be running, so what stood before it stays. */
bool weft__handler_remove(int signo)
{
    if (!handlers.ours[signo])
        return false;
    sigaction(signo, &handlers.before[signo], NULL);
    weft__store_seq(&handlers.ours[signo], false);
    return true;
}

void weft__handlers_drop(void)
{
    for (int s = 1; s < WEFT__SIGNALS; s++)
        weft__handler_remove(s);
}

bool weft__handler_stands(int signo)
{
    return weft__load_seq(&handlers.ours[signo]);
}

bool weft__handler_is(int signo, weft__handler *fn)
{
    struct sigaction now;

    return weft__handler_stands(signo) && sigaction(signo, NULL, &now) == 0 &&
           (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == fn;
}

const struct sigaction *weft__handler_before(int signo)
{
    return &handlers.before[signo];
}

bool weft__handler_is_childs(void)
{
    return getpid() != handlers.pid;
}

void weft__handler_default(int signo)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};

    sigaction(signo, handlers.ours[signo] ? &handlers.before[signo] : &sa, NULL);
}

static const struct {
    int signo;
    const char *name;
} faults[] = {
    {SIGSEGV, "SIGSEGV: segmentation violation"},
    {SIGBUS, "SIGBUS: bus error"},
    {SIGFPE, "SIGFPE: floating-point exception"},
    {SIGILL, "SIGILL: illegal instruction"},
    {SIGTRAP, "SIGTRAP: trace trap"},
    {SIGSYS, "SIGSYS: bad system call"},
    {SIGABRT, "SIGABRT: abort"},
};
enum { FAULTS = sizeof(faults) / sizeof(*faults) };

void weft__faults(sigset_t *set)
{
    sigemptyset(set);
    for (int i = 0; i < FAULTS; i++)
        sigaddset(set, faults[i].signo);
}

const char *weft__fault_name(int signo)
{
    for (int i = 0; i < FAULTS; i++) {
        if (faults[i].signo == signo)
            return faults[i].name;
    }
    return NULL;
}
