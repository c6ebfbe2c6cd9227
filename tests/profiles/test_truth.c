/* SPDX-License-Identifier: MIT */
/* test_truth.c - the profiles of waits against the real clock. At the default rates tasks measure
 * their own waits for ten seconds, and the profiles must agree within a twentieth. Each test takes
 * as long as its comment says. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { WAITERS = 20 };
#define LASTS (10 * WEFT_SECOND)

static weft_time end;
static atomic_llong waited; /* ns, by the tasks' own clock */

static long long delay_in(const char *profile, const char *function)
{
    char *text = profile_text(profile, (weft_profile_options){0});
    long long delay = time_in(text, function);

    free(text);
    return delay;
}

static void check_near(long long said, long long is)
{
    fprintf(stderr, "# the profile says %.3f s, the tasks %.3f s\n", (double)said / 1e9,
            (double)is / 1e9);
    CHECK(said > is - is / 20 && said < is + is / 20);
}

/* ---- short waits, of which one in some is kept ---- */

WEFT_CHAN_TYPE(numbers, int);

static void send_now_and_then(void *arg)
{
    numbers *c = arg;

    for (int i = 0; weft_now() < end; i++) {
        weft_time then = weft_now() + (5 + i % 40) * WEFT_MICROSECOND;

        while (weft_now() < then)
            continue;
        numbers_send(c, i);
    }
    numbers_close(c);
}

NOINLINE void receives_here(numbers *c);
NOINLINE void receives_here(numbers *c)
{
    long long sum = 0;
    weft_time before;
    int i, rc;

    do {
        before = weft_now();
        rc = numbers_recv(c, &i);
        sum += weft_now() - before;
    } while (rc == 0);
    atomic_fetch_add(&waited, sum);
}

TEST(short_waits_are_as_long_as_they_were)
{
    numbers *c = numbers_new(0);

    end = weft_now() + LASTS;
    weft_go(send_now_and_then, c);
    receives_here(c);
    check_near(delay_in("block", "\treceives_here+"), atomic_load(&waited));
}

/* ---- a lock that many want ---- */

static weft_mutex mutex = WEFT_MUTEX_INIT;

NOINLINE void wants_it_here(void);
NOINLINE void wants_it_here(void)
{
    weft_mutex_lock(&mutex);
    __asm__ volatile("");
}

NOINLINE void lets_go_here(void);
NOINLINE void lets_go_here(void)
{
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

static int take_turns(void *arg)
{
    while (weft_now() < end) {
        weft_time before = weft_now();

        wants_it_here();
        atomic_fetch_add(&waited, weft_now() - before);
        weft_sleep(30 * WEFT_MICROSECOND);
        lets_go_here();
        weft_yield();
    }
    (void)arg;
    return 0;
}

TEST(unlockers_are_charged_with_what_was_waited)
{
    weft_group g = WEFT_GROUP_INIT;

    end = weft_now() + LASTS;
    for (int i = 0; i < WAITERS; i++)
        weft_group_go(&g, take_turns, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    check_near(delay_in("block", "\twants_it_here+"), atomic_load(&waited));
    check_near(delay_in("mutex", "\tlets_go_here+"), atomic_load(&waited));
}
