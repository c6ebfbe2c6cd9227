/* SPDX-License-Identifier: MIT */
/* live_sample.c - a program that other programs look at from outside: Valgrind, gdb, the readers of
 * dumps, and the count of an idle program's system calls.
 *
 *     live_sample mixed            channels, sleeps, groups, a stack of another size, every dump
 *     live_sample deep [N [full]]  writes the dump of a task that waits N calls deep (700)
 *     live_sample pprof [each]     writes a profile of tasks that wait in functions of their own,
 *                                  half of those in the lake with labels; each: per_task=1
 *     live_sample idle             all tasks wait for what never comes; says so on stdout */
#include <weft.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { N = 8 };

static void dump_to(int fd, enum weft_dump_form form)
{
    if (weft_dump(fd, &(weft_dump_options){.form = form}) != 0)
        abort();
}

/* Counts the tasks in this state, by a dump. Called by the main task only. */
static int waiting(const char *state)
{
    static char text[1 << 18];
    int n = 0, fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ssize_t got;

    if (fd < 0)
        abort();
    dump_to(fd, WEFT_DUMP_TASKS);
    got = pread(fd, text, sizeof(text) - 1, 0);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    for (const char *at = text; (at = strstr(at, state)); at++)
        n++;
    return n;
}

/* mixed ---------------------------------------------------------------------------------------- */

static int produce(void *arg)
{
    for (int i = 0; i < 100; i++) {
        if (weft_chan_send(arg, &i) != 0)
            return 1;
        if (i % 25 == 0)
            weft_sleep(WEFT_MILLISECOND);
    }
    return 0;
}

static int consume(void *arg)
{
    int v, sum = 0;

    while (weft_chan_recv(arg, &v) == 0)
        sum += v;
    return sum == N * 4950 ? 0 : 1;
}

static void deep_and_done(void *arg)
{
    volatile char room[100 << 10];

    room[0] = room[sizeof(room) - 1] = 1;
    weft_yield();
    weft_chan_send(arg, NULL);
}

static int mixed(void *arg)
{
    static const enum weft_dump_form forms[] = {WEFT_DUMP_TASKS, WEFT_DUMP_MERGED, WEFT_DUMP_PPROF,
                                                WEFT_DUMP_FULL, WEFT_DUMP_PPROF_EACH};
    weft_chan *c = weft_chan_new(sizeof(int), 4), *done = weft_chan_new(0, 0);
    weft_group senders = WEFT_GROUP_INIT, receivers = WEFT_GROUP_INIT;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int rc;

    (void)arg;
    weft_group_go(&receivers, consume, c);
    for (int i = 0; i < N; i++)
        weft_group_go(&senders, produce, c);
    for (int i = 0; i < 5; i++) {
        weft_go_with(&(weft_go_options){.stack_size = 200 << 10}, deep_and_done, done);
        dump_to(fd, forms[i]);
        weft_chan_recv(done, NULL);
    }
    rc = weft_group_wait(&senders);
    weft_chan_close(c);
    rc += weft_group_wait(&receivers);
    weft_chan_free(c);
    weft_chan_free(done);
    close(fd);
    return rc;
}

/* deep ----------------------------------------------------------------------------------------- */

static int frames = 700;
static enum weft_dump_form deep_form = WEFT_DUMP_TASKS;

NOINLINE void sample_bottom(void);
NOINLINE int sample_inner(int n);
NOINLINE int sample_outer(int n);
NOINLINE void sample_entry(void *arg);

NOINLINE void sample_bottom(void)
{
    weft_chan_recv(NULL, NULL);
    __asm__ volatile("");
}

/* These are the frames 1 to 255 from the inner end; sample_bottom is the first. */
NOINLINE int sample_inner(int n)
{
    if (n < 2)
        sample_bottom();
    else
        sample_inner(n - 1);
    __asm__ volatile("");
    return n;
}

NOINLINE int sample_outer(int n)
{
    if (n > 256)
        sample_outer(n - 1);
    else
        sample_inner(n - 1);
    __asm__ volatile("");
    return n;
}

/* The outermost function. It makes so many frames in all, each of a function of this file. */
NOINLINE void sample_entry(void *arg)
{
    (void)arg;
    sample_outer(frames - 2);
    __asm__ volatile("");
}

static int deep(void *arg)
{
    (void)arg;
    weft_go_with(&(weft_go_options){.name = "deep", .stack_size = 4 << 20}, sample_entry, NULL);
    while (waiting("[chan receive (nil chan)]:") < 1)
        weft_yield();
    dump_to(STDOUT_FILENO, deep_form);
    return 0;
}

/* pprof ---------------------------------------------------------------------------------------- */

NOINLINE void sample_lake(void *arg);
NOINLINE void sample_pond(void *arg);

NOINLINE void sample_lake(void *arg)
{
    (void)arg;
    weft_chan_recv(NULL, NULL);
    __asm__ volatile("");
}

NOINLINE void sample_pond(void *arg)
{
    (void)arg;
    weft_sleep(3600 * WEFT_SECOND);
    __asm__ volatile("");
}

static enum weft_dump_form pprof_form = WEFT_DUMP_PPROF;

static void go_ten(void *fn)
{
    for (int i = 0; i < 10; i++)
        weft_go(*(weft_task_fn **)fn, NULL);
}

static int pprof(void *arg)
{
    static const weft_label depth[] = {{"depth", "deep \"as\" grün"}, {"boat", "none"}};
    weft_task_fn *lake = sample_lake, *pond = sample_pond;

    (void)arg;
    if (weft_labels_do(depth, 2, go_ten, &lake) != 0)
        return 1;
    go_ten(&lake);
    go_ten(&pond);
    while (waiting("[chan receive (nil chan)]:") < 20 || waiting("[sleep]:") < 10)
        weft_yield();
    dump_to(STDOUT_FILENO, pprof_form);
    return 0;
}

/* idle ----------------------------------------------------------------------------------------- */

static int idle(void *arg)
{
    (void)arg;
    weft_go(sample_pond, NULL);
    for (int i = 0; i < 100; i++)
        weft_go(sample_lake, NULL);
    printf("idle\n");
    fflush(stdout);
    return weft_sleep(3600 * WEFT_SECOND);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        weft_main_fn *fn;
    } modes[] = {{"mixed", mixed}, {"deep", deep}, {"pprof", pprof}, {"idle", idle}};

    if (argc > 2 && strcmp(argv[2], "each") == 0)
        pprof_form = WEFT_DUMP_PPROF_EACH;
    else if (argc > 2)
        frames = atoi(argv[2]);
    if (argc > 3)
        deep_form = WEFT_DUMP_FULL;
    for (unsigned i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++) {
        if (strcmp(argv[1], modes[i].name) == 0)
            return weft_run(modes[i].fn, NULL);
    }
    return 2;
}
