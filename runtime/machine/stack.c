/* SPDX-License-Identifier: MIT */
/* stack.c - memory for stacks: one mapping for many stacks, touched lazily, a guard below each.
 *
 * Owns: the kind and the number of guards, and the list of stacks that Valgrind knows. The stacks
 * themselves belong to sched/task.c. Any thread may call (stack.h).
 * Lock: registered.lock (rank LEAF) guards Valgrind's list. The number of guards is atomic.
 *
 * Guards, best first:
 *   madvise   MADV_GUARD_INSTALL (Linux 6.13), which splits no mapping
 *   mprotect  splits the mapping at each guard. The kernel allows a process 65,530 mappings, so
 *             30,000 stacks at a time have one
 *   canary    no guard, but a known word at the low end, checked whenever the stack is left
 * The stacks of one mapping all have guards, or all have canaries. WEFT_GUARD=madvise, mprotect or
 * canary forces a kind, for tests.
 *
 * The guards of 32 stacks are made in one process_madvise(2), and so are their first pages, where
 * the kernel can: 1.4 us a stack, not 1.8. Why 32 stacks, in memory that shares no page table with
 * other memory, and why are the records of many tasks a GiB apart? Some hypervisors keep a shadow
 * of the guest's page tables. They drop the shadow of a table that the guest writes often, and each
 * entry of it then costs a fault of 7 to 20 us. A table of tables counts as written often once
 * three of its entries are written and none is used in between. So three new tables at once, or two
 * and a huge page, cost a fault for every table of that GiB. Measured on such a machine with a
 * million tasks: 18 us to make each, not 25; 1.2 us to release it, not 3.5; 19 ms to dump 10,000 of
 * them, not 34.
 *
 * Valgrind takes a far jump of the stack pointer for a large frame unless it knows both stacks. So
 * each stack is registered with it, and taken back if it is unmapped before the program ends. */
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
#define CANARY UINT64_C(0x7765667473746163) /* a value that no frame is likely to store */

/* MPROTECT_BUDGET: guards made by mprotect at a time. BATCH: stacks in one process_madvise. */
enum { MPROTECT_BUDGET = 30000, BATCH = 64 };
enum mode { MODE_MADVISE, MODE_MPROTECT, MODE_CANARY };

static const char *const mode_names[] = {"madvise", "mprotect", "canary", NULL};

#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
enum { DEFAULT = 256 << 10 }; /* instrumented frames are two to five times as large */
#else
enum { DEFAULT = 64 << 10 };
#endif
/* The bounds of stack_size. A smaller one is raised to LEAST; a larger one is a mistake. */
#define LEAST ((size_t)16 << 10)
#define MOST  ((size_t)16 << 30)

size_t weft__stack_size = DEFAULT;
/* A guard must be larger than the largest frame that code skips over without touching each page:
 * programs are seldom built with -fstack-clash-protection. */
size_t weft__stack_guard = 64 << 10;
static enum mode mode;
bool weft__stack_canaries;
static uint32_t protected; /* atomic: guards in use */

/* Returns whether madvise can make guards. Tries it on a page, since the kernel's version says
 * nothing about kernels with backports. */
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

/* Gives the advice for n ranges of len bytes, step apart, in one call (Linux 6.13). Returns false
 * if the kernel did not do all of them; the caller then does them one by one. */
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

/* Makes the guard at this address. Returns false if the kernel has no mapping left for it. */
static bool guard(uintptr_t at)
{
    if (mode == MODE_MADVISE && madvise((void *)at, weft__stack_guard, MADV_GUARD_INSTALL) == 0)
        return true;
    return mprotect((void *)at, weft__stack_guard, PROT_NONE) == 0;
}

/* Under Valgrind: a stack that is registered and may be unmapped. */
struct registered {
    struct registered *next;
    uintptr_t lo;
    unsigned id;
};

static struct {
    uint32_t lock; /* rank LEAF */
    struct registered *head;
} registered;

/* Registers a stack with Valgrind. Stacks of a slab stay mapped to the end (forever), so nothing
 * needs to remember them. */
static void register_stack(uintptr_t lo, size_t size, bool forever)
{
    unsigned id = VALGRIND_STACK_REGISTER(lo, lo + size - 1);
    struct registered *s;

    if (forever)
        return;
    s = weft__alloc(1, sizeof(*s));
    s->lo = lo;
    s->id = id;
    weft__lock(&registered.lock, WEFT__RANK_LEAF);
    s->next = registered.head;
    registered.head = s;
    weft__unlock(&registered.lock);
}

/* Takes a stack back from Valgrind before its memory is unmapped. */
static void deregister_stack(uintptr_t lo)
{
    struct registered **at, *s;

    weft__lock(&registered.lock, WEFT__RANK_LEAF);
    for (at = &registered.head; (s = *at) && s->lo != lo; at = &s->next)
        ;
    if (s)
        *at = s->next;
    weft__unlock(&registered.lock);
    if (s)
        VALGRIND_STACK_DEREGISTER(s->id);
    weft__free(s);
}

/* Returns whether n more stacks may have guards. Two threads may both pass and exceed the budget by
 * a slab; it is less than half of the kernel's limit. */
static bool within_budget(size_t n)
{
    return mode == MODE_MADVISE ||
           (mode == MODE_MPROTECT && weft__load(&protected) + n <= MPROTECT_BUDGET);
}

/* Maps memory for n stacks. Many stacks come and go together, so they share no page table with
 * other memory; the head says why. No huge pages: a parked task should cost one small page. */
static void *map(size_t n, size_t step)
{
    size_t len = n * step;
    void *base;

    if (n > 1)
        len = (len + WEFT__TABLE - 1) & ~(size_t)(WEFT__TABLE - 1);
    base = n > 1 ? weft__map_aligned(len, WEFT__TABLE) : weft__map(len);
    if (base) {
        madvise(base, len, MADV_NOHUGEPAGE);
        weft__map_name(base, len, "weft stacks");
    }
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
        register_stack((uintptr_t)base + i * step + weft__stack_guard, size, n > 1);
    return (uintptr_t)base + weft__stack_guard;
}

/* If the kernel cannot do this, each stack's first touch gets its page, at the cost of a fault. */
void weft__stacks_populate(uintptr_t lo, size_t n, size_t size)
{
    weft__assert(n <= BATCH);
    madvise_each(lo + size - 4096, n, size + weft__stack_guard, 4096, MADV_POPULATE_WRITE);
}

static void unmap(uintptr_t lo, size_t size)
{
    if (RUNNING_ON_VALGRIND)
        deregister_stack(lo);
    munmap((void *)(lo - weft__stack_guard), size + weft__stack_guard);
}

/* A stack that dumpers may be walking, until it can be unmapped. The record lies at the stack's
 * lowest address, which the dead task no longer needs. */
struct walked {
    weft__kept kept;
    size_t size;
};

static void unmap_walked(weft__kept *kept)
{
    struct walked *stack = weft__container_of(kept, struct walked, kept);

    unmap((uintptr_t)stack, stack->size);
}

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
    /* A walked task may run on meanwhile, and the walk then reads below its stack pointer, which
     * Valgrind reports. */
    VALGRIND_DISABLE_ERROR_REPORTING;
    weft__keep_hold();
}

void weft__stacks_release(void)
{
    weft__keep_release();
    VALGRIND_ENABLE_ERROR_REPORTING;
}

/* Not instrumented: the word may lie in a frame that ASan has poisoned. */
WEFT__NO_SANITIZE bool weft__stack_intact(const weft__ctx *ctx)
{
    return *(uint64_t *)ctx->lo == CANARY;
}
