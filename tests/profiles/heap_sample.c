/* SPDX-License-Identifier: MIT */
/* heap_sample.c - writes a heap profile to stdout, for heap_pprof.sh. Two functions keep 4,000 and
 * 1,000 blocks of 16 KiB, a third frees its 2,000, under a label.
 *
 *     heap_sample NAME [text]    NAME is heap or allocs */
#include <weft.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { BLOCK = 16384 };

static void *kept[5000];

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
    struct asked a = {argc > 1 ? argv[1] : "heap", argc > 2};

    return weft_run(run, &a);
}
