/* SPDX-License-Identifier: MIT */
/* interrupt.h - asks threads that compute for their stacks, and never ends a system call early. */
#ifndef WEFT_INTERRUPT_H
#define WEFT_INTERRUPT_H

#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"

typedef struct weft__ask weft__ask;

/* Says which task a thread is to show. */
struct weft__wanted {
    const weft__task *only; /* this one; NULL: any but not_that */
    const weft__task *not_that;
};

enum weft__answer {
    WEFT__ASK_OPEN,  /* no answer yet */
    WEFT__ASK_STACK, /* the thread showed its stack */
    WEFT__ASK_OTHER, /* the thread runs another task than the one that is wanted */
};

/* Asks a worker's thread for the stack of its task. NULL: as many threads as possible are being
 * asked, the thread blocks the signal or has ended, or the signal is the program's. */
weft__ask *weft__ask_begin(int tid, struct weft__wanted wanted);
/* Looks whether the thread has answered. If its walk met code whose rules were not known, they are
 * learned; where its copy of the stack was too short then, it is asked again. */
enum weft__answer weft__ask_look(weft__ask *a);
/* Returns whether the thread has computed for so long without an answer that none will come. */
bool weft__ask_is_vain(const weft__ask *a);
/* Returns whether the thread has used no CPU for some time since it was asked, so that it most
 * likely sits in a call. */
bool weft__ask_is_idle(const weft__ask *a);
/* Leaves the stack of an answer in walk, and in tags those of its task, with a reference. */
void weft__ask_take(weft__ask *a, struct weft__walk *walk, weft__tags **tags);
/* Ends the question, answered or not. */
void weft__ask_end(weft__ask *a);

/* The hook: in a signal handler on the thread that runs t, in user code; NULL: it runs none.
 * async-signal-safe */
void weft__interrupted(weft__task *t, void *context);

#endif
