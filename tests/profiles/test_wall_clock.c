/* SPDX-License-Identifier: MIT */
/* test_wall_clock.c - the fgprof profile against the real clock: a task that never waits gets all
 * of the time, however many others wait. */
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

/* Checks that the profile has this time, within so many percent. */
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

static _Atomic int64_t computed; /* ns */

NOINLINE void computes_shortly_here(void);
NOINLINE void computes_shortly_here(void)
{
    weft_time start = weft_now();

    while (weft_now() - start < WEFT_MILLISECOND)
        ;
    computed += weft_now() - start;
}

static void computes_and_sleeps(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        computes_shortly_here();
        weft_sleep(WEFT_MILLISECOND);
    }
}

/* A thousand spells; the profile finds a hundred or two of them. */
TEST(short_spells_of_computing_have_their_time)
{
    int64_t before;
    char *text;

    if (weft_procs() < 2)
        SKIP("the only processor runs either these tasks or the one that looks at them");
    if (under_tsan())
        SKIP("TSan keeps signals back from a thread that makes no call");
    weft_go(computes_and_sleeps, NULL);
    weft_sleep(20 * WEFT_MILLISECOND);
    before = computed;
    text = profile_text("fgprof", (weft_profile_options){.over = 2 * WEFT_SECOND});
    atomic_store(&over, true);
    check_time(text, "\tcomputes_shortly_here+", (double)(computed - before) / 1e9, 50);
    free(text);
}
