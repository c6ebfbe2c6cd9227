/* SPDX-License-Identifier: MIT */
/* scrape.c - the block profile of 10,000 waits, each with a stack of its own: the time a scrape
 * takes, and the longest gaps of a 1 ms ticker meanwhile. */
#include "bench.h"

#include <sys/mman.h>
#include <unistd.h>

enum { STACKS = 10000, DEPTH = 14 /* 2^14 paths */ };

static double scrape(void)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    weft_time start = weft_now();

    bench_check(fd, "memfd_create");
    bench_check(weft_profile_write(fd, "block", NULL), "weft_profile_write");
    close(fd);
    return (double)(weft_now() - start) / 1e6;
}

/* Scrapes twice, and prints the second: the first scrape of a process learns the names. */
static void scrape_twice(const char *name)
{
    weft_duration task, bare;

    bench_result(name, "_first", scrape(), "ms");
    bench_gap_start();
    bench_result(name, "_wall", scrape(), "ms");
    bench_gap_stop(&task, &bare);
    bench_result(name, "_gap", (double)task / 1e6, "ms");
    bench_result(name, "_bare", (double)bare / 1e6, "ms");
}

/* Scrapes when the waits are over. */
void bench_scrape10k(void)
{
    weft_profile_set_block_rate(1);
    bench_park_frames(STACKS, DEPTH);
    bench_release_frames();
    scrape_twice("scrape10k");
}

/* Scrapes while the waits go on. */
void bench_scrape10k_live(void)
{
    weft_profile_set_block_rate(1);
    bench_park_frames(STACKS, DEPTH);
    scrape_twice("scrape10k_live");
}
