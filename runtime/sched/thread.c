/* SPDX-License-Identifier: MIT */
/* thread.c - starts the threads of the runtime with the right signals blocked, and prepares those
 * of workers: a name, a CPU clock, a stack for signal handlers.
 *
 * Owns: the signal mask of weft_run's caller, which weft__threads_begin notes before any thread
 * starts and which is constant while they run. thread.h says which threads may call. */
#include "runtime/sched/thread.h"

#include "runtime/base/handler.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ALTSTACK = 64 << 10 };
/* for handlers of the program, too */ /* for handlers of the program, too */

static sigset_t callers_mask; /* of weft_run's caller, and so of workers and children */

void weft__threads_begin(void)
{
    pthread_sigmask(SIG_SETMASK, NULL, &callers_mask);
}

void weft__thread_unmask(void)
{
    pthread_sigmask(SIG_SETMASK, &callers_mask, NULL);
}

/* Takes the signals of faults, and those that the runtime sends to a thread, out of a mask: no
 * thread may block these. */
static void unblock_ours(sigset_t *set)
{
    sigset_t faulty;

    weft__faults(&faulty);
    for (int s = 1; s < WEFT__SIGNALS; s++) {
        if (sigismember(&faulty, s) == 1 || s == SIGURG || s == SIGPROF || s == SIGSTKFLT ||
            s == SIGPWR)
            sigdelset(set, s);
    }
}

/* Starts a thread with this mask: a new thread inherits the mask of its maker, so that has it
 * meanwhile. */
/* Starts a thread with this mask: a new thread inherits the mask of its maker, so that has it
 * meanwhile. */
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

/* Under TSan the thread blocks all signals of the process, and only children of fork get the
 * caller's mask: TSan delays a handler until the interrupted task runs again, and a task that waits
 * next may never do so. */
int weft__thread_start_user(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
    sigset_t mask = callers_mask;

#ifdef WEFT__TSAN
    sigfillset(&mask);
    if (!sigismember(&callers_mask, SIGPIPE))
        sigdelset(&mask, SIGPIPE);
#endif
    unblock_ours(&mask);
    return start_with(&mask, thread, stack, fn, arg);
}

/* The timer slack is 1 us: with the kernel's 50 us every sleep would be late by as much. */
/* The timer slack is 1 us: with the kernel's 50 us every sleep would be late by as much. */
void weft__worker_setup(weft__worker *w)
{
    stack_t alt = {.ss_size = ALTSTACK};
    clockid_t clock;
    char name[32];

    snprintf(name, sizeof(name), "weft-%u", w->id);
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_TIMERSLACK, 1000UL);
    w->altstack = mmap(NULL, ALTSTACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    alt.ss_sp = w->altstack;
    if (w->altstack != MAP_FAILED)
        sigaltstack(&alt, NULL);
    pthread_getcpuclockid(pthread_self(), &clock);
    w->cpu_clock = (int)clock;
    weft__store_rel(&w->tid, (int)syscall(SYS_gettid));
}

void weft__worker_teardown(weft__worker *w)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    sigaltstack(&off, NULL);
    if (w->altstack != MAP_FAILED)
        munmap(w->altstack, ALTSTACK);
}
