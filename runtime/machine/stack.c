/* SPDX-License-Identifier: MIT */
/* stack.c - memory for stacks: one mapping for many, touched lazily, a guard below each.
 *
 * Guards, best first: MADV_GUARD_INSTALL (Linux 6.13), which costs no mapping; mprotect, one
 * mapping each, for 30,000 at a time; then none but a canary in the lowest word, checked whenever
 * the stack is left. One mapping's stacks are all guarded or all have a canary.
 * WEFT_GUARD=madvise|mprotect|canary forces one.
 *
 * Guards and first pages of 32 stacks come in one process_madvise(2) each, where it can: 1.4 us a
 * stack, not 1.8. Why 32, in memory that shares no page table, and the records of many tasks a GiB
 * apart? Where a hypervisor shadows the guest's page tables, it drops its copy of a table that is
 * written often, and each entry then costs a fault of 7 to 20 us. It judges a table of tables so
 * when three entries are written and none is used in between. So three new tables at once, or two
 * and a huge page, cost a fault for every table of that GiB. Measured on such a machine, a million
 * tasks: made in 18 us each, not 25; released in 1.2, not 3.5; 10,000 of them dumped in 19 ms, not
 * 34.
 *
 * Valgrind takes a far jump of the stack pointer for a large frame unless it knows both stacks, so
 * each is registered, and those that are unmapped before the end taken back. */
#include "runtime/machine/stack.h"

#include "runtime/base/env.h"
#include "runtime/base/keep.h"
#include "runtime/base/lock.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if !defined(WEFT__ASAN) && !defined(WEFT__TSAN) && __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND                0
#define VALGRIND_STACK_REGISTER(low, high) ((void)(low), (void)(high), 0u)
#define VALGRIND_STACK_DEREGISTER(id)      ((void)(id))
#define VALGRIND_DISABLE_ERROR_REPORTING   ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING    ((void)0)
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define CANARY UINT64_C(0x7765667473746163)

enum { MPROTECT_BUDGET = 30000, BATCH = 64 };
enum mode { MODE_MADVISE, MODE_MPROTECT, MODE_CANARY };

static const char *const mode_names[] = {"madvise", "mprotect", "canary", NULL};

#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
enum { DEFAULT = 256 << 10 }; /* instrumented frames are two to five times as large */
#else
enum { DEFAULT = 64 << 10 };
#endif
#define LEAST ((size_t)16 << 10)
#define MOST  ((size_t)16 << 30)

size_t weft__stack_size = DEFAULT;
/* How far a frame may jump in code that was not built to touch each page. */
size_t weft__stack_guard = 64 << 10;
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
    enum mode best = kernel_has_guards() ? MODE_MADVISE : MODE_MPROTECT;

    mode = (enum mode)weft__env_word("WEFT_GUARD", mode_names, (int)best);
    if (mode < best)
        mode = best;
}

size_t weft__stack_size_of(size_t wanted, const char *call)
{
    if (wanted == 0)
        return DEFAULT;
    if (wanted > MOST)
        weft__panic("weft: %s with stack_size %zu: at most %zu", call, wanted, MOST);
    return wanted < LEAST ? LEAST : (wanted + 4095) & ~(size_t)4095;
}

const char *weft__stack_mode(void)
{
    return mode_names[mode];
}

/* madvise on n ranges of len bytes, step apart, in one call (Linux 6.13). False if not all of them
 * were done. */
static bool madvise_each(uintptr_t at, size_t n, size_t step, size_t len, int advice)
{
    struct iovec ranges[BATCH];
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    long done;

    for (size_t i = 0; i < n; i++)
        ranges[i] = (struct iovec){(void *)(at + i * step), len};
    done = syscall(SYS_process_madvise, self, ranges, n, advice, 0);
    close(self);
    return done == (long)(n * len);
}

/* Puts a guard there. Returns false if the kernel has no mapping left for it. */
static bool guard(uintptr_t at)
{
    if (mode == MODE_MADVISE && madvise((void *)at, weft__stack_guard, MADV_GUARD_INSTALL) == 0)
        return true;
    return mprotect((void *)at, weft__stack_guard, PROT_NONE) == 0;
}

/* The stacks that may be unmapped, under Valgrind. */
struct told {
    struct told *next;
    uintptr_t lo;
    unsigned id;
};

static struct {
    uint32_t lock; /* rank LEAF */
    struct told *head;
} told;

static void tell(uintptr_t lo, size_t size, bool for_good)
{
    unsigned id = VALGRIND_STACK_REGISTER(lo, lo + size - 1);
    struct told *s;

    if (for_good)
        return;
    s = weft__alloc(1, sizeof(*s));
    s->lo = lo;
    s->id = id;
    weft__lock(&told.lock, WEFT__RANK_LEAF);
    s->next = told.head;
    told.head = s;
    weft__unlock(&told.lock);
}

static void take_back(uintptr_t lo)
{
    struct told **at, *s;

    weft__lock(&told.lock, WEFT__RANK_LEAF);
    for (at = &told.head; (s = *at) && s->lo != lo; at = &s->next)
        ;
    if (s)
        *at = s->next;
    weft__unlock(&told.lock);
    if (s)
        VALGRIND_STACK_DEREGISTER(s->id);
    weft__free(s);
}

/* Returns whether n more stacks may have guards. */
static bool within_budget(size_t n)
{
    return mode == MODE_MADVISE ||
           (mode == MODE_MPROTECT && weft__load(&protected) + n <= MPROTECT_BUDGET);
}

/* Maps n stacks. Many come and go together, so they share no page table with other memory: a
 * hypervisor that shadows page tables drops its copy of one that is written often, and each stack
 * in it faults again. */
static void *map(size_t n, size_t step)
{
    size_t len = n * step;
    void *base;

    if (n > 1)
        len = (len + WEFT__TABLE - 1) & ~(size_t)(WEFT__TABLE - 1);
    base = n > 1 ? weft__map_aligned(len, WEFT__TABLE) : weft__map(len);
    if (base)
        madvise(base, len, MADV_NOHUGEPAGE);
    return base;
}

uintptr_t weft__stacks_map(size_t n, size_t size, bool *canary)
{
    size_t guarded = 0, step = size + weft__stack_guard;
    void *base = map(n, step);

    if (!base)
        weft__no_memory("a smaller stack_size of weft_run_options or weft_go_options needs less",
                        "%zu stacks of %zu bytes", n, size);
    if (mode == MODE_MADVISE && n > 1 && n <= BATCH &&
        madvise_each((uintptr_t)base, n, step, weft__stack_guard, MADV_GUARD_INSTALL))
        guarded = n;
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
    for (size_t i = 0; RUNNING_ON_VALGRIND && i < n; i++)
        tell((uintptr_t)base + i * step + weft__stack_guard, size, n > 1);
    return (uintptr_t)base + weft__stack_guard;
}

/* Populates the first pages of n stacks. Where the kernel cannot, the first touch of each does,
 * with a page fault. */
void weft__stacks_populate(uintptr_t lo, size_t n, size_t size)
{
    weft__assert(n <= BATCH);
    madvise_each(lo + size - 4096, n, size + weft__stack_guard, 4096, MADV_POPULATE_WRITE);
}

static void unmap(uintptr_t lo, size_t size)
{
    if (RUNNING_ON_VALGRIND)
        take_back(lo);
    munmap((void *)(lo - weft__stack_guard), size + weft__stack_guard);
}

/* A stack that dumpers may be walking; at its lowest address. */
struct walked {
    weft__kept kept;
    size_t size;
};

static void unmap_walked(weft__kept *kept)
{
    struct walked *stack = weft__container_of(kept, struct walked, kept);

    unmap((uintptr_t)stack, stack->size);
}

/* Unmaps a stack, whose task was left DEAD. */
void weft__stack_unmap(uintptr_t lo, size_t size, bool canary)
{
    struct walked *stack = (struct walked *)lo;

    if (!canary)
        weft__sub(&protected, 1);
    if (!weft__keeps()) {
        unmap(lo, size);
        return;
    }
    stack->size = size;
    stack->kept.end = unmap_walked;
    weft__keep(&stack->kept);
}

void weft__stacks_hold(void)
{
    VALGRIND_DISABLE_ERROR_REPORTING; /* a stack walked may run on, below what it was */
    weft__keep_hold();
}

void weft__stacks_release(void)
{
    weft__keep_release();
    VALGRIND_ENABLE_ERROR_REPORTING;
}

WEFT__NO_SANITIZE bool weft__stack_intact(const weft__ctx *ctx)
{
    return *(uint64_t *)ctx->lo == CANARY;
}
