/* SPDX-License-Identifier: MIT */
/* known.c - waits whose length the program takes by itself, with a clock around each: what the
 * profiles have for the same functions must be as much. So a profile that is cheap because it
 * samples too little is found out.
 *
 * Whoever is waited for works for 50 us, and many wait: beside that the clocks are short, and even
 * at the periods that sampling goes over to when much is waited there are enough samples. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

WEFT_CHAN_TYPE(ints, int);

static void work(void)
{
    weft_time end = weft_after(50 * WEFT_MICROSECOND);

    while (weft_now() < end)
        continue;
}

/* Reading -------------------------------------------------------------------------------------- */

static char *profile_text(const char *profile)
{
    const weft_profile_options options = {.text = true};
    int fd = memfd_create("profile", MFD_CLOEXEC);
    char *text;
    off_t n;

    bench_check(fd, "memfd_create");
    bench_check(weft_profile_write(fd, profile, &options), "weft_profile_write");
    n = lseek(fd, 0, SEEK_END);
    text = calloc((size_t)n + 1, 1);
    if (!text || pread(fd, text, (size_t)n, 0) != n)
        bench_check(-1, "profile");
    close(fd);
    return text;
}

/* The delay, in ns, of the records that have the function in their stacks. */
static double delay_of(const char *profile, const char *function)
{
    char *text = profile_text(profile), *rest;
    long long delay = 0, count, sum = 0;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] != '#') {
            if (sscanf(line, "%lld %lld @", &delay, &count) != 2)
                delay = 0;
        } else if (strstr(line, function)) {
            sum += delay;
            delay = 0; /* once a record */
        }
    }
    free(text);
    return (double)sum;
}

/* Channels ------------------------------------------------------------------------------------- */

enum { TASKS = 100, EACH = 40 };

static struct {
    ints *c;
    weft_duration waited[TASKS]; /* its task's own until done */
    weft_waitgroup done;
} talk;

static NOINLINE weft_duration sends_knowingly(void)
{
    weft_time start = weft_now();

    ints_send(talk.c, 1);
    return weft_now() - start;
}

static void sends(void *waited)
{
    for (int i = 0; i < EACH; i++)
        *(weft_duration *)waited += sends_knowingly();
    weft_waitgroup_done(&talk.done);
}

double bench_held_chan(void)
{
    weft_duration waited = 0;
    int v;

    talk.c = ints_new(0);
    weft_waitgroup_add(&talk.done, TASKS);
    for (int i = 0; i < TASKS; i++)
        weft_go(sends, &talk.waited[i]);
    for (int i = 0; i < TASKS * EACH; i++) {
        ints_recv(talk.c, &v);
        work();
    }
    weft_waitgroup_wait(&talk.done);
    for (int i = 0; i < TASKS; i++)
        waited += talk.waited[i];
    return delay_of("block", "sends_knowingly") / (double)waited;
}

/* Locks ---------------------------------------------------------------------------------------- */

static struct {
    weft_mutex mu;
    weft_duration waited; /* by all; guarded by mu */
    weft_waitgroup done;
} s;

static NOINLINE weft_duration locks_knowingly(void)
{
    weft_time start = weft_now();

    weft_mutex_lock(&s.mu);
    return weft_now() - start;
}

static NOINLINE void unlocks_knowingly(void)
{
    weft_mutex_unlock(&s.mu);
}

/* The yield comes before the work: the one that unlock woke, but let be overtaken, queues again at
 * once and its waiting is charged, which it is not while it is about to run. */
static void works_locked(void *arg)
{
    (void)arg;
    for (int i = 0; i < EACH; i++) {
        s.waited += locks_knowingly();
        weft_yield();
        work();
        unlocks_knowingly();
    }
    weft_waitgroup_done(&s.done);
}

double bench_held_lock(double *charged)
{
    weft_waitgroup_add(&s.done, TASKS);
    for (int i = 0; i < TASKS; i++)
        weft_go(works_locked, NULL);
    weft_waitgroup_wait(&s.done);
    *charged = delay_of("mutex", "unlocks_knowingly") / (double)s.waited;
    return delay_of("block", "locks_knowingly") / (double)s.waited;
}
