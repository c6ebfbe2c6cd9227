/* SPDX-License-Identifier: MIT */
/* flight_sample.c - tasks that wait in many ways until they are killed, for flight_kill.py.
 *
 *     flight_sample FILE [eat]     FILE receives, as 8 bytes, a time of CLOCK_MONOTONIC after which
 *                                  an event was recorded; eat: uses ever more memory */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <weft.h>

enum { PAIRS = 20, LOCKERS = 8, SHORT = 100000 /* ns */ };

static _Atomic int64_t *stamp; /* in the file */
static weft_mutex lock = WEFT_MUTEX_INIT;

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void echo(void *arg)
{
    weft_chan *c = arg;
    int v;

    for (;;)
        weft_chan_recv(c, &v);
}

static void send_for_ever(void *arg)
{
    weft_chan *c = arg;

    weft_task_name("sender");
    for (int v = 0;; v++)
        weft_chan_send(c, &v);
}

static void lock_for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        weft_mutex_lock(&lock);
        weft_yield();
        weft_mutex_unlock(&lock);
        weft_sleep(SHORT);
    }
}

/* The yield is an event after `before`, and it is on the tape when the yield returns. */
static void stamp_for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        int64_t before = now();

        weft_yield();
        *stamp = before;
    }
}

static void eat(void *arg)
{
    (void)arg;
    for (;;) {
        char *more = malloc(1 << 20);

        for (int i = 0; more && i < 1 << 20; i += 4096)
            *(volatile char *)&more[i] = 1;
        weft_sleep(SHORT);
    }
}

static void end_at_once(void *arg)
{
    (void)arg;
}

static int run(void *eats)
{
    for (int i = 0; i < PAIRS; i++) {
        weft_chan *c = weft_chan_new(sizeof(int), 0);

        weft_go(echo, c);
        weft_go(send_for_ever, c);
    }
    for (int i = 0; i < LOCKERS; i++)
        weft_go(lock_for_ever, NULL);
    weft_go(stamp_for_ever, NULL);
    if (eats)
        weft_go(eat, NULL);
    for (;;) {
        weft_go(end_at_once, NULL);
        weft_blocking_begin();
        usleep(100);
        weft_blocking_end();
        weft_sleep(SHORT);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int fd = argc >= 2 ? open(argv[1], O_RDWR) : -1;

    stamp = mmap(NULL, sizeof(*stamp), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (stamp == MAP_FAILED) {
        perror("flight_sample FILE");
        return 2;
    }
    return weft_run(run, argc == 3 && strcmp(argv[2], "eat") == 0 ? argv : NULL);
}
