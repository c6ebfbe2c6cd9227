/* SPDX-License-Identifier: MIT */
/* test_wall.c - the fgprof profile says where tasks spend their time: exactly if it looks at all
 * tasks, on average if it looks at some. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

VIRTUAL_CLOCK;

#define NOINLINE __attribute__((noinline))

/* The time and count of the samples that have this function in their stack. */
struct total {
    long long delay, count;
};

static char *wall_text(weft_duration over)
{
    return profile_text("fgprof", (weft_profile_options){.over = over});
}

static struct total total_of(const char *text, const char *function)
{
    struct total sum = {0, 0};
    long long delay, count;

    for (const char *at = strstr(text, "second=1000000000\n"), *end; at; at = end) {
        at = strchr(at, '\n') + 1;
        end = strstr(at, "\n\n");
        if (end)
            end++;
        if (sscanf(at, "%lld %lld @", &delay, &count) == 2 &&
            memmem(at, end ? (size_t)(end - at) : strlen(at), function, strlen(function)))
            sum = (struct total){sum.delay + delay, sum.count + count};
    }
    return sum;
}

static weft_chan *never;

NOINLINE void waits_here(void *arg);
NOINLINE void waits_here(void *arg)
{
    (void)arg;
    weft_chan_recv(never, NULL);
    __asm__ volatile("");
}

NOINLINE void sleeps_here(void *arg);
NOINLINE void sleeps_here(void *arg)
{
    (void)arg;
    while (weft_sleep(100 * WEFT_MILLISECOND) == 0)
        __asm__ volatile("");
}

TEST(few_tasks_are_all_looked_at)
{
    char *text;

    never = weft_chan_new(1, 0);
    go_many(20, waits_here, NULL);
    go_many(10, sleeps_here, NULL);
    settle();
    text = wall_text(WEFT_SECOND);
    CHECK_EQ(strncmp(text, "--- wall:\n", 10), 0);
    CHECK_EQ(total_of(text, "waits_here").delay, 20 * WEFT_SECOND);
    CHECK_EQ(total_of(text, "waits_here").count, 20 * 100);
    CHECK_EQ(total_of(text, "sleeps_here").delay, 10 * WEFT_SECOND);
    CHECK_EQ(total_of(text, "wall_text").count, 0); /* the task that takes the profile */
    free(text);
}

static void wait_with_label(void *arg)
{
    weft_labels_do(&(weft_label){"tenant", "x"}, 1, waits_here, arg);
}

TEST(time_has_the_labels_of_its_task)
{
    char *text;

    never = weft_chan_new(1, 0);
    weft_go(wait_with_label, NULL);
    go_many(2, waits_here, NULL);
    settle();
    text = wall_text(WEFT_SECOND);
    CHECK_EQ(total_of(text, "# labels: {\"tenant\":\"x\"}").delay, WEFT_SECOND);
    CHECK_EQ(total_of(text, "waits_here").delay, 3 * WEFT_SECOND);
    free(text);
}

/* A quarter of the tasks that are looked at sleep. */
TEST(many_tasks_are_looked_at_on_average)
{
    enum { TASKS = 4000, LOOKS = 500 * 50 };
    const double share = 0.25, all = TASKS * 5.0 * (double)WEFT_SECOND;
    double variance = share * (1 - share) / LOOKS * all * all, off;
    char *text;

    never = weft_chan_new(1, 0);
    go_many(TASKS * 3 / 4, waits_here, NULL);
    go_many(TASKS / 4, sleeps_here, NULL);
    settle();
    text = wall_text(5 * WEFT_SECOND);
    off = (double)total_of(text, "sleeps_here").delay - share * all;
    CHECK(off * off < 9 * variance); /* three times sigma */
    off = (double)total_of(text, "waits_here").delay - (1 - share) * all;
    CHECK(off * off < 9 * variance);
    free(text);
}
