/* SPDX-License-Identifier: MIT */
/* clock_sample.c DIR - a program for trace_clock.py. Four tasks compute and wait in turn, each in
 * one way: for a channel, a lock, time, a pipe. They take the time of every part themselves.
 *
 * Writes a trace to DIR/1 in Go's old format, then one to DIR/2 in the new one, each from before
 * the tasks begin until they have ended; then the block profile to DIR/block. Prints for each trace
 * and task a line: the trace, the task's function, the ns of its waits, the ns between them; and
 * one with the ns for which the threads waited for a CPU meanwhile. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft.h>
#include <weft/fd.h>

enum { ROUNDS = 60, PIECES = 2000 };
#define PAUSE (2 * WEFT_MILLISECOND)

static weft_chan *chan;
static weft_mutex mutex = WEFT_MUTEX_INIT;
static int ends[2];
static weft_waitgroup waiters, feeders;
static _Atomic int lockers; /* that are not done */
enum { HOLDERS = 3 };       /* of the lock in turn, so that it is hardly ever free */

static struct times {
    const char *function;
    weft_duration waited, computed;
} times[] = {
    {.function = "receives"}, {.function = "locks"}, {.function = "sleeps"}, {.function = "reads"}};

/* ---- those that wait ---- */

static void wait_for_chan(void)
{
    int v;

    weft_chan_recv(chan, &v);
}

static void wait_for_lock(void)
{
    weft_mutex_lock(&mutex);
}

static void unlock(void)
{
    weft_mutex_unlock(&mutex);
}

static void nothing(void)
{
}

static void wait_for_time(void)
{
    weft_sleep(PAUSE);
}

static void wait_for_pipe(void)
{
    char byte;

    if (weft_fd_wait(ends[0], WEFT_FD_READ) < 0 || read(ends[0], &byte, 1) != 1)
        abort();
}

static void compute(void)
{
    for (volatile int i = 0; i < 100 * PIECES; i++)
        ;
}

static void work(struct times *t, void (*wait)(void), void (*after)(void))
{
    weft_time now = weft_now(), before;

    for (int i = 0; i < ROUNDS; i++) {
        compute();
        before = weft_now();
        t->computed += before - now;
        wait();
        now = weft_now();
        t->waited += now - before;
        after();
    }
    weft_waitgroup_done(&waiters);
}

static void receives(void *arg)
{
    work(arg, wait_for_chan, nothing);
    __asm__ volatile(""); /* no tail call: its frame stays */
}

static void locks(void *arg)
{
    work(arg, wait_for_lock, unlock);
    lockers = 0;
}

static void sleeps(void *arg)
{
    work(arg, wait_for_time, nothing);
    __asm__ volatile("");
}

static void reads(void *arg)
{
    work(arg, wait_for_pipe, nothing);
    __asm__ volatile("");
}

/* ---- those for which they wait ---- */

static void sends(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_sleep(PAUSE);
        weft_chan_send(chan, &i);
    }
    weft_waitgroup_done(&feeders);
}

static void holds(void *arg)
{
    (void)arg;
    while (lockers) {
        weft_mutex_lock(&mutex);
        weft_sleep(PAUSE / HOLDERS);
        weft_mutex_unlock(&mutex);
        weft_yield();
    }
    weft_waitgroup_done(&feeders);
}

static void writes(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_sleep(PAUSE);
        if (write(ends[1], "x", 1) != 1)
            abort();
    }
    weft_waitgroup_done(&feeders);
}

static int file(const char *dir, const char *name)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        abort();
    return fd;
}

/* Returns for how many ns the threads of this process have waited for a CPU so far; 0 if the kernel
 * does not count. */
static long long delay(void)
{
    DIR *threads = opendir("/proc/self/task");
    const struct dirent *e;
    long long sum = 0, one;
    char path[300];

    while (threads && (e = readdir(threads)) != NULL) {
        FILE *f;

        snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", e->d_name);
        f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (f && fscanf(f, "%*s %lld", &one) == 1)
            sum += one;
        if (f)
            fclose(f);
    }
    if (threads)
        closedir(threads);
    return sum;
}

static void measure(const char *dir, int format)
{
    long long before = delay();
    static weft_task_fn *const fns[] = {receives, locks, sleeps, reads};
    const weft_trace_options o = {.format = format};
    int fd = file(dir, format == 1 ? "1" : "2");

    if (weft_trace_start(fd, &o) < 0)
        abort();
    weft_waitgroup_add(&waiters, 4);
    weft_waitgroup_add(&feeders, 2 + HOLDERS);
    lockers = 1;
    for (int i = 0; i < HOLDERS; i++)
        weft_go(holds, NULL);
    weft_go(sends, NULL);
    weft_go(writes, NULL);
    for (int i = 0; i < 4; i++) {
        times[i].waited = times[i].computed = 0;
        weft_go(fns[i], &times[i]);
    }
    weft_waitgroup_wait(&waiters);
    weft_waitgroup_wait(&feeders);
    if (weft_trace_stop() < 0)
        abort();
    close(fd);
    for (int i = 0; i < 4; i++)
        printf("%d %s %lld %lld\n", format, times[i].function, (long long)times[i].waited,
               (long long)times[i].computed);
    printf("%d delay %lld 0\n", format, delay() - before);
}

static int program(void *dir)
{
    const weft_profile_options text = {.text = true};
    int fd = file(dir, "block");

    chan = weft_chan_new(sizeof(int), 0);
    if (pipe(ends) != 0)
        abort();
    measure(dir, 1);
    measure(dir, 2);
    weft_chan_free(chan);
    return weft_profile_write(fd, "block", &text);
}

int main(int argc, char **argv)
{
    return argc > 1 ? weft_run(program, argv[1]) : 2;
}
