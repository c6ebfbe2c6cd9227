/* SPDX-License-Identifier: MIT */
/* test_wall_clock.c - the fgprof profile against the real clock: a task that never waits has all
 * the time, however many others wait. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOINLINE __attribute__((noinline))

enum { WAITERS = 1000 };

static atomic_bool over;
static weft_chan *never;

NOINLINE void computes_here(void *arg);
NOINLINE void computes_here(void *arg)
{
    (void)arg;
    while (!atomic_load(&over))
        __asm__ volatile("");
}

NOINLINE void sits_in_a_call_here(void *arg);
NOINLINE void sits_in_a_call_here(void *arg)
{
    (void)arg;
    while (!atomic_load(&over))
        nanosleep(&(struct timespec){0, 50000000}, NULL);
}

NOINLINE void waits_here(void *arg);
NOINLINE void waits_here(void *arg)
{
    (void)arg;
    weft_chan_recv(never, NULL);
    __asm__ volatile("");
}

/* Within so many percent of that time, by the profile. */
static void check_time(const char *text, const char *frame, double is, double percent)
{
    double said = (double)time_in(text, frame) / 1e9;

    fprintf(stderr, "# %s: the profile says %.3f s, the clock %.3f s\n", frame + 1, said, is);
    CHECK(said > is * (1 - percent / 100) && said < is * (1 + percent / 100));
}

static void check_among_waiters(weft_task_fn *fn, const char *frame)
{
    weft_time start;
    double lasted;
    char *text;

    never = weft_chan_new(1, 0);
    go_many(WAITERS, waits_here, NULL);
    weft_go(fn, NULL);
    weft_sleep(100 * WEFT_MILLISECOND);
    start = weft_now();
    text = profile_text("fgprof", (weft_profile_options){.over = WEFT_SECOND});
    lasted = (double)(weft_now() - start) / 1e9;
    atomic_store(&over, true);
    check_time(text, frame, lasted, 5);
    check_time(text, "\twaits_here+", WAITERS * lasted, 5);
    free(text);
}

TEST(hog_among_a_thousand_that_wait_has_its_second)
{
    check_among_waiters(computes_here, "\tcomputes_here+");
}

TEST(call_among_a_thousand_that_wait_has_its_second)
{
    check_among_waiters(sits_in_a_call_here, "\tsits_in_a_call_here+");
}
