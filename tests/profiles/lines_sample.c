/* SPDX-License-Identifier: MIT */
/* lines_sample.c - a task that waits in the cold part of a function, with a function inlined into
 * that part; for debug_info.sh. Writes a dump to stdout, and a profile to the file that is named.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft/chan.h>
#include <weft/dump.h>
#include <weft/task.h>
#include <weft/time.h>

static weft_chan *never;
static volatile int rarely = 1, sink;

__attribute__((cold, noinline)) static void fails(void)
{
    int v;

    weft_chan_recv(never, &v); /* line: fails */
    sink++;
}

__attribute__((always_inline)) static inline void handle(int n)
{
    fails(); /* line: handle */
    sink += n;
}

/* The second half of this function is cold, and the compiler puts it far from the first. */
__attribute__((noinline)) static void serve(int n)
{
    for (int i = 0; i < n; i++)
        sink += i * n;
    if (__builtin_expect(rarely, 0)) {
        handle(n); /* line: serve */
        sink += 2;
        handle(n + 1);
    }
    sink += 3;
}

static void task(void *arg)
{
    serve(atoi(arg)); /* line: task */
    sink++;
}

static int run(void *path)
{
    weft_dump_options o = {.form = WEFT_DUMP_TASKS};
    FILE *f = fopen(path, "w");

    never = weft_chan_new(sizeof(int), 0);
    weft_go(task, (void *)(uintptr_t) "3");
    weft_sleep(20 * WEFT_MILLISECOND);
    weft_dump(STDOUT_FILENO, &o);
    o.form = WEFT_DUMP_PPROF;
    weft_dump(fileno(f), &o);
    fclose(f);
    _exit(0);
}

int main(int argc, char **argv)
{
    return argc == 2 ? weft_run(run, argv[1]) : 2;
}
