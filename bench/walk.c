/* SPDX-License-Identifier: MIT */
/* walk.c - the walker alone over a million stacks of 8 frames. The stacks are copies of a real one,
 * a page apart like those of tasks, so that each walk misses the caches as it would there. */
#include "bench.h"

#include "profiles/walk/unwind.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { STACKS = 1000000, SPACING = 4096, FRAMES = 8 };

static struct weft__walk walk;
static int volatile sink; /* keeps the calls from being compiled away */

static void walk_copies(uintptr_t hi)
{
    struct weft__regs regs;
    ucontext_t uc;
    uintptr_t lo;
    weft_time start;
    char *copies;

    getcontext(&uc);
    regs = weft__regs_of(&uc);
    lo = regs.sp;
    if (hi - lo > SPACING)
        bench_check(-1, "the frames do not fit a page");
    copies = mmap(NULL, (size_t)STACKS * SPACING, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (copies == MAP_FAILED)
        bench_check(-1, "mmap");
    /* Stacks of tasks have no huge pages either. */
    madvise(copies, (size_t)STACKS * SPACING, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < STACKS; i++)
        memcpy(copies + i * SPACING, (const void *)lo, hi - lo);
    weft__walk(&walk, &regs, lo, hi, (const void *)lo, true);
    if (walk.depth < FRAMES)
        bench_check(-1, "the walk ended early");
    /* Reads each page once: a guest's first read of a page that it has written may be a fault in
     * the hypervisor. */
    for (size_t i = 0; i < STACKS; i++)
        sink += *(volatile char *)(copies + i * SPACING);
    start = weft_now();
    for (size_t i = 0; i < STACKS; i++) {
        if (i + WEFT__WALK_AHEAD < STACKS)
            weft__walk_ahead((uintptr_t)copies + (i + WEFT__WALK_AHEAD) * SPACING,
                             (uintptr_t)copies + (i + WEFT__WALK_AHEAD) * SPACING + (hi - lo));
        weft__walk(&walk, &regs, lo, hi, copies + i * SPACING, false);
    }
    bench_result("walk1m_frames", "", walk.depth, "frames");
    bench_result("walk1m", "", (double)(weft_now() - start) / 1e9, "s");
}

static __attribute__((noinline)) int descend(int depth, uintptr_t hi)
{
    if (depth > 1)
        return descend(depth - 1, hi) + 1;
    walk_copies(hi);
    return 1;
}

static void entry(void *done)
{
    /* The stack is copied up to the return address of this frame. */
    uintptr_t hi = (uintptr_t)__builtin_frame_address(0) + 2 * sizeof(void *);

    sink = descend(FRAMES - 2, hi);
    weft_waitgroup_done(done);
}

void bench_walk1m(void)
{
    weft_waitgroup done = WEFT_WAITGROUP_INIT;

    weft_waitgroup_add(&done, 1);
    weft_go(entry, &done);
    weft_waitgroup_wait(&done);
}
