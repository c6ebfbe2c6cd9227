/* SPDX-License-Identifier: MIT */
/* test_contention.c - the block, mutex and contention profiles tell the truth, to the nanosecond
 * where every wait is kept, on average where they are sampled. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

VIRTUAL_CLOCK;

#define NOINLINE __attribute__((noinline))

enum { TASKS = 10, ROUNDS = 20 };
enum { SETTLED = 1 }; /* ns that go by when all settle */

/* Reading -------------------------------------------------------------------------------------- */

static char *profile_text(const char *name, weft_profile_options o)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    char *text;
    off_t n;

    o.text = true;
    CHECK(fd >= 0);
    CHECK_EQ(weft_profile_write(fd, name, &o), 0);
    n = lseek(fd, 0, SEEK_END);
    text = calloc((size_t)n + 1, 1);
    CHECK_EQ(pread(fd, text, (size_t)n, 0), n);
    close(fd);
    return text;
}

struct total {
    long long delay, count;
};

/* Of the records that have both functions in their stacks. */
static struct total total_with(const char *name, weft_profile_options o, const char *one,
                               const char *other)
{
    char *text = profile_text(name, o), *at = strstr(text, "\n"), *end;
    struct total sum = {0, 0};
    long long delay, count;

    for (; at; at = end) {
        at += strspn(at, "\n");
        end = strstr(at, "\n\n");
        if (end)
            *end++ = 0;
        if (strncmp(at, "cycles", 6) == 0)
            at = strchr(at, '\n') + 1;
        if (strncmp(at, "sampling", 8) == 0)
            at = strchr(at, '\n') + 1;
        if (sscanf(at, "%lld %lld @", &delay, &count) == 2 && strstr(at, one) && strstr(at, other))
            sum = (struct total){sum.delay + delay, sum.count + count};
    }
    free(text);
    return sum;
}

static struct total total(const char *name, const char *function)
{
    return total_with(name, (weft_profile_options){0}, function, function);
}

/* Block ---------------------------------------------------------------------------------------- */

NOINLINE void receives_here(void *c);
NOINLINE void receives_here(void *c)
{
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(weft_chan_recv(c, NULL), 0);
    __asm__ volatile("");
}

static void send_all(weft_chan **c, weft_duration every)
{
    char byte = 0;

    for (int round = 0; round < ROUNDS; round++) {
        weft_sleep(every);
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(weft_chan_send(c[i], &byte), 0);
    }
}

TEST(waits_of_known_length_are_all_there)
{
    weft_chan *c[TASKS];
    struct total t;

    weft_profile_set_block_rate(1);
    for (int i = 0; i < TASKS; i++) {
        c[i] = weft_chan_new(1, 1);
        weft_go(receives_here, c[i]);
    }
    settle();
    send_all(c, 5 * WEFT_MILLISECOND);
    settle();
    t = total("block", "receives_here");
    CHECK_EQ(t.delay, TASKS * (ROUNDS * 5 * WEFT_MILLISECOND + SETTLED));
    CHECK_EQ(t.count, TASKS * ROUNDS);
}

static weft_chan *never;

NOINLINE void waits_for_ever_here(void *arg);
NOINLINE void waits_for_ever_here(void *arg)
{
    (void)arg;
    weft_chan_recv(never, NULL);
    __asm__ volatile("");
}

TEST(what_is_not_over_counts_unless_left_out)
{
    struct total t;

    never = weft_chan_new(1, 0);
    go_many(3, waits_for_ever_here, NULL);
    settle();
    weft_sleep(WEFT_SECOND);
    t = total("block", "waits_for_ever_here");
    CHECK_EQ(t.delay, 3 * (WEFT_SECOND + SETTLED));
    CHECK_EQ(t.count, 3);
    t = total_with("block", (weft_profile_options){.no_live = true}, "waits_for_ever_here", "");
    CHECK_EQ(t.count, 0);
}

NOINLINE void sleeps_here(void);
NOINLINE void sleeps_here(void)
{
    weft_sleep(WEFT_SECOND);
    __asm__ volatile("");
}

TEST(sleeps_are_there_if_asked_for)
{
    sleeps_here();
    CHECK_EQ(total("block", "sleeps_here").count, 0);
    CHECK_EQ(total_with("block", (weft_profile_options){.with_io = true}, "sleeps_here", "").delay,
             WEFT_SECOND);
}

TEST(nothing_is_recorded_when_off)
{
    weft_chan *c[TASKS];

    weft_profile_set_block_rate(0);
    for (int i = 0; i < TASKS; i++) {
        c[i] = weft_chan_new(1, 1);
        weft_go(receives_here, c[i]);
    }
    settle();
    send_all(c, 5 * WEFT_MILLISECOND);
    settle();
    CHECK_EQ(total("block", "receives_here").count, 0);
}

/* A wait of a tenth of the rate is kept one time in ten, and then stands for ten. */
TEST(sampled_waits_add_up_on_average)
{
    enum { SEEDS = 100, EACH = TASKS * ROUNDS };
    const double rate = WEFT_MILLISECOND, wait = 100 * WEFT_MICROSECOND;
    double sum = 0, sigma = sqrt(EACH * (wait / rate) * (1 - wait / rate) * SEEDS) * rate;
    weft_chan *c[TASKS];

    for (int i = 0; i < TASKS; i++)
        c[i] = weft_chan_new(1, 1);
    for (int seed = 0; seed < SEEDS; seed++) {
        weft_profile_set_block_rate(WEFT_MILLISECOND);
        for (int i = 0; i < TASKS; i++)
            weft_go(receives_here, c[i]);
        settle();
        send_all(c, 100 * WEFT_MICROSECOND);
        settle();
    }
    sum = (double)total("block", "receives_here").delay;
    CHECK(fabs(sum - wait * EACH * SEEDS) < 3 * sigma);
}

/* Locks ---------------------------------------------------------------------------------------- */

static weft_mutex mutex = WEFT_MUTEX_INIT;

NOINLINE void wants_it_here(void *arg);
NOINLINE void wants_it_here(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

NOINLINE void lets_go_here(void);
NOINLINE void lets_go_here(void)
{
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

static void hold_against(int waiters)
{
    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    weft_mutex_lock(&mutex);
    go_many(waiters, wants_it_here, NULL);
    settle();
    weft_sleep(300 * WEFT_MILLISECOND);
    lets_go_here();
    settle();
}

TEST(unlocker_is_charged_with_its_one_waiter)
{
    hold_against(1);
    CHECK_EQ(total("mutex", "lets_go_here").delay, 300 * WEFT_MILLISECOND + SETTLED);
    CHECK_EQ(total("mutex", "wants_it_here").delay, 0);
    CHECK_EQ(total("block", "wants_it_here").delay, 300 * WEFT_MILLISECOND + SETTLED);
}

TEST(unlocker_is_charged_with_all_its_waiters)
{
    hold_against(TASKS);
    CHECK_EQ(total("mutex", "lets_go_here").delay, TASKS * (300 * WEFT_MILLISECOND + SETTLED));
    CHECK_EQ(total("mutex", "wants_it_here").delay, 0);
    CHECK_EQ(total("block", "wants_it_here").delay, TASKS * (300 * WEFT_MILLISECOND + SETTLED));
}

TEST(both_sides_are_joined)
{
    struct total t;

    hold_against(1);
    t = total_with("contention", (weft_profile_options){0}, "wants_it_here", "lets_go_here");
    CHECK_EQ(t.delay, 300 * WEFT_MILLISECOND + SETTLED);
    CHECK_EQ(t.count, 1);
}

static weft_rwmutex rw = WEFT_RWMUTEX_INIT;

NOINLINE void reads_it_here(void *arg);
NOINLINE void reads_it_here(void *arg)
{
    (void)arg;
    weft_rwmutex_read_lock(&rw);
    weft_rwmutex_read_unlock(&rw);
    __asm__ volatile("");
}

NOINLINE void ends_writing_here(void);
NOINLINE void ends_writing_here(void)
{
    weft_rwmutex_unlock(&rw);
    __asm__ volatile("");
}

TEST(writer_is_charged_with_the_readers)
{
    weft_profile_set_mutex_rate(1);
    weft_rwmutex_lock(&rw);
    go_many(TASKS, reads_it_here, NULL);
    settle();
    weft_sleep(WEFT_SECOND);
    ends_writing_here();
    settle();
    CHECK_EQ(total("mutex", "ends_writing_here").delay, TASKS * (WEFT_SECOND + SETTLED));
}

static weft_cond cond = WEFT_COND_INIT;

NOINLINE void waits_for_cond_here(void *arg);
NOINLINE void waits_for_cond_here(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_sleep(WEFT_SECOND);
    weft_cond_wait(&cond, &mutex);
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

TEST(wait_for_a_condition_lets_go_of_the_mutex_where_it_is)
{
    weft_profile_set_mutex_rate(1);
    weft_go(waits_for_cond_here, NULL);
    weft_yield();
    weft_sleep(WEFT_MILLISECOND);
    weft_go(wants_it_here, NULL);
    weft_sleep(2 * WEFT_SECOND);
    CHECK_EQ(total("mutex", "waits_for_cond_here").delay, 999 * WEFT_MILLISECOND);
    weft_cond_signal(&cond);
}

/* Two that never end, among others that go on. */
static weft_mutex a = WEFT_MUTEX_INIT, b = WEFT_MUTEX_INIT;

NOINLINE void a_then_b(void *arg);
NOINLINE void b_then_a(void *arg);

NOINLINE void a_then_b(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    weft_sleep(WEFT_MILLISECOND);
    weft_mutex_lock(&b);
    __asm__ volatile("");
}

NOINLINE void b_then_a(void *arg)
{
    (void)arg;
    weft_mutex_lock(&b);
    weft_sleep(WEFT_MILLISECOND);
    weft_mutex_lock(&a);
    __asm__ volatile("");
}

TEST(deadlock_shows_both_sides_though_no_wait_has_ended)
{
    struct total one, other;

    never = weft_chan_new(1, 0);
    go_many(1000, waits_for_ever_here, NULL);
    weft_go(a_then_b, NULL);
    weft_go(b_then_a, NULL);
    weft_sleep(WEFT_SECOND + WEFT_MILLISECOND);
    CHECK_EQ(total("block", "a_then_b").delay, WEFT_SECOND);
    CHECK_EQ(total("block", "b_then_a").delay, WEFT_SECOND);
    CHECK_EQ(total("mutex", "a_then_b").delay, WEFT_SECOND);
    one = total_with("contention", (weft_profile_options){0}, "a_then_b", "b_then_a");
    other = total("contention", "a_then_b");
    CHECK_EQ(one.delay, 2 * WEFT_SECOND);
    CHECK_EQ(other.delay, one.delay);
}

/* The call ------------------------------------------------------------------------------------- */

TEST(profile_of_no_name_is_invalid)
{
    CHECK_EQ(weft_profile_write(1, "blocks", NULL), WEFT_EINVAL);
    CHECK_EQ(weft_profile_write(-1, "block", NULL), -9);
}

TEST_PLAIN(profile_outside_a_run_is_invalid)
{
    CHECK_EQ(weft_profile_write(1, "block", NULL), WEFT_EINVAL);
}
