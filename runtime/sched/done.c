/* SPDX-License-Identifier: MIT */
/* done.c - wakes the thread of weft_run: at the end of the run, and for work that signal handlers
 * have left, and to look at the number of processors.
 *
 * Owns: the semaphore on which that thread waits. Any thread and any signal handler may call
 * weft__done_kick; only weft_run's thread waits. */
#include "runtime/sched/scheduler.h"

#include <semaphore.h>
#include <signal.h>
#include <time.h>

/* A semaphore, and no futex of ours: TSan runs a signal's handler only when the thread is in a call
 * that it knows to block. In a bare system call it would hold the handler back for ever. */
static sem_t done;

void weft__done_init(void)
{
    sem_init(&done, 0, 0);
}

/* async-signal-safe */
void weft__done_kick(void)
{
    sem_post(&done);
}

void weft__procs_ask(void)
{
    weft__store_rel(&weft__sched.recount, true);
    weft__done_kick();
}

/* Waits for a kick. Under TSan it returns after a second at the latest, with the mask restored.
 * TSan blocks all signals while it runs a delayed handler, and keeps the former mask in one place.
 * A signal that comes right before that makes it do so twice: then all signals stay blocked, and
 * the thread would never wake up. */
void weft__done_wait(const sigset_t *mask)
{
#ifdef WEFT__TSAN
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    sem_timedwait(&done, &until);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
#else
    (void)mask;
    sem_wait(&done);
#endif
}
