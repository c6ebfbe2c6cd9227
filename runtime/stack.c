/* SPDX-License-Identifier: MIT */
/* stack.c - memory for stacks: one mapping for many, touched lazily, a guard below each.
 *
 * Guards, best first: MADV_GUARD_INSTALL (Linux 6.13), which costs no mapping; mprotect, one
 * mapping each, for 30,000 at a time; then none but a canary in the lowest word, checked whenever
 * the stack is left. One mapping's stacks are all guarded or all have a canary.
 * WEFT_GUARD=madvise|mprotect|canary forces one. */
#include "lock.h"
#include "task.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define CANARY UINT64_C(0x7765667473746163)

enum { MPROTECT_BUDGET = 30000 };
enum mode { MODE_MADVISE, MODE_MPROTECT, MODE_CANARY };

static const char *const mode_names[] = {"madvise", "mprotect", "canary"};

#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
size_t weft__stack_size = 256 << 10; /* instrumented frames are two to five times as large */
#else
size_t weft__stack_size = 64 << 10;
#endif
size_t weft__stack_guard = 16 << 10; /* stops a frame that jumps over a page, too */
static enum mode mode;
bool weft__stack_canaries;
static uint32_t protected; /* atomic: guards in use */

static bool kernel_has_guards(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool ok = page != MAP_FAILED && madvise(page, 4096, MADV_GUARD_INSTALL) == 0;

    if (page != MAP_FAILED)
        munmap(page, 4096);
    return ok;
}

void weft__stacks_init(void)
{
    const char *forced = getenv("WEFT_GUARD");

    mode = kernel_has_guards() ? MODE_MADVISE : MODE_MPROTECT;
    for (unsigned i = 0; forced && i < 3; i++) {
        if (strcmp(forced, mode_names[i]) == 0 && (i > 0 || mode == MODE_MADVISE))
            mode = (enum mode)i;
    }
}

const char *weft__stack_mode(void)
{
    return mode_names[mode];
}

/* False if the kernel has no mapping left for it. */
static bool guard(uintptr_t at)
{
    if (mode == MODE_MADVISE && madvise((void *)at, weft__stack_guard, MADV_GUARD_INSTALL) == 0)
        return true;
    return mprotect((void *)at, weft__stack_guard, PROT_NONE) == 0;
}

/* May n more stacks have guards? */
static bool within_budget(size_t n)
{
    return mode == MODE_MADVISE ||
           (mode == MODE_MPROTECT && weft__load(&protected) + n <= MPROTECT_BUDGET);
}

uintptr_t weft__stacks_map(size_t n, size_t size, bool *canary)
{
    size_t guarded = 0, step = size + weft__stack_guard;
    void *base = mmap(NULL, n * step, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        weft__fatal("out of memory (%zu stacks of %zu bytes)", n, size);
    madvise(base, n * step, MADV_NOHUGEPAGE);
    while (within_budget(n) && guarded < n && guard((uintptr_t)base + guarded * step))
        guarded++;
    *canary = guarded < n;
    if (!*canary) {
        weft__add(&protected, (uint32_t)n);
    } else {
        for (size_t i = 0; i < n; i++)
            *(uint64_t *)((uintptr_t)base + i * step + weft__stack_guard) = CANARY;
        weft__store(&weft__stack_canaries, true);
    }
    return (uintptr_t)base + weft__stack_guard;
}

void weft__stack_unmap(uintptr_t lo, size_t size, bool canary)
{
    if (!canary)
        weft__sub(&protected, 1);
    munmap((void *)(lo - weft__stack_guard), size + weft__stack_guard);
}

WEFT__NO_SANITIZE bool weft__stack_intact(const weft__ctx *ctx)
{
    return *(uint64_t *)ctx->lo == CANARY;
}
