/* SPDX-License-Identifier: MIT */
/* trace_sample.c ADDRESS - a program for trace_tools.sh, which asks it for traces. Its tasks wait
 * for channels, a lock, a pipe's other end and time, call what blocks, and compute; a thread of its
 * own calls the library, and the number of processors changes. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <weft.h>
#include <weft/debug.h>
#include <weft/fd.h>

static weft_chan *chan;
static weft_mutex mutex = WEFT_MUTEX_INIT;
static int ends[2];

static void consumer(void *arg)
{
    int v;

    (void)arg;
    while (weft_chan_recv(chan, &v) == 0)
        weft_yield();
}

static void producer(void *arg)
{
    int v = 0;

    (void)arg;
    for (;;) {
        weft_chan_send(chan, &v);
        weft_sleep(WEFT_MILLISECOND);
    }
}

static void locker(void *arg)
{
    (void)arg;
    for (;;) {
        weft_mutex_lock(&mutex);
        weft_sleep(WEFT_MILLISECOND);
        weft_mutex_unlock(&mutex);
    }
}

static void blocker(void *arg)
{
    const struct timespec t = {0, 3000000};

    (void)arg;
    for (;;) {
        weft_blocking_begin();
        nanosleep(&t, NULL);
        weft_blocking_end();
        weft_sleep(WEFT_MILLISECOND);
    }
}

static void hog(void *arg)
{
    volatile unsigned sum = 0;

    (void)arg;
    for (;;) {
        for (unsigned i = 0; i < 20000000; i++)
            sum += i;
        weft_sleep(20 * WEFT_MILLISECOND);
    }
}

static void reader(void *arg)
{
    char byte;

    (void)arg;
    while (weft_fd_wait(ends[0], WEFT_FD_READ) > 0 && read(ends[0], &byte, 1) == 1)
        ;
}

static void writer(void *arg)
{
    (void)arg;
    while (write(ends[1], "x", 1) == 1)
        weft_sleep(2 * WEFT_MILLISECOND);
}

static void order(void *arg)
{
    const weft_label labels[] = {{"kind", "order"}, {"route", "/a"}};

    (void)arg;
    weft_labels_set(labels, 2);
    for (;;) {
        uint64_t task = weft_trace_task_begin("order", 0);

        weft_trace_region_begin(task, "pack");
        weft_trace_region_begin(task, "seal");
        weft_sleep(2 * WEFT_MILLISECOND);
        weft_trace_region_end(task, "no such region");
        weft_trace_region_end(task, "seal");
        weft_trace_region_end(task, "pack");
        weft_trace_log(task, "weight", "12 kg");
        weft_trace_task_end(task);
    }
}

/* Has two or three processors run tasks, in turn. */
static void resizer(void *arg)
{
    (void)arg;
    for (int n = 2;; n = 5 - n) {
        weft_procs_set(n);
        weft_sleep(50 * WEFT_MILLISECOND);
    }
}

static void *stranger(void *arg)
{
    int v = 0;

    while (weft_chan_send(chan, &v) == 0)
        weft_sleep(5 * WEFT_MILLISECOND);
    return arg;
}

static int app(void *arg)
{
    pthread_t thread;

    chan = weft_chan_new(sizeof(int), 0);
    if (pipe(ends) != 0)
        return 1;
    for (int i = 0; i < 3; i++) {
        weft_go(consumer, NULL);
        weft_go(producer, NULL);
        weft_go(locker, NULL);
    }
    weft_go(blocker, NULL);
    weft_go(hog, NULL);
    weft_go(order, NULL);
    weft_go(reader, NULL);
    weft_go(writer, NULL);
    weft_go(resizer, NULL);
    if (pthread_create(&thread, NULL, stranger, NULL) != 0)
        return 1;
    if (weft_debug_serve(arg) < 0)
        return 1;
    weft_sleep(600 * WEFT_SECOND);
    return 0;
}

int main(int argc, char **argv)
{
    return argc > 1 ? weft_run(app, argv[1]) : 2;
}
