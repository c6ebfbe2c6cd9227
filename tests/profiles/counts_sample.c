/* SPDX-License-Identifier: MIT */
/* counts_sample.c - writes a profile that counts things to stdout, for counts_pprof.sh and
 * readers.sh.
 *
 *     counts_sample threads    20 tasks sit in declared calls, one task hogs
 *     counts_sample custom     one function adds 30 values, another adds 12; 2 of the 12 go again
 *
 * "text" as a second argument chooses the text form. */
#include <weft.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { CALLS = 20 };

static bool text;
static atomic_int begun;

static int put(const char *name)
{
    return weft_profile_write(STDOUT_FILENO, name, &(weft_profile_options){.text = text}) < 0;
}

NOINLINE void sample_call(void *hole);
NOINLINE void sample_hog(void *arg);

NOINLINE void sample_call(void *hole)
{
    char byte;

    weft_blocking_begin();
    atomic_fetch_add(&begun, 1);
    if (read(*(int *)hole, &byte, 1) < 0)
        perror("read");
    weft_blocking_end();
}

NOINLINE void sample_hog(void *arg)
{
    (void)arg;
    for (;;)
        atomic_load(&begun);
}

static int threads(void)
{
    int hole[2];

    if (pipe(hole) != 0)
        return 1;
    for (int i = 0; i < CALLS; i++)
        weft_go(sample_call, &hole[0]);
    while (atomic_load(&begun) < CALLS)
        weft_yield();
    for (int i = 0; i < weft_procs() + 3; i++)
        weft_go(sample_hog, NULL);
    weft_sleep(200 * WEFT_MILLISECOND);
    return put("threadcreate");
}

NOINLINE void sample_lake(weft_profile *p, char *from, int n);
NOINLINE void sample_pond(weft_profile *p, char *from, int n);

NOINLINE void sample_lake(weft_profile *p, char *from, int n)
{
    while (n-- > 0)
        weft_profile_add(p, from++);
    __asm__ volatile("");
}

NOINLINE void sample_pond(weft_profile *p, char *from, int n)
{
    while (n-- > 0)
        weft_profile_add(p, from++);
    __asm__ volatile("");
}

static int custom(void)
{
    static char boats[42];
    weft_profile *p = weft_profile_new("example/boats");

    sample_lake(p, boats, 30);
    sample_pond(p, boats + 30, 12);
    weft_profile_remove(p, boats + 30);
    weft_profile_remove(p, boats + 41);
    return put("example/boats");
}

static int run(void *what)
{
    int rc = strcmp(what, "threads") == 0 ? threads() : custom();

    _exit(rc); /* the calls do not end */
}

int main(int argc, char **argv)
{
    text = argc > 2 && strcmp(argv[2], "text") == 0;
    return argc > 1 ? weft_run(run, argv[1]) : 2;
}
