/* SPDX-License-Identifier: MIT */
/* signal.c - see signal.h.
 *
 * Owns: the handler, and the dispositions from before it. It is none of base/handler.h, since it
 * stays when the run ends: a signal that is pending then would kill the process under SIG_DFL. A
 * handler without a sampling does nothing.
 *
 * The signal is SIGPROF, unless the program has a handler for it; then the first of the others for
 * which it has none. If it has one for each, ours goes before that of SIGPROF. A signal is one of
 * our timers' by its code and value. The handler from before gets all others; where there was none
 * they are ignored, also where the default action would have ended the process. */
#include "profiles/cpu/signal.h"

#include <errno.h>

/* The upper half of the values of our timers; the lower half is an index. A pointer of a program
 * never looks like this. */
#define OURS UINT64_C(0x77656674)

static struct sigaction before[65]; /* by signal; written before the handler is installed */

static void chain(int signo, siginfo_t *info, void *uc)
{
    const struct sigaction *old = &before[signo];

    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(signo, info, uc);
    else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
        old->sa_handler(signo);
}

/* async-signal-safe */
static void on_timer(int signo, siginfo_t *info, void *uc)
{
    uint64_t value = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
    int saved = errno;

    if (info->si_code == SI_TIMER && value >> 32 == OURS)
        weft__cpu_take_sample((uint32_t)value, info->si_overrun, uc);
    else
        chain(signo, info, uc);
    errno = saved;
}

union sigval weft__cpu_signal_value(uint32_t index)
{
    return (union sigval){.sival_ptr = (void *)(uintptr_t)(OURS << 32 | index)};
}

static bool is_handled(const struct sigaction *sa)
{
    return (sa->sa_flags & SA_SIGINFO) || (sa->sa_handler != SIG_DFL && sa->sa_handler != SIG_IGN);
}

bool weft__cpu_signal_stands(int signo)
{
    struct sigaction now;

    return sigaction(signo, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
           now.sa_sigaction == on_timer;
}

/* Installs the handler, unless the program has one and may keep it alone. Returns whether the
 * handler stands. Other handlers wait while it runs; faults do not, since the kernel would end the
 * process without a report. */
static bool install(int signo, bool over_another)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    struct sigaction sa = {.sa_sigaction = on_timer,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    struct sigaction now;

    if (weft__cpu_signal_stands(signo))
        return true;
    if (sigaction(signo, NULL, &now) != 0 || (is_handled(&now) && !over_another))
        return false;
    before[signo] = now;
    sigfillset(&sa.sa_mask);
    for (unsigned i = 0; i < sizeof(faults) / sizeof(*faults); i++)
        sigdelset(&sa.sa_mask, faults[i]);
    return sigaction(signo, &sa, NULL) == 0;
}

int weft__cpu_signal_take(void)
{
    static const int first[] = {SIGPROF, SIGSTKFLT, SIGPWR};

    for (unsigned i = 0; i < sizeof(first) / sizeof(*first); i++) {
        if (install(first[i], false))
            return first[i];
    }
    for (int signo = SIGRTMAX - 3; signo > SIGRTMIN; signo--) {
        if (install(signo, false))
            return signo;
    }
    install(SIGPROF, true);
    return SIGPROF;
}
