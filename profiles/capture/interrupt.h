/* SPDX-License-Identifier: MIT */
/* interrupt.h - gets the stack of a thread that computes, by a timer on the thread's own CPU clock.
 * That never ends a system call early, as a signal sent to the thread would.
 *
 * A question (weft__interrupt) belongs to the thread or task that began it, until
 * weft__interrupt_end. All functions but weft__interrupted may be called by any task or thread that
 * holds no lock: weft__interrupt_look may wait for the symbolizer. A question stays open for
 * milliseconds, so the caller looks again and again, and gives up by weft__interrupt_is_vain. */
#ifndef WEFT_INTERRUPT_H
#define WEFT_INTERRUPT_H

#include "profiles/walk/unwind.h"
#include "runtime/sched/task.h"

typedef struct weft__interrupt weft__interrupt;

/* Says whose stack is wanted, since the thread may run another task by the time it answers. */
struct weft__wanted {
    const weft__task *only;     /* this task's alone; NULL: any task's */
    const weft__task *not_that; /* but not this task's; or NULL */
};

enum weft__answer {
    WEFT__INTERRUPT_OPEN,  /* no answer yet */
    WEFT__INTERRUPT_STACK, /* the thread left its stack: weft__interrupt_take */
    WEFT__INTERRUPT_OTHER, /* the thread runs another task than the one that is wanted */
};

/* Asks a worker's thread for the stack of its task. Returns NULL if 64 questions are open, if the
 * thread blocks the signal or has ended, or if the program uses the signal itself. */
weft__interrupt *weft__interrupt_begin(int tid, struct weft__wanted wanted);
/* Looks whether the thread has answered. If its walk met code without known rules, asks the
 * symbolizer for them, waits, and finishes the walk. If the copy of the stack was too short for
 * that, the question stays open, and the thread will answer again. */
enum weft__answer weft__interrupt_look(weft__interrupt *a);
/* Returns whether the thread has used so much CPU time without an answer that none will come. */
bool weft__interrupt_is_vain(const weft__interrupt *a);
/* Returns whether the thread has used no CPU for some time since it was asked, so that it most
 * likely sits in a call. */
bool weft__interrupt_is_idle(const weft__interrupt *a);
/* Moves the stack of an answer to walk, and the tags of its task, with a reference, to tags. Called
 * after weft__interrupt_look returned WEFT__INTERRUPT_STACK. */
void weft__interrupt_take(weft__interrupt *a, struct weft__walk *walk, weft__tags **tags);
/* Ends the question, answered or not. */
void weft__interrupt_end(weft__interrupt *a);

/* The reporter's `interrupted`: answers all questions to the calling thread. Called in the signal
 * handler, which interrupted user code of t; t is NULL if the thread runs no task.
 * async-signal-safe */
void weft__interrupted(weft__task *t, void *context);

#endif
