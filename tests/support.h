/* SPDX-License-Identifier: MIT */
/* support.h - what the tests of the runtime share. */
#ifndef WEFT_TESTS_SUPPORT_H
#define WEFT_TESTS_SUPPORT_H

#include "check.h"

#include <stdatomic.h>
#include <weft.h>

/* Once in a file: its tests run on the virtual clock, which moves only when every task waits. */
#define VIRTUAL_CLOCK SET_BEFORE("WEFT_CLOCK", "virtual")
/* Once in a file: a variable of the environment that its tests begin with. */
#define SET_BEFORE(name, value)                                                                    \
    __attribute__((constructor)) static void set_before(void)                                      \
    {                                                                                              \
        support_setenv(name, value);                                                               \
    }                                                                                              \
    struct support_nothing

/* Returns when every other task waits for something else than time. Needs the virtual clock, and
 * no thread or descriptor outside that could still wake a task. */
void settle(void);

void support_setenv(const char *name, const char *value);

/* Starts fn(arg) n times. */
void go_many(int n, weft_task_fn *fn, void *arg);

/* What was written to a memfd, which it closes, as a string; the caller frees it. */
char *contents(int fd);
/* The same of a dump of all tasks, and of a profile as text. */
char *dump_text(enum weft_dump_form form);
char *profile_text(const char *name, weft_profile_options o);
/* Returns a profile of that time alone, from now on, as text. */
char *window_text(const char *name, weft_duration over);
/* The time of all records of a profile's text that have this frame. */
long long time_in(const char *profile, const char *frame);
/* Yields until a dump of all tasks contains the text. */
void wait_for_dump(const char *text);
/* Yields until *flag is at least so much. */
void wait_for(atomic_int *flag, int at_least);

/* Returns when every processor found no work and goes to sleep, which is when it looks for a
 * deadlock. For a thread without a processor. */
void wait_until_idle(void);

/* Runs body in a fresh process and waits for its end. Its status, 128 + n for an end by signal n;
 * what it wrote to stderr, cut at size - 1, in err. For a bare thread only. */
int in_child(void (*body)(void), char *err, size_t size);

bool under_asan(void);
bool under_tsan(void);

#endif
