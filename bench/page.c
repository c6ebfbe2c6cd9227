/* SPDX-License-Identifier: MIT */
/* page.c - what the machine takes for a page's first touch. Rows of new memory are made of little
 * else, and machines differ in it by ten times and more, so the head of the tables says it. */
#include "bench.h"

#include <errno.h>
#include <sys/mman.h>

enum { PAGES = 20000, PAGE = 4096 };

void bench_page_touch(void)
{
    char *at = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    weft_time start;

    bench_check(at == MAP_FAILED ? -errno : 0, "mmap");
    madvise(at, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE);
    start = weft_now();
    for (size_t i = 0; i < PAGES; i++)
        at[i * PAGE] = 1;
    bench_ns("page_touch", start, PAGES);
    munmap(at, (size_t)PAGES * PAGE);
}
