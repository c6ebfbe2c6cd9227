/* SPDX-License-Identifier: MIT */
/* thread.c - what the thread of a worker has of its own: a name, a clock, a stack for handlers. */
#include "runtime/sched/scheduler.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ALTSTACK = 64 << 10 };

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
