/* SPDX-License-Identifier: MIT */
/* done.c - wakes the thread of weft_run: at the end of the run, and for work that handlers left. */
#include "runtime/sched/scheduler.h"

#include <semaphore.h>
#include <signal.h>
#include <time.h>

/* A semaphore and no futex of ours: TSan runs a signal's handler only once the thread is in a call
 * that it knows to block, and holds it back for ever in a bare system call. */
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

/* Waits for a kick, or under TSan for a second: TSan blocks all signals while it runs a handler
 * that it had put off, and keeps the mask to go back to in one place: a signal that comes in just
 * before that makes it do so twice, and the thread hears of none any more, not of a child's end
 * either. So look there. */
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
