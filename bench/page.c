/* SPDX-License-Identifier: MIT */
/* page.c - measures how long the first touch of a page takes. Rows of new memory consist of little
 * else, and machines differ in it by ten times and more, so the head of the tables shows it. */
#include "bench.h"

#include <errno.h>
#include <sys/mman.h>

enum { PAGES = 20000, PAGE = 4096 };

/* WARMED is a little more than a million tasks occupy. */
static const size_t WARMED = (size_t)5 << 30;

static char *map(size_t size)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);

    bench_check(at == MAP_FAILED ? -errno : 0, "mmap");
    madvise(at, size, MADV_NOHUGEPAGE);
    return at;
}

static void touch(char *at, size_t size)
{
    for (size_t i = 0; i < size; i += PAGE)
        at[i] = 1;
}

void bench_page_touch(void)
{
    size_t size = (size_t)PAGES * PAGE;
    char *at = map(size);
    weft_time start = weft_now();

    touch(at, size);
    bench_ns("page_touch", start, PAGES);
    munmap(at, size);
}

/* Touches WARMED bytes, which the end of the process frees. A guest gives free pages back to its
 * host (free page reporting), and the process that gets such a page next pays for the host's work,
 * too. Pages that were touched a moment ago are not given back yet. */
void bench_page_warm(void)
{
    touch(map(WARMED), WARMED);
}
