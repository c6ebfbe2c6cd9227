/* SPDX-License-Identifier: MIT */
/* support.h - helpers that the tests of the runtime share. The main task of a test calls them,
 * unless a comment says otherwise. */
#ifndef WEFT_TESTS_SUPPORT_H
#define WEFT_TESTS_SUPPORT_H

#include "check.h"

#include <stdatomic.h>
#include <weft.h>

/* Used once in a file: its tests run on the virtual clock, which moves only when every task waits.
 */
#define VIRTUAL_CLOCK SET_BEFORE("WEFT_CLOCK", "virtual")
/* Used once in a file: sets an environment variable before its tests begin. */
#define SET_BEFORE(name, value)                                                                    \
    __attribute__((constructor)) static void set_before(void)                                      \
    {                                                                                              \
        support_setenv(name, value);                                                               \
    }                                                                                              \
    struct support_nothing

/* Returns when every other task waits for something other than time. Needs the virtual clock. No
 * thread or descriptor outside may be able to wake a task. */
void settle(void);

void support_setenv(const char *name, const char *value);

/* Starts fn(arg) n times. */
void go_many(int n, weft_task_fn *fn, void *arg);

/* Returns what was written to a memfd, as a string for free(). Closes the memfd. */
char *contents(int fd);
/* These return a dump of all tasks, and a profile as text, for free(). */
char *dump_text(enum weft_dump_form form);
char *profile_text(const char *name, weft_profile_options o);
/* Returns as text, for free(), and counts what a profile of counts has now. In a run or not. */
char *counts_text(const char *name);
int count_of(const char *name);
/* Returns a profile of the time from now on, so long, as text for free(). */
char *window_text(const char *name, weft_duration over);
/* Returns the sum of the times of all samples in a profile's text that have this frame. */
long long time_in(const char *profile, const char *frame);
/* Yields until a dump of all tasks contains the text. */
void wait_for_dump(const char *text);
/* Yields until *flag is at least so much. */
void wait_for(atomic_int *flag, int at_least);

/* Returns when every processor has found no work and goes to sleep, which is when the runtime looks
 * for a deadlock. Called by a thread without a processor. */
void wait_until_idle(void);

/* Runs body in a child process and waits for its end. Returns its status, or 128 + n if signal n
 * ended it. err receives what it wrote to stderr, cut at size - 1. Called by a thread outside a
 * run. */
int in_child(void (*body)(void), char *err, size_t size);

/* Counts the threads of this process; only_ours: those of the runtime, which name themselves. Any
 * thread may call. */
int count_threads(bool only_ours);

bool under_asan(void);
bool under_tsan(void);

#endif
