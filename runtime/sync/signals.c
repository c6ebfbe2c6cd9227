/* SPDX-License-Identifier: MIT */
/* signals.c - handlers of the runtime, and signals as channels.
 *
 * Handlers do next to nothing: they note the signal and wake weft_run's thread, which does the
 * rest (weft__signals_handle). They may run on any thread, a worker too, at any instruction; there
 * they have its alternate stack. Ours stand only where the disposition was SIG_DFL; for signals
 * asked for by weft_signal_start a handler that was there is still called. Faults, and SIGABRT,
 * come on the thread that caused them, on its alternate stack: they are reported and then end the
 * process as if no handler stood there. */
#include "runtime/sync/signals.h"

#include "runtime/sched/fatal.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sync/chan.h"

#include <weft/signal.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { SIGNALS = 65 };

struct listener {
    struct listener *next;
    weft_chan *chan;
};

/* Lock: rank GROUP; guards listeners, old and ours. */
static struct {
    uint32_t lock;
    struct listener *listeners[SIGNALS];
    struct sigaction old[SIGNALS];
    bool ours[SIGNALS];          /* atomic: a handler of the runtime stands there */
    void (*moved[SIGNALS])(int); /* handlers of the program that handlers_move changed */
    sigset_t mask;               /* of weft_run's caller, and so of workers and children */
    pid_t pid;                   /* of the process that called weft_run */
    bool dumps;                  /* SIGQUIT is the runtime's with and without listeners */
    uint32_t pending[SIGNALS];   /* atomic: noted by on_signal, not yet sent on channels */
    uintptr_t pc[SIGNALS];       /* atomic: of the latest, for the message at death */
    int code[SIGNALS];
} sig;

/* Gives a signal that no channel listens for any more its default action, if that was its
 * disposition. Our handler has called the program's already. async-signal-safe */
static void pass_on(int signo)
{
    const struct sigaction *old = &sig.old[signo];

    if (!(old->sa_flags & SA_SIGINFO) && old->sa_handler == SIG_DFL)
        kill(getpid(), signo);
}

/* Returns whether the handler runs in a child that shares its parent's dispositions: before the
 * handlers of pthread_atfork, or made by a bare system call or vfork. The child gets the signal
 * again, with the disposition from before the run. A child of vfork has its parent's memory, so
 * nothing else is changed. async-signal-safe */
static bool is_childs(int signo)
{
    if (getpid() == sig.pid)
        return false;
    sigaction(signo, &sig.old[signo], NULL);
    kill(getpid(), signo);
    return true;
}

/* Notes the signal and wakes weft_run's thread. A handler that was interrupted before it noted the
 * signal may find the disposition restored. It reads ours after it wrote pending; restore's callers
 * read pending after they wrote ours: so one of them handles the signal. async-signal-safe */
static void on_signal(int signo, siginfo_t *info, void *uc)
{
    const struct sigaction *old = &sig.old[signo];
    int saved = errno;

    if (is_childs(signo))
        return;
    weft__store(&sig.pc[signo], weft__ctx_pc(uc));
    weft__store(&sig.code[signo], info->si_code);
    weft__store_seq(&sig.pending[signo], 1);
    if (weft__load_seq(&sig.ours[signo]))
        weft__done_kick();
    else if (weft__xchg(&sig.pending[signo], 0))
        pass_on(signo);
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(signo, info, uc);
    else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
        old->sa_handler(signo);
    errno = saved;
}

static const struct {
    int signo;
    const char *name; /* Go's */
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

void weft__fault_signals(sigset_t *set)
{
    sigemptyset(set);
    for (int i = 0; i < FAULTS; i++)
        sigaddset(set, faults[i].signo);
}

void weft__signal_default(int signo)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};

    sigaction(signo, sig.ours[signo] ? &sig.old[signo] : &sa, NULL);
}

/* Ends the process by the signal that was reported. It is sent again, blocked until the handler
 * returns, so that a core shows the instruction that it came at. */
static void die_by(int signo, siginfo_t *info)
{
    sigset_t set;

    weft__signal_default(signo);
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (int)syscall(SYS_gettid), signo, info);
}

/* Reads nothing of the runtime but its static data before the report has begun: the fault may have
 * overwritten all else, and a second one would end the process without a word. */
static void on_fault(int signo, siginfo_t *info, void *uc)
{
    int error = errno;

    if (getpid() != sig.pid) {
        die_by(signo, info);
        return;
    }
    weft__hooks.faulted(signo, info, uc);
    for (int i = 0; i < FAULTS; i++) {
        if (faults[i].signo == signo)
            weft__fault(faults[i].name, info, uc, error);
    }
    die_by(signo, info);
}

static void on_interrupt(int signo, siginfo_t *info, void *uc)
{
    weft__worker *w = weft__self();
    int saved = errno;

    (void)signo;
    (void)info;
    weft__hooks.interrupted(w && !weft__load(&w->in_rt) ? w->task : NULL, uc);
    errno = saved;
}

/* The program may have its own use for SIGURG, before the run or from some time in it on. */
int weft__signals_ask(void)
{
    struct sigaction now;

    if (!weft__load(&sig.ours[SIGURG]) || sigaction(SIGURG, NULL, &now) != 0 ||
        !(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_interrupt)
        return 0;
    return SIGURG;
}

/* Makes the program's handlers run on a worker's alternate stack, since a task's may be too small;
 * or undoes that. A thread without such a stack runs them where it did before. */
static void handlers_move(bool away)
{
    struct sigaction sa;

    for (int s = 1; s < SIGNALS; s++) {
        if (sigaction(s, NULL, &sa) != 0 || sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN)
            continue;
        if (away ? (sa.sa_flags & SA_ONSTACK) != 0 : sa.sa_handler != sig.moved[s])
            continue;
        sa.sa_flags ^= SA_ONSTACK;
        sigaction(s, &sa, NULL);
        sig.moved[s] = away ? sa.sa_handler : NULL;
    }
}

static bool is_default(int signo)
{
    struct sigaction now;

    return sigaction(signo, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
           now.sa_handler == SIG_DFL;
}

static void install(int signo, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction sa = {.sa_sigaction = handler,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    sigemptyset(&sa.sa_mask);
    weft__store_seq(&sig.ours[signo], true);
    if (sigaction(signo, &sa, &sig.old[signo]) != 0)
        weft__store_seq(&sig.ours[signo], false);
}

static void install_over_default(int signo, void (*handler)(int, siginfo_t *, void *))
{
    if (is_default(signo))
        install(signo, handler);
}

/* Restores the disposition. A handler may still be running, so old stays. Returns true if the
 * signal was noted and not yet sent on channels: then the caller passes it on. */
static bool restore(int signo)
{
    if (!sig.ours[signo])
        return false;
    sigaction(signo, &sig.old[signo], NULL);
    weft__store_seq(&sig.ours[signo], false);
    return weft__xchg(&sig.pending[signo], 0) != 0;
}

/* Sends signo on its channels. Returns false if none listens. Caller holds sig.lock. */
static bool offer(int signo)
{
    weft__check_holds(&sig.lock);
    for (struct listener *l = sig.listeners[signo]; l; l = l->next)
        weft__chan_offer(l->chan, &signo);
    return sig.listeners[signo] != NULL;
}

void weft__signals_start(void)
{
    sig.pid = getpid();
    pthread_sigmask(SIG_SETMASK, NULL, &sig.mask);
    handlers_move(true);
    if (!weft__sched.signals)
        return;
    install_over_default(SIGQUIT, on_signal);
    install_over_default(SIGURG, on_interrupt);
    for (int i = 0; i < FAULTS; i++) {
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
        signal(faults[i].signo, SIG_DFL); /* the sanitizer's own stood there */
#endif
        install_over_default(faults[i].signo, on_fault);
    }
    sig.dumps = sig.ours[SIGQUIT];
}

void weft__signals_stop(void)
{
    struct listener *l, *next;

    weft__lock(&sig.lock, WEFT__RANK_GROUP);
    for (int s = 1; s < SIGNALS; s++) {
        if (restore(s) && !offer(s))
            pass_on(s);
        for (l = sig.listeners[s]; l; l = next) {
            next = l->next;
            weft__chan_keep(l->chan, false, "weft_signal_stop");
            weft__free(l);
        }
        sig.listeners[s] = NULL;
    }
    weft__unlock(&sig.lock);
    handlers_move(false);
}

/* Threads -------------------------------------------------------------------------------------- */

/* Removes faults, and the signals that the runtime sends to a thread: no thread blocks these. */
static void unblock_ours(sigset_t *set)
{
    sigset_t faulty;

    weft__fault_signals(&faulty);
    for (int s = 1; s < SIGNALS; s++) {
        if (sigismember(&faulty, s) == 1 || s == SIGURG || s == SIGPROF)
            sigdelset(set, s);
    }
}

static int start_with(const sigset_t *mask, pthread_t *thread, size_t stack, void *(*fn)(void *),
                      void *arg)
{
    pthread_attr_t attr;
    sigset_t old;
    int rc;

    pthread_attr_init(&attr);
    if (stack > 0)
        pthread_attr_setstacksize(&attr, stack);
    pthread_sigmask(SIG_SETMASK, mask, &old);
    rc = pthread_create(thread, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

int weft__thread_start(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
    sigset_t mask;

    sigfillset(&mask);
    unblock_ours(&mask);
    return start_with(&mask, thread, stack, fn, arg);
}

/* Starts a thread that runs the program's code, with the mask of weft_run's caller. Under TSan the
 * thread blocks all signals for the process, and only fork's children get that mask: TSan delays a
 * handler until the interrupted task runs again, which for a task that then waits may be never. */
int weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
    sigset_t mask = sig.mask;

#ifdef WEFT__TSAN
    sigfillset(&mask);
    if (!sigismember(&sig.mask, SIGPIPE))
        sigdelset(&mask, SIGPIPE);
#endif
    unblock_ours(&mask);
    return start_with(&mask, thread, stack, fn, arg);
}

/* The child has no thread that would do the rest of a handler's work, and the signals that were
 * noted came to the parent. Takes no lock, since another thread of the parent may have held it. */
void weft__signals_in_child(bool is_worker)
{
    for (int s = 1; s < SIGNALS; s++)
        restore(s);
    if (is_worker)
        pthread_sigmask(SIG_SETMASK, &sig.mask, NULL);
}

/* Channels ------------------------------------------------------------------------------------- */

void weft__signals_handle(void)
{
    bool told;

    for (int s = 1; s < SIGNALS; s++) {
        if (!weft__load(&sig.pending[s]))
            continue;
        /* The lock comes first: else a stop in between would find nothing to offer. */
        weft__lock(&sig.lock, WEFT__RANK_GROUP);
        told = !weft__xchg(&sig.pending[s], 0) || offer(s);
        weft__unlock(&sig.lock);
        if (!told && s == SIGQUIT && sig.dumps)
            weft__quit(sig.pc[s], sig.code[s]);
        if (!told)
            pass_on(s);
    }
}

static bool can_be_had(int signo)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL,
                                SIGFPE,  SIGTRAP, SIGABRT, SIGSYS, SIGURG};

    for (unsigned i = 0; i < sizeof(never) / sizeof(*never); i++) {
        if (signo == never[i])
            return false;
    }
    return signo > 0 && signo < SIGNALS;
}

int weft_signal_start(weft_chan *c, int signo)
{
    struct listener *l;

    if (!c || !can_be_had(signo) || weft__chan_elem_size(c, "weft_signal_start") != sizeof(int))
        return WEFT_EINVAL;
    weft__enter("weft_signal_start");
    l = weft__alloc(1, sizeof(*l));
    l->chan = c;
    weft__chan_keep(c, true, "weft_signal_start");
    weft__lock(&sig.lock, WEFT__RANK_GROUP);
    l->next = sig.listeners[signo];
    sig.listeners[signo] = l;
    if (!sig.ours[signo])
        install(signo, on_signal);
    weft__add(&weft__sched.outside, 1);
    weft__unlock(&sig.lock);
    weft__exit();
    return 0;
}

static bool listens_alone(const weft_chan *c, int signo)
{
    const struct listener *l = sig.listeners[signo];

    while (l && l->chan == c)
        l = l->next;
    return !l;
}

void weft_signal_stop(weft_chan *c, int signo)
{
    struct listener **at, *l;

    if (signo <= 0 || signo >= SIGNALS)
        return;
    weft__enter("weft_signal_stop");
    weft__lock(&sig.lock, WEFT__RANK_GROUP);
    if (listens_alone(c, signo) && !(signo == SIGQUIT && sig.dumps) && restore(signo) &&
        !offer(signo))
        pass_on(signo);
    for (at = &sig.listeners[signo]; (l = *at) != NULL;) {
        if (l->chan != c) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        weft__chan_keep(c, false, "weft_signal_stop");
        weft__free(l);
        weft__sub(&weft__sched.outside, 1);
    }
    weft__unlock(&sig.lock);
    weft__exit();
}
