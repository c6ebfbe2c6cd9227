/* SPDX-License-Identifier: MIT */
/* known.c - waits whose length is known, since the program reads a clock around each. The profiles
 * must show the same length for the same functions. So a profile that is cheap because it samples
 * too little fails here. The same of CPU time and of memory that was allocated.
 *
 * The task that others wait for works for 50 us, and many wait. So reading the clocks takes little
 * in comparison, and there are enough samples even at the long periods that sampling chooses when
 * much is waited. */
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

static int new_file(void)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);

    bench_check(fd, "memfd_create");
    return fd;
}

/* Returns the file's text, for free(), and closes it. */
static char *text_of(int fd)
{
    off_t n = lseek(fd, 0, SEEK_END);
    char *text = calloc((size_t)n + 1, 1);

    if (!text || pread(fd, text, (size_t)n, 0) != n)
        bench_check(-1, "profile");
    close(fd);
    return text;
}

static char *profile_text(const char *profile, weft_profile_options options)
{
    int fd = new_file();

    bench_check(weft_profile_write(fd, profile, &options), "weft_profile_write");
    return text_of(fd);
}

/* Returns the sum of the folded stacks that have this in them. */
static double sum_of(const char *folded, const char *part)
{
    double sum = 0;

    for (const char *line = folded, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *at = strstr(line, part), *value = memrchr(line, ' ', (size_t)(end - line));

        if (at && at < end && value)
            sum += strtod(value, NULL);
    }
    return sum;
}

/* Returns the delay, in ns, of the records that have the function in their stacks. */
static double delay_of(const char *profile, const char *function)
{
    char *text = profile_text(profile, (weft_profile_options){.text = true}), *rest;
    long long delay = 0, count, sum = 0;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] != '#') {
            if (sscanf(line, "%lld %lld @", &delay, &count) != 2)
                delay = 0;
        } else if (strstr(line, function)) {
            sum += delay;
            delay = 0; /* a record counts once, however often it has the function */
        }
    }
    free(text);
    return (double)sum;
}

/* Channels ------------------------------------------------------------------------------------- */

enum { TASKS = 100, EACH = 40 };

static struct {
    ints *c;
    weft_duration waited[TASKS]; /* each is written by its task alone until done */
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
    weft_duration waited; /* the sum of all tasks; guarded by mu */
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

/* Yields before the work. The unlock woke a task, but another one may have taken the lock first;
 * after the yield the woken task queues again, and its waiting is charged. It would not be charged
 * while the task is about to run. */
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

/* CPU time ------------------------------------------------------------------------------------- */

static int cpu_fd;

void bench_cpu_on(void)
{
    const weft_profile_options folded = {.form = WEFT_PROFILE_FOLDED};

    cpu_fd = new_file();
    bench_check(weft_cpu_profile_start_with(cpu_fd, &folded), "weft_cpu_profile_start");
}

/* The sum of all stacks is the CPU time of the process, since there is a stack for the rest that no
 * sample stands for. */
static double held_cpu(void)
{
    char *text;
    double all, rest;

    bench_check(weft_cpu_profile_stop(), "weft_cpu_profile_stop");
    text = text_of(cpu_fd);
    all = sum_of(text, "");
    rest = sum_of(text, "weft.unsampled") + sum_of(text, "weft.lost");
    free(text);
    return 1 - rest / all;
}

/* Memory --------------------------------------------------------------------------------------- */

/* So many that 9,000 are sampled: the sum is right within one per cent. */
enum { BLOCKS = 300000, BLOCK = 16384 };

static NOINLINE void allocates_knowingly(void)
{
    void *(*volatile allocate)(size_t n) = malloc;

    for (int i = 0; i < BLOCKS; i++)
        free(allocate(BLOCK));
}

static double held_heap(void)
{
    const weft_profile_options folded = {.form = WEFT_PROFILE_FOLDED};
    char *text;
    double bytes;

    allocates_knowingly();
    text = profile_text("allocs", folded);
    bytes = sum_of(text, "allocates_knowingly");
    free(text);
    return bytes / ((double)BLOCKS * BLOCK);
}

double bench_held(void)
{
    return getenv("BENCH_CPU")    ? held_cpu()
           : getenv("BENCH_HEAP") ? held_heap()
                                  : bench_held_chan();
}
