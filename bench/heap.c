/* SPDX-License-Identifier: MIT */
/* heap.c - a free and a malloc of small blocks, of which 1,000 are live; heap.py compares programs
 * that sample them and that do not. One thread allocates, since the allocators' own caches are per
 * thread. */
#include "bench.h"

#include <stdlib.h>

enum { LIVE = 1000, PAIRS = 4000000 };

void bench_heap_pair(void)
{
    static void *volatile live[LIVE];
    uint32_t random = 1;
    weft_time start = weft_now();

    for (int i = 0; i < PAIRS; i++) {
        random = random * 1664525 + 1013904223;
        free(live[random / 256 % LIVE]);
        live[random / 256 % LIVE] = malloc(16 + random / 1048576 % 500);
    }
    bench_ns("heap_pair", start, PAIRS);
}
