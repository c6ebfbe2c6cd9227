/* SPDX-License-Identifier: MIT */
/* cpu_sample.c - a program that spends CPU in functions of its own, for cpu_pprof.sh:
 *
 *     cpu_sample unix:PATH    serves the debug endpoints there
 *     cpu_sample file         writes the profile of two seconds of CPU time to stdout
 *
 * Three parts of the time are spent in work_long, with the label {tenant: "a"}; one in work_short.
 */
#include <weft.h>

#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static NOINLINE void burn(int rounds)
{
    for (volatile int i = 0; i < rounds; i++)
        ;
}

static NOINLINE void work_long(void *rounds)
{
    burn(3 * *(int *)rounds);
    __asm__ volatile("");
}

static NOINLINE void work_short(void *rounds)
{
    burn(*(int *)rounds);
    __asm__ volatile("");
}

/* Works for so many seconds of CPU time of the process. The parts have no fixed length, which might
 * beat with the profile's timer. */
static void work(void *seconds)
{
    uint32_t random = 1;

    while (clock() < *(clock_t *)seconds * CLOCKS_PER_SEC) {
        int rounds = (int)((random = random * 1664525 + 1013904223) >> 11);

        weft_labels_do(&(weft_label){"tenant", "a"}, 1, work_long, &rounds);
        work_short(&rounds);
        weft_yield();
    }
}

static int run(void *address)
{
    static clock_t two = 2, many = 600;

    if (strcmp(address, "file") == 0) {
        if (weft_cpu_profile_start(STDOUT_FILENO) < 0)
            return 1;
        work(&two);
        return weft_cpu_profile_stop();
    }
    if (weft_debug_serve(address) < 0)
        return 1;
    weft_go(work, &many);
    return weft_sleep(600 * WEFT_SECOND);
}

int main(int argc, char **argv)
{
    return argc > 1 ? weft_run(run, argv[1]) : 2;
}
