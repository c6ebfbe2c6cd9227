/* SPDX-License-Identifier: MIT */
/* signals.c - signals as channels, SIGQUIT, and the signal that interrupts a worker.
 *
 * Owns: the listeners of each signal, and the signals that are noted and not yet sent.
 * Lock: sig.lock (rank GROUP, since channels are used under it) guards the listeners, and the
 * handlers while tasks run. The noted signals are atomic: a handler takes no lock.
 * Tasks and foreign threads call the public functions, and hold no lock; none waits.
 *
 * The handler only notes the signal and wakes weft_run's thread, which does the rest
 * (weft__signals_handle). The handler may run on any thread, also on a worker, at any instruction;
 * a worker has an alternate stack for it. The runtime installs handlers only over SIG_DFL, except
 * for the signals that the program asks for by weft_signal_start: there an earlier handler of the
 * program is still called. */
#include "runtime/sync/signals.h"

#include "runtime/base/handler.h"
#include "runtime/sched/fatal.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"
#include "runtime/sync/chan.h"

#include <weft/signal.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

struct listener {
    struct listener *next;
    weft_chan *chan;
};

static struct {
    uint32_t lock;                             /* rank GROUP */
    struct listener *listeners[WEFT__SIGNALS]; /* guarded by lock */
    bool dumps;                                /* SIGQUIT has our handler also without listeners */
    uint32_t pending[WEFT__SIGNALS]; /* noted by on_signal, not yet sent on channels; atomic */
    uintptr_t pc[WEFT__SIGNALS]; /* where the latest one came, for the report at death; atomic */
    int code[WEFT__SIGNALS];     /* its si_code; atomic */
    int watched;                 /* constant in a run, as the next: see weft__signals_watch */
    void (*watcher)(void);
} sig;

/* Gives a signal on which no channel listens any more its default action, if that was its
 * disposition. Otherwise our handler has called the program's handler already. async-signal-safe */
static void pass_on(int signo)
{
    const struct sigaction *old = weft__handler_before(signo);

    if (!(old->sa_flags & SA_SIGINFO) && old->sa_handler == SIG_DFL)
        kill(getpid(), signo);
}

/* Gives a child that shares its parent's dispositions the signal again, with the disposition from
 * before the run. A child of vfork has its parent's memory, so nothing else is changed.
 * async-signal-safe */
static void pass_on_in_child(int signo)
{
    sigaction(signo, weft__handler_before(signo), NULL);
    kill(getpid(), signo);
}

/* Notes the signal and wakes weft_run's thread. The handler may be removed before it has noted the
 * signal. So it asks after the note whether it still stands, and remove_handler reads the notes
 * after the removal: at least one of them handles the signal. async-signal-safe */
static void on_signal(int signo, siginfo_t *info, void *uc)
{
    const struct sigaction *old = weft__handler_before(signo);
    int saved = errno;

    if (weft__handler_is_childs()) {
        pass_on_in_child(signo);
        return;
    }
    weft__store(&sig.pc[signo], weft__ctx_pc(uc));
    weft__store(&sig.code[signo], info->si_code);
    weft__store_seq(&sig.pending[signo], 1);
    if (weft__handler_stands(signo))
        weft__done_kick();
    else if (weft__xchg(&sig.pending[signo], 0))
        pass_on(signo);
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(signo, info, uc);
    else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
        old->sa_handler(signo);
    errno = saved;
}

/* The handler of the signal that profiles send to a worker, to see its stack. */
static void on_interrupt(int signo, siginfo_t *info, void *uc)
{
    weft__worker *w = weft__self();
    int saved = errno;

    (void)signo;
    (void)info;
    weft__reporter->interrupted(w && !weft__load(&w->in_rt) ? w->task : NULL, uc);
    errno = saved;
}

/* Asks the system each time: the program may take SIGURG for itself at any time. */
int weft__signals_ask(void)
{
    return weft__handler_is(SIGURG, on_interrupt) ? SIGURG : 0;
}

/* Removes the runtime's handler. Returns true if the handler noted a signal that was not sent yet;
 * the caller then sends it or passes it on. */
static bool remove_handler(int signo)
{
    return weft__handler_remove(signo) && weft__xchg(&sig.pending[signo], 0) != 0;
}

/* Sends signo on its channels. Returns false if none listens. Caller holds sig.lock. */
static bool offer(int signo)
{
    weft__check_holds(&sig.lock);
    for (struct listener *l = sig.listeners[signo]; l; l = l->next)
        weft__chan_offer(l->chan, &signo);
    return sig.listeners[signo] != NULL;
}

void weft__signals_watch(int signo, void (*fn)(void))
{
    sig.watched = signo;
    sig.watcher = fn;
}

void weft__signals_start(void)
{
    if (sig.watched)
        weft__handler_install(sig.watched, on_signal);
    weft__handler_install_over_default(SIGQUIT, on_signal);
    weft__handler_install_over_default(SIGURG, on_interrupt);
    sig.dumps = weft__handler_stands(SIGQUIT);
}

void weft__signals_stop(void)
{
    struct listener *l, *next;

    weft__lock(&sig.lock, WEFT__RANK_GROUP);
    for (int s = 1; s < WEFT__SIGNALS; s++) {
        if (remove_handler(s) && !offer(s) && s != sig.watched)
            pass_on(s);
        for (l = sig.listeners[s]; l; l = next) {
            next = l->next;
            weft__chan_keep(l->chan, false, "weft_signal_stop");
            weft__free(l);
        }
        sig.listeners[s] = NULL;
    }
    sig.dumps = false;
    weft__unlock(&sig.lock);
}

/* Channels ------------------------------------------------------------------------------------- */

void weft__signals_handle(void)
{
    bool came, sent;

    for (int s = 1; s < WEFT__SIGNALS; s++) {
        if (!weft__load(&sig.pending[s]))
            continue;
        /* Takes the lock before the note: a weft_signal_stop in between would find no note, and the
         * signal would reach no channel. */
        weft__lock(&sig.lock, WEFT__RANK_GROUP);
        came = weft__xchg(&sig.pending[s], 0) != 0;
        sent = !came || offer(s) || s == sig.watched;
        weft__unlock(&sig.lock);
        if (came && s == sig.watched)
            sig.watcher();
        if (!sent && s == SIGQUIT && sig.dumps)
            weft__quit(sig.pc[s], sig.code[s]);
        if (!sent)
            pass_on(s);
    }
}

bool weft__signal_may_be_asked_for(int signo)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL,
                                SIGFPE,  SIGTRAP, SIGABRT, SIGSYS, SIGURG};

    for (unsigned i = 0; i < sizeof(never) / sizeof(*never); i++) {
        if (signo == never[i])
            return false;
    }
    return signo > 0 && signo < WEFT__SIGNALS;
}

int weft_signal_start(weft_chan *c, int signo)
{
    struct listener *l;

    if (!c || !weft__signal_may_be_asked_for(signo) ||
        weft__chan_elem_size(c, "weft_signal_start") != sizeof(int))
        return WEFT_EINVAL;
    weft__enter("weft_signal_start");
    l = weft__alloc(1, sizeof(*l));
    l->chan = c;
    weft__chan_keep(c, true, "weft_signal_start");
    weft__lock(&sig.lock, WEFT__RANK_GROUP);
    l->next = sig.listeners[signo];
    sig.listeners[signo] = l;
    if (!weft__handler_stands(signo))
        weft__handler_install(signo, on_signal);
    weft__add(&weft__sched.outside, 1);
    weft__unlock(&sig.lock);
    weft__exit();
    return 0;
}

/* Returns whether no other channel listens to the signal. Caller holds sig.lock. */
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

    if (signo <= 0 || signo >= WEFT__SIGNALS)
        return;
    weft__enter("weft_signal_stop");
    weft__lock(&sig.lock, WEFT__RANK_GROUP);
    if (listens_alone(c, signo) && !(signo == SIGQUIT && sig.dumps) && signo != sig.watched &&
        remove_handler(signo) && !offer(signo))
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
