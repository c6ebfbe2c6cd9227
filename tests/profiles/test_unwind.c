/* SPDX-License-Identifier: MIT */
/* test_unwind.c - the walker against libunwind.
 *
 * The stacks are real. A coroutine on a mapping of its own runs through a random chain of functions
 * and parks by swapcontext. Each is resumed to its end later, since ASan wants its stacks clean. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "profiles/walk/deferred.h"
#include "profiles/walk/learn.h"
#include "profiles/walk/ruletable.h"
#include "profiles/walk/symbolize.h"
#include "profiles/walk/unwind.h"
#include "reload.h"
#include "tap.h"
#include "unwind_shapes.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
enum { IN_TSAN = 1 };
#ifdef __clang__
#define NOT_IN_TSAN __attribute__((disable_sanitizer_instrumentation))
#else
#define NOT_IN_TSAN __attribute__((no_sanitize("thread")))
#endif
#else
enum { IN_TSAN = 0 };
#define NOT_IN_TSAN
#endif

static _Thread_local uint64_t random_state = 88172645463325252;

static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- a coroutine ---- */

struct coroutine {
    ucontext_t context, caller;
    char *stack;
    size_t size;
    struct plan plan;
    void (*entry)(struct plan *);
    void *fiber, *caller_fiber; /* TSan */
};

static _Thread_local struct coroutine *current;

/* The function is entered on one fiber and left on another, which TSan must not see. */
NOT_IN_TSAN static void before_switch(void *fiber)
{
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(fiber, 0);
#else
    (void)fiber;
#endif
}

/* The outermost function, which ends stacks as a runtime's does. glibc's is entered at its first
 * byte, so it would be looked up in the code before it. */
void test_base(void);
__asm__(".pushsection .text\n"
        ".type test_base, @function\n"
        "test_base:\n"
        ".cfi_startproc\n"
        ".cfi_undefined rip\n"
        "sub $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "call test_body\n"
        "ud2\n"
        ".cfi_endproc\n"
        ".size test_base, . - test_base\n"
        ".popsection\n");

void test_body(void);
__attribute__((used)) void test_body(void)
{
    struct coroutine *co = current;

    co->entry(&co->plan);
    before_switch(co->caller_fiber);
    swapcontext(&co->context, &co->caller);
}

static void chain(struct plan *p)
{
    nofp_chain(p, p->left);
}

static void co_switch(struct coroutine *co)
{
    current = co;
    before_switch(co->fiber);
    swapcontext(&co->caller, &co->context);
}

static void co_init(struct coroutine *co, size_t size)
{
    memset(co, 0, sizeof *co);
    co->size = size;
    co->stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#ifdef __SANITIZE_THREAD__
    co->caller_fiber = __tsan_get_current_fiber();
    co->fiber = __tsan_create_fiber(0);
#endif
}

static void co_destroy(struct coroutine *co)
{
#ifdef __SANITIZE_THREAD__
    __tsan_destroy_fiber(co->fiber);
#endif
    munmap(co->stack, co->size);
}

/* Runs to the first park. */
static void co_start(struct coroutine *co, void (*entry)(struct plan *), unsigned kinds, int frames)
{
    co->plan = (struct plan){.random = random64() | 1,
                             .left = frames,
                             .kinds = kinds,
                             .from = &co->context,
                             .to = &co->caller,
                             .before_switch = before_switch,
                             .fiber = co->caller_fiber};
    getcontext(&co->context);
    co->context.uc_stack.ss_sp = co->stack;
    co->context.uc_stack.ss_size = co->size;
    co->context.uc_link = NULL;
    co->entry = entry;
    makecontext(&co->context, test_base, 0);
    co_switch(co);
}

static void co_walk(const struct coroutine *co, struct weft__walk *w)
{
    struct weft__regs regs = weft__regs_of(&co->context);
    uintptr_t lo = (uintptr_t)co->stack;

    weft__walk(w, &regs, lo, lo + co->size, co->stack, true);
}

static size_t judge(struct coroutine *co, uintptr_t *pcs, size_t max)
{
    unw_cursor_t c;
    unw_word_t ip;
    size_t n = 0;

    unw_init_local2(&c, &co->context, UNW_INIT_SIGNAL_FRAME);
    do {
        unw_get_reg(&c, UNW_REG_IP, &ip);
        if (ip == 0)
            break;
        /* Of the frame that a signal came in a walk has one more. */
        pcs[n] = ip + (n > 0 && unw_is_signal_frame(&c) > 0);
        n++;
    } while (n < max && unw_step(&c) > 0);
    return n;
}

/* ---- shapes ---- */

uint32_t plan_next(struct plan *p)
{
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(p->random >> 33);
}

__attribute__((noinline)) static void plain(struct plan *p)
{
    plan_go_on(p);
    p->sink++;
}

static int compare_going_on(const void *a, const void *b)
{
    struct plan *p = current == NULL ? NULL : &current->plan;

    if (p != NULL && p->sink % 2 == 0) {
        p->sink++;
        plan_go_on(p);
    }
    return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) static void through_qsort(struct plan *p)
{
    int a[3] = {3, 1, 2};

    p->sink &= ~1u;
    qsort(a, 3, sizeof a[0], compare_going_on);
    p->sink++;
}

__attribute__((noinline)) static void through_bsearch(struct plan *p)
{
    int a[3] = {1, 2, 3}, key = 2;

    p->sink &= ~1u;
    bsearch(&key, a, 3, sizeof a[0], compare_going_on);
    p->sink++;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvla"
__attribute__((noinline)) static void with_vla(struct plan *p)
{
    volatile char room[1 + plan_next(p) % 500];

    room[0] = 1;
    plan_go_on(p);
    p->sink += (unsigned char)room[0];
}
#pragma GCC diagnostic pop

__attribute__((noinline)) static void with_big_frame(struct plan *p)
{
    volatile char room[9000];

    room[plan_next(p) % sizeof room] = 1;
    plan_go_on(p);
    room[plan_next(p) % sizeof room] = 1;
}

static void on_signal(int sig)
{
    plan_go_on(&current->plan);
    (void)sig;
}

__attribute__((noinline)) static void through_signal(struct plan *p)
{
    raise(SIGUSR1);
    p->sink++;
}

enum { KIND_PLAIN = 1, KIND_ALL = 11 };

void plan_go_on(struct plan *p)
{
    static void (*const shapes[KIND_ALL])(struct plan *) = {
        plain,         nofp_small,      nofp_pushes, nofp_big,       nofp_alloca,    nofp_realigned,
        through_qsort, through_bsearch, with_vla,    with_big_frame, through_signal,
    };

    if (p->left-- > 0)
        shapes[plan_next(p) % p->kinds](p);
    else if (p->left == -1)
        nofp_park(p);
    p->sink += 2;
}

/* ---- the walker ---- */

TEST(random_stacks_agree_with_libunwind)
{
    static struct weft__walk w;
    static uintptr_t pcs[2 * WEFT__WALK_KEEP];
    struct coroutine co;
    size_t frames = 0, n;

    co_init(&co, 512 << 10);
    for (int i = 0; i < (IN_TSAN ? 500 : 10000); i++) {
        co_start(&co, plan_go_on, IN_TSAN ? KIND_ALL - 1 : KIND_ALL, (int)(random64() % 40));
        co_walk(&co, &w);
        n = judge(&co, pcs, sizeof pcs / sizeof pcs[0]);
        if (!w.whole || w.depth != n || memcmp(w.pcs, pcs, n * sizeof pcs[0]) != 0) {
            printf("# stack %d: %u frames, whole %d, libunwind has %zu\n", i, w.depth, w.whole, n);
            for (size_t k = 0; k < n || k < w.kept; k++)
                printf("#   %#14lx %#14lx %s\n", k < w.kept ? w.pcs[k] : 0, k < n ? pcs[k] : 0,
                       weft__symbolize(k < n ? pcs[k] - 1 : w.pcs[k] - 1)->frames[0].function);
            return false;
        }
        frames += n;
        co_switch(&co);
    }
    co_destroy(&co);
    printf("# %zu frames compared\n", frames);
    return true;
}

/* ---- every instruction ---- */

static struct {
    unsigned instructions, whole, wrong;
} steps;

static void on_step(int sig, siginfo_t *info, void *context)
{
    static struct weft__walk w;
    static uintptr_t pcs[WEFT__WALK_KEEP];
    struct coroutine *co = current;
    size_t n;

    (void)sig, (void)info;
    if (co == NULL)
        return;
    memcpy(&co->context.uc_mcontext.gregs, &((ucontext_t *)context)->uc_mcontext.gregs,
           sizeof(gregset_t));
    co_walk(co, &w);
    n = judge(co, pcs, WEFT__WALK_KEEP);
    steps.instructions++;
    steps.whole += w.whole;
    if (w.depth > n || memcmp(w.pcs, pcs, w.depth * sizeof pcs[0]) != 0 ||
        (w.whole && w.depth != n)) {
        if (steps.wrong++ < 5)
            printf("# at %s %#lx: %u frames, libunwind has %zu\n",
                   weft__symbolize(w.pcs[0])->frames[0].function, w.pcs[0], w.depth, n);
    }
}

/* Calls that are not bound yet go through the PLT and the loader's resolver. */
__attribute__((noinline)) static void step_through(struct plan *p)
{
    char text[64];
    int a[5] = {3, 1, 5, 2, 4};

    __asm__ volatile("pushf\n orl $0x100, (%%rsp)\n popf" ::: "memory", "cc");
    snprintf(text, sizeof text, "%d %s %.3f", 42, "steps", 1.5);
    p->sink |= 1;
    qsort(a, 5, sizeof a[0], compare_going_on);
    p->sink += (unsigned)strtoul(text, NULL, 10);
    __asm__ volatile("pushf\n andl $~0x100, (%%rsp)\n popf" ::: "memory", "cc");
}

/* Runs fn of a coroutine with a signal after each instruction. */
static void single_step(void (*fn)(struct plan *), void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t alternate = {.ss_sp = malloc(1 << 20), .ss_size = 1 << 20};
    struct coroutine co;

    memset(&steps, 0, sizeof steps);
    sigaltstack(&alternate, NULL);
    sigaction(SIGTRAP, &sa, NULL);
    co_init(&co, 256 << 10);
    co_start(&co, fn, 1, 0);
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    free(alternate.ss_sp);
    co_destroy(&co);
}

TEST(every_instruction_agrees_with_libunwind)
{
    single_step(step_through, on_step);
    printf("# %u instructions, %u walked whole\n", steps.instructions, steps.whole);
    CHECK(steps.instructions > 500 && steps.wrong == 0);
    CHECK(steps.whole > steps.instructions / 100 * 99);
    return true;
}

/* ---- every instruction, by rules that are not yet known ---- */

/* At each instruction, a walk that misses a rule there is finished from its copy of the stack: also
 * at a function's end, where rules find registers below SP. */
static void on_unlearned_step(int sig, siginfo_t *info, void *context)
{
    static struct weft__deferred held;
    static uintptr_t pcs[WEFT__WALK_KEEP];
    struct coroutine *co = current;
    struct weft__regs regs = weft__regs_of(context);
    uintptr_t lo = co == NULL ? 0 : (uintptr_t)co->stack;
    size_t n;

    (void)sig, (void)info;
    if (co == NULL)
        return;
    memcpy(&co->context.uc_mcontext.gregs, &((ucontext_t *)context)->uc_mcontext.gregs,
           sizeof(gregset_t));
    weft__unwind_forget(regs.pc, regs.pc + 1);
    weft__deferred_begin(&held, &regs, lo, lo + co->size);
    steps.wrong += !held.walk.missed;
    weft__deferred_finish(&held);
    n = judge(co, pcs, WEFT__WALK_KEEP);
    if (n < 3) /* between pushf and popf, of which no CFI knows */
        return;
    steps.instructions++;
    if (!held.walk.whole || held.walk.depth != n || memcmp(held.walk.pcs, pcs, n * 8) != 0) {
        if (steps.wrong++ < 5)
            printf("# at %s %#lx: %u frames, libunwind has %zu\n",
                   weft__symbolize(regs.pc)->frames[0].function, regs.pc, held.walk.depth, n);
    }
}

/* The shapes call nothing more. Two are left out. nofp_realigned: gcc does not end its rules for
 * rbp at the pop. with_big_frame: no copy holds it. Nor does a copy hold nofp_alloca, while clang's
 * probing has SP 4 KiB below the frame. */
__attribute__((noinline)) static void step_through_shapes(struct plan *p)
{
    p->left = -100;
    __asm__ volatile("pushf\n orl $0x100, (%%rsp)\n popf" ::: "memory", "cc");
    nofp_small(p);
    nofp_pushes(p);
    nofp_big(p);
#ifndef __clang__
    nofp_alloca(p);
#endif
    plain(p);
    __asm__ volatile("pushf\n andl $~0x100, (%%rsp)\n popf" ::: "memory", "cc");
}

TEST(every_instruction_is_walked_from_a_copy)
{
    single_step(step_through_shapes, on_unlearned_step);
    printf("# %u instructions\n", steps.instructions);
    CHECK(steps.instructions > 100 && steps.wrong == 0);
    return true;
}

/* ---- every instruction, without any rule ---- */

/* Written by hand, without CFI: one with a frame pointer, and a leaf without a frame. */
void framed_by_hand(void);
extern const char by_hand_end[] __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n"
        ".type framed_by_hand, @function\n"
        "framed_by_hand:\n"
        "push %rbp\n"
        "mov %rsp, %rbp\n"
        "sub $16, %rsp\n"
        "call leaf_by_hand\n"
        "nop\n"
        "leave\n"
        "ret\n"
        ".type leaf_by_hand, @function\n"
        "leaf_by_hand:\n"
        "mov %rsp, %rax\n"
        "add $1, %rax\n"
        "ret\n"
        "by_hand_end:\n"
        ".popsection\n");

/* The stack is that of the C function that calls, whose last step is kept, and one or two frames.
 */
static void on_step_by_hand(int sig, siginfo_t *info, void *context)
{
    static struct weft__walk w, caller;
    struct weft__regs regs = weft__regs_of(context);
    uintptr_t lo = current == NULL ? 0 : (uintptr_t)current->stack;
    uint32_t above;

    (void)sig, (void)info;
    regs.exact = true;
    if (current == NULL)
        return;
    weft__walk(&w, &regs, lo, lo + current->size, (void *)lo, true);
    if (regs.pc < (uintptr_t)framed_by_hand || regs.pc >= (uintptr_t)by_hand_end) {
        caller = w;
        return;
    }
    steps.instructions++;
    above = w.depth - caller.depth;
    if (!w.whole || w.guessed != 1 || above < 1 || above > 2 ||
        memcmp(w.pcs + above + 1, caller.pcs + 1, (caller.depth - 1) * 8) != 0) {
        steps.wrong++;
        printf("# at framed_by_hand+%#lx: %u frames, whole %d\n",
               regs.pc - (uintptr_t)framed_by_hand, w.depth, w.whole);
    }
}

__attribute__((noinline)) static void step_by_hand(struct plan *p)
{
    __asm__ volatile("pushf\n orl $0x100, (%%rsp)\n popf\n nop" ::: "memory", "cc");
    framed_by_hand();
    __asm__ volatile("pushf\n andl $~0x100, (%%rsp)\n popf" ::: "memory", "cc");
    p->sink++;
}

TEST(every_instruction_without_cfi_is_walked_by_guesses)
{
    single_step(step_by_hand, on_step_by_hand);
    CHECK(steps.instructions == 10 && steps.wrong == 0);
    return true;
}

TEST(deep_stack_keeps_both_halves)
{
    static struct weft__walk w;
    static uintptr_t pcs[4096];
    struct coroutine co;
    size_t n;

    co_init(&co, 4 << 20);
    co_start(&co, plan_go_on, KIND_PLAIN, 2000);
    co_walk(&co, &w);
    n = judge(&co, pcs, sizeof pcs / sizeof pcs[0]);
    CHECK(w.whole && w.depth == n && n >= 2000 && w.kept == WEFT__WALK_KEEP);
    CHECK(memcmp(w.pcs, pcs, WEFT__WALK_INNER * sizeof pcs[0]) == 0);
    CHECK(memcmp(w.pcs + WEFT__WALK_INNER, pcs + n - WEFT__WALK_OUTER,
                 WEFT__WALK_OUTER * sizeof pcs[0]) == 0);
    co_switch(&co);
    co_destroy(&co);
    return true;
}

/* Returns a random word, often one that a walk would follow. */
static uintptr_t garbage(uintptr_t lo, size_t size, const uintptr_t *code, size_t n)
{
    uint64_t r = random64();

    switch (r % 8) {
    case 0:
        return random64();
    case 1:
    case 2:
        return lo + (random64() % size & ~(uintptr_t)7);
    case 3:
        return lo + random64() % (2 * size) - size / 2;
    case 4:
        return code[random64() % n] + random64() % 256;
    default:
        return code[random64() % n];
    }
}

TEST(garbage_is_walked_within_bounds)
{
    static struct weft__walk w;
    enum { WORDS = 256, CODE = 4096 };
    static uintptr_t code[CODE];
    struct coroutine co;
    size_t n = 0;
    /* The walker is not instrumented: pages that cannot be read stand where ASan would. */
    char *page = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t *stack = (uintptr_t *)(page + 4096), lo = (uintptr_t)stack;
    size_t size = sizeof(uintptr_t) * WORDS;

    co_init(&co, 512 << 10);
    while (n < CODE) {
        co_start(&co, plan_go_on, IN_TSAN ? KIND_ALL - 1 : KIND_ALL, 30);
        co_walk(&co, &w);
        for (uint32_t i = 0; i < w.kept && n < CODE; i++)
            code[n++] = w.pcs[i];
        co_switch(&co);
    }
    co_destroy(&co);
    mprotect(stack, 4096, PROT_READ | PROT_WRITE);
    /* At the end of the page on odd rounds, at its start on even ones. */
    for (int i = 0; i < (IN_TSAN ? 20000 : 1000000); i++) {
        uintptr_t *at = stack + (i % 2) * (4096 / 8 - WORDS);
        struct weft__regs regs = {.exact = i % 7 == 0};
        lo = (uintptr_t)at;
        for (int k = 0; k < WORDS; k += 1 + i % 4)
            at[k] = garbage(lo, size, code, CODE);
        for (size_t k = 0; k < 8; k++)
            ((uintptr_t *)&regs)[k] = garbage(lo, size, code, CODE);
        regs.known = i % 5;
        weft__walk(&w, &regs, lo, lo + size, at, i % 3);
        CHECK(w.depth >= 1 && w.depth <= WORDS + 1 && w.kept == w.depth);
    }
    munmap(page, 3 * 4096);
    return true;
}

/* Rules from .eh_frame in memory, read by ehframe.c and by libdw. */
static unsigned differing(uintptr_t from, size_t n)
{
    unsigned wrong = 0;

    for (uintptr_t addr = from; addr < from + n; addr++) {
        struct weft__rule learned, read = {.flags = WEFT__RULE_NONE};

        weft__symbolizer_learn(&learned, addr);
        if (!weft__rule_read(&read, addr))
            read = (struct weft__rule){.flags = WEFT__RULE_NONE};
        if (memcmp(&learned, &read, sizeof read) != 0 && wrong++ < 5)
            printf("# %s: flags %u and %u, cfa %d and %d\n",
                   weft__symbolize(addr)->frames[0].function, learned.flags, read.flags,
                   learned.cfa, read.cfa);
    }
    return wrong;
}

TEST(rules_read_in_place_are_those_of_libdw)
{
    CHECK(differing((uintptr_t)plan_go_on & ~(uintptr_t)4095, 8192) == 0);
    CHECK(differing((uintptr_t)qsort - 2048, 8192) == 0);
    CHECK(differing((uintptr_t)dlsym(RTLD_DEFAULT, "raise") - 1024, 4096) == 0); /* restore_rt */
    return true;
}

TEST(missed_walk_resumes_on_a_copy)
{
    static struct weft__walk w, whole;
    struct coroutine co;
    struct weft__regs regs;
    uintptr_t lo;
    char *copy;
    unsigned misses = 0;

    co_init(&co, 256 << 10);
    lo = (uintptr_t)co.stack;
    for (unsigned i = 0; i < 20; i++) {
        co_start(&co, plan_go_on,
                 i == 0    ? KIND_PLAIN
                 : IN_TSAN ? KIND_ALL - 1
                           : KIND_ALL,
                 i == 0 ? 1000 : 20);
        regs = weft__regs_of(&co.context);
        co_walk(&co, &whole);
        if (i > 0)
            weft__unwind_forget(whole.pcs[i % whole.kept] - 1, whole.pcs[i % whole.kept] + 1);
        else /* the entry function's rule: a miss at depth 1000 */
            weft__unwind_forget(whole.pcs[whole.kept - 2] - 1, whole.pcs[whole.kept - 2] + 1);
        weft__walk(&w, &regs, lo, lo + co.size, co.stack, false);
        CHECK(w.missed && !w.whole);
        misses++;
        copy = malloc(co.size);
        memcpy(copy, co.stack, co.size);
        memset(co.stack, 0, (size_t)(regs.sp - lo));
        weft__walk_resume(&w, lo, lo + co.size, copy);
        CHECK(w.whole && !w.missed && w.depth == whole.depth && w.kept == whole.kept);
        CHECK(memcmp(w.pcs, whole.pcs, w.kept * sizeof w.pcs[0]) == 0);
        free(copy);
        co_switch(&co);
    }
    co_destroy(&co);
    return true;
}

TEST(sp_and_pc_are_enough_without_frame_pointers)
{
    static struct weft__walk w, all;
    struct coroutine co;
    struct weft__regs regs;

    co_init(&co, 256 << 10);
    co_start(&co, chain, 1, 30);
    regs = weft__regs_of(&co.context);
    co_walk(&co, &all);
    regs.known = false;
    regs.bp = regs.bx = regs.r12 = regs.r13 = regs.r14 = regs.r15 = 0xdead;
    weft__walk(&w, &regs, (uintptr_t)co.stack, (uintptr_t)co.stack + co.size, co.stack, true);
    CHECK(all.whole && all.depth >= 35 && memcmp(w.pcs, all.pcs, w.kept * sizeof w.pcs[0]) == 0);
    /* The nofp functions and the caller of the last; that one may have a frame pointer. */
    CHECK(w.depth == all.depth ? w.whole : w.depth >= 33 && !w.whole && !w.at.known);
    co_switch(&co);
    co_destroy(&co);
    return true;
}

/* ---- libraries come and go ---- */

static struct reload library;

static void park_in_library(void *p)
{
    nofp_park(p);
}

__attribute__((noinline)) static void through_library(struct plan *p)
{
    library.call(park_in_library, p);
    p->sink++;
}

/* The stack of a coroutine that is parked inside the library. */
static void walk_library(struct coroutine *co, struct weft__walk *w)
{
    co_start(co, through_library, 1, 0);
    co_walk(co, w);
    co_switch(co);
}

TEST(library_in_the_place_of_another_is_walked_by_its_own_rules)
{
    static struct weft__walk w;
    struct coroutine co;
    uintptr_t last = 0;
    unsigned same = 0, depth = 0;

    co_init(&co, 256 << 10);
    for (unsigned i = 0; i < 20; i++) {
        CHECK(reload_open(&library, i % 2));
        walk_library(&co, &w);
        same += library.ret == last;
        last = library.ret;
        depth = i == 0 ? w.depth : depth;
        CHECK(w.whole && w.depth == depth);
        for (unsigned k = 0; k < w.depth; k++) {
            if (w.pcs[k] == last)
                CHECK(strcmp(weft__symbolize(last - 1)->frames[0].function, reload_name(i % 2)) ==
                      0);
        }
        dlclose(library.handle);
    }
    co_destroy(&co);
    printf("# in the same place %u times\n", same);
    CHECK(same > 0);
    return true;
}

/* ---- all at once ---- */

TEST(stop_and_start_again)
{
    static struct weft__walk w;
    struct coroutine co;

    weft__symbolizer_stop();
    weft__symbolizer_stop();
    CHECK(weft__symbolize((uintptr_t)plain)->found); /* starts by itself */
    weft__symbolizer_start();
    weft__symbolizer_start();
    weft__symbolizer_stop();
    weft__unwind_forget(0, UINTPTR_MAX);
    co_init(&co, 256 << 10);
    co_start(&co, plan_go_on, KIND_PLAIN, 5);
    co_walk(&co, &w);
    CHECK(w.whole);
    co_switch(&co);
    co_destroy(&co);
    return true;
}

static void *walk_and_name(void *arg)
{
    struct weft__walk *w = malloc(sizeof *w);
    struct coroutine co;
    uintptr_t text = (uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
    intptr_t errors = 0;
    bool *is_ok = arg;

    co_init(&co, 512 << 10);
    for (unsigned i = 0; i < 200; i++) {
        co_start(&co, plan_go_on, KIND_ALL - 1, 20);
        co_walk(&co, w);
        errors += !w->whole;
        for (uint32_t k = 0; k < w->kept; k++)
            errors += !weft__symbolize(w->pcs[k] - 1)->found;
        weft__symbolize(text + i * 4);
        co_switch(&co);
        if (i % 50 == 49)
            weft__unwind_forget(text, text + 4096);
    }
    co_destroy(&co);
    free(w);
    *is_ok = errors == 0;
    return NULL;
}

TEST(four_threads_at_once)
{
    pthread_t threads[4];
    bool is_ok[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, walk_and_name, &is_ok[i]);
    for (int i = 0; i < 20; i++) {
        usleep(2000);
        weft__symbolizer_stop();
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(is_ok[0] && is_ok[1] && is_ok[2] && is_ok[3]);
    return true;
}

TEST(rules_of_files_that_come_and_go_take_bounded_memory)
{
    const uintptr_t somewhere = 1 << 16; /* no code is there */
    const struct weft__rule r = {.cfa = 8};
    size_t early = 0, late;
    uint32_t before, after;

    weft__symbolizer_stop(); /* which writes the rules else */
    weft__rules_rest = 0;
    before = weft__rules_count(&late);
    for (int round = 0; round < 200; round++) {
        for (uintptr_t i = 0; i < 3000; i++)
            weft__rule_add(somewhere + i, &r);
        weft__rule_drop(somewhere, somewhere + 3000);
        if (round == 20)
            weft__rules_count(&early);
    }
    after = weft__rules_count(&late);
    CHECK(before == after);
    CHECK(early == late);
    return true;
}

int main(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};

    sigaction(SIGUSR1, &sa, NULL);
    RUN(random_stacks_agree_with_libunwind);
    if (!IN_TSAN) { /* which holds signals back */
        RUN(every_instruction_agrees_with_libunwind);
        RUN(every_instruction_is_walked_from_a_copy);
        RUN(every_instruction_without_cfi_is_walked_by_guesses);
    }
    RUN(deep_stack_keeps_both_halves);
    RUN(garbage_is_walked_within_bounds);
    RUN(rules_read_in_place_are_those_of_libdw);
    RUN(missed_walk_resumes_on_a_copy);
    RUN(sp_and_pc_are_enough_without_frame_pointers);
    RUN(library_in_the_place_of_another_is_walked_by_its_own_rules);
    RUN(stop_and_start_again);
    RUN(four_threads_at_once);
    RUN(rules_of_files_that_come_and_go_take_bounded_memory);
    weft__symbolizer_stop();
    return tap_end();
}
