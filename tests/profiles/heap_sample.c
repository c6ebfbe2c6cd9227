/* SPDX-License-Identifier: MIT */
/* heap_sample.c - writes a heap profile to stdout, for heap_pprof.sh. Two functions keep 4,000 and
 * 1,000 blocks of 16 KiB, a third frees its 2,000, under a label.
 *
 *     heap_sample NAME [text]    NAME is heap or allocs
 *     heap_sample leak BEFORE AFTER OLD
 *
 * The second form has three paths: one frees its blocks, one keeps as many as before, one leaks.
 * It writes the profile before and after some work, and that of the blocks that are old then. */
#include <weft.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { BLOCK = 16384 };

static void *kept[6000];

NOINLINE void sample_lake(void *const *end, void **to);
NOINLINE void sample_pond(void *const *end, void **to);
NOINLINE void sample_rain(void *arg);

NOINLINE void sample_lake(void *const *end, void **to)
{
    while (to < end)
        *to++ = malloc(BLOCK);
    __asm__ volatile("");
}

NOINLINE void sample_pond(void *const *end, void **to)
{
    while (to < end)
        *to++ = malloc(BLOCK);
    __asm__ volatile("");
}

NOINLINE void sample_rain(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        void *volatile drop = malloc(BLOCK);

        free(drop);
    }
    __asm__ volatile("");
}

NOINLINE void sample_frees(void);
NOINLINE void sample_renews(void);
NOINLINE void sample_leaks(void **to);

NOINLINE void sample_frees(void)
{
    sample_rain(NULL);
    __asm__ volatile("");
}

NOINLINE void sample_renews(void)
{
    for (int i = 0; i < 3000; i++) {
        free(kept[i]);
        kept[i] = malloc(BLOCK);
    }
    __asm__ volatile("");
}

NOINLINE void sample_leaks(void **to)
{
    sample_pond(to + 1000, to);
    __asm__ volatile("");
}

/* Does the work of the three paths and writes the profile to a file. */
static int work(const char *file, void **leak, weft_duration age)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600), rc;

    sample_frees();
    sample_leaks(leak);
    sample_renews();
    rc = weft_profile_write(fd, "heap", &(weft_profile_options){.age = age});
    close(fd);
    return rc;
}

static int leak(void *files)
{
    char **file = files;

    weft_profile_set_heap_rate(64 * 1024);
    if (work(file[0], kept + 3000, 0) < 0 || work(file[1], kept + 4000, 0) < 0)
        return 1;
    weft_sleep(2 * WEFT_SECOND);
    sample_renews();
    return work(file[2], kept + 5000, 1500 * WEFT_MILLISECOND) < 0;
}

struct asked {
    const char *name;
    bool text;
};

static int run(void *arg)
{
    const struct asked *a = arg;
    const weft_label label = {"weather", "wet"};

    sample_lake(kept + 4000, kept);
    sample_pond(kept + 5000, kept + 4000);
    if (weft_labels_do(&label, 1, sample_rain, NULL) < 0)
        return 1;
    return weft_profile_write(STDOUT_FILENO, a->name, &(weft_profile_options){.text = a->text}) < 0;
}

int main(int argc, char **argv)
{
    if (argc == 5)
        return weft_run(leak, argv + 2);
    struct asked a = {argc > 1 ? argv[1] : "heap", argc > 2};

    return weft_run(run, &a);
}
