/* SPDX-License-Identifier: MIT */
/* test_rows.c - the unwind rules of whole files, against libunwind, and by CPU samples.
 *
 * libunwind judges each rule alone: from made-up registers on a made-up stack, both take one step,
 * at an instruction that need not run. */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <zlib.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "profiles/walk/deferred.h"
#include "profiles/walk/ehframe.h"
#include "profiles/walk/learn.h"
#include "profiles/walk/rows.h"
#include "profiles/walk/symbolize.h"
#include "profiles/walk/unwind.h"
#include "reload.h"
#include "tap.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
enum { IN_TSAN = 1 };
#else
enum { IN_TSAN = 0 };
#endif

static const char *const libraries[] = {"libc.so.6", "libcrypto.so.3", "libz.so.1",
                                        "libsqlite3.so.0", "libstdc++.so.6"};
enum { LIBRARIES = sizeof libraries / sizeof libraries[0] };

static void *handles[LIBRARIES]; /* NULL: it is not installed */

static void open_all(void)
{
    for (int i = 0; i < LIBRARIES; i++) {
        handles[i] = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
        if (handles[i] == NULL)
            printf("# without %s\n", libraries[i]);
    }
}

/* Returns an address in the code of library i; 0 if it is not there. */
static uintptr_t address_in(int i)
{
    static const char *const functions[LIBRARIES] = {"qsort", "SHA256", "deflate", "sqlite3_exec",
                                                     "__cxa_throw"};

    return handles[i] == NULL ? 0 : (uintptr_t)dlsym(handles[i], functions[i]);
}

/* ---- a step by libunwind and by rows ---- */

enum { WORDS = 1 << 17, SP_AT = 1 << 13 };

static uintptr_t *stack;

/* Each word is an address in the stack, and no two are the same: so a rule that reads a frame's
 * address finds one, a wrong word is noticed, and no word is an address of code. */
static void make_stack(void)
{
    stack = mmap(NULL, WORDS * sizeof *stack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    for (size_t i = 0; i < WORDS; i++)
        stack[i] = (uintptr_t)(stack + (i + 2048) % WORDS);
}

static struct weft__regs registers_at(uintptr_t pc)
{
    const uintptr_t sp = (uintptr_t)(stack + SP_AT);

    return (struct weft__regs){.pc = pc,
                               .sp = sp,
                               .bp = sp + 0x4000,
                               .bx = sp + 0x5000,
                               .r12 = sp + 0x6000,
                               .r13 = sp + 0x7000,
                               .r14 = sp + 0x8000,
                               .r15 = sp + 0x9000,
                               .known = true,
                               .exact = true};
}

/* Returns what unw_step returns; regs receives the caller's. */
static int step_by_libunwind(struct weft__regs *regs)
{
    static ucontext_t context;
    greg_t *g = context.uc_mcontext.gregs;
    unw_cursor_t cursor;
    int rc;

    memset(&context, 0, sizeof context);
    g[REG_RIP] = (greg_t)regs->pc;
    g[REG_RSP] = (greg_t)regs->sp;
    g[REG_RBP] = (greg_t)regs->bp;
    g[REG_RBX] = (greg_t)regs->bx;
    g[REG_R12] = (greg_t)regs->r12;
    g[REG_R13] = (greg_t)regs->r13;
    g[REG_R14] = (greg_t)regs->r14;
    g[REG_R15] = (greg_t)regs->r15;
    unw_init_local2(&cursor, &context, UNW_INIT_SIGNAL_FRAME);
    rc = unw_step(&cursor);
    if (rc <= 0)
        return rc;
    unw_get_reg(&cursor, UNW_REG_IP, &regs->pc);
    unw_get_reg(&cursor, UNW_REG_SP, &regs->sp);
    unw_get_reg(&cursor, UNW_X86_64_RBP, &regs->bp);
    unw_get_reg(&cursor, UNW_X86_64_RBX, &regs->bx);
    unw_get_reg(&cursor, UNW_X86_64_R12, &regs->r12);
    unw_get_reg(&cursor, UNW_X86_64_R13, &regs->r13);
    unw_get_reg(&cursor, UNW_X86_64_R14, &regs->r14);
    unw_get_reg(&cursor, UNW_X86_64_R15, &regs->r15);
    return rc;
}

static bool same(uint8_t known, int reg, uintptr_t a, uintptr_t b)
{
    return !(known >> reg & 1) || a == b;
}

static bool agree(const struct weft__walk *w, const struct weft__regs *u)
{
    uint8_t known = w->at_known;

    return w->at.pc == u->pc && w->at.sp == u->sp && same(known, WEFT__REG_BP, w->at.bp, u->bp) &&
           same(known, WEFT__REG_BX, w->at.bx, u->bx) &&
           same(known, WEFT__REG_R12, w->at.r12, u->r12) &&
           same(known, WEFT__REG_R13, w->at.r13, u->r13) &&
           same(known, WEFT__REG_R14, w->at.r14, u->r14) &&
           same(known, WEFT__REG_R15, w->at.r15, u->r15);
}

static struct {
    unsigned long steps, ends, without, unlike, missed;
} seen;

static void compare_at(uintptr_t pc)
{
    static struct weft__walk w;
    struct weft__regs regs = registers_at(pc), theirs = regs;
    struct weft__rule r;
    int rc;

    if (!weft__rule_find(&r, pc)) {
        seen.missed++;
        return;
    }
    weft__walk(&w, &regs, (uintptr_t)stack, (uintptr_t)(stack + WORDS), stack, false);
    seen.missed += w.missed;
    if (r.flags & WEFT__RULE_NONE) {
        seen.without++;
        return;
    }
    rc = step_by_libunwind(&theirs);
    seen.ends += (r.flags & WEFT__RULE_END) != 0;
    seen.steps++;
    if (r.flags & WEFT__RULE_END ? rc <= 0 : rc > 0 && w.depth == 2 && agree(&w, &theirs))
        return;
    if (seen.unlike++ < 10)
        printf("# at %#lx (%s): depth %u, %d by libunwind; pc %#lx %#lx sp %#lx %#lx\n", pc,
               weft__symbolize(pc)->frames[0].function, w.depth, rc, w.at.pc, theirs.pc, w.at.sp,
               theirs.sp);
}

static unsigned long every; /* compares one row of so many */
static unsigned long turn;
static uintptr_t last_pc;

static void on_row(void *arg, uintptr_t pc, const struct weft__rule *r)
{
    (void)arg, (void)r;
    if (turn++ % every == 0) {
        compare_at(pc);
        compare_at(last_pc + (pc - last_pc) / 2);
        compare_at(pc - 1);
    }
    last_pc = pc;
}

/* Compares at the beginning, the middle and the end of each row of a library. */
static void compare_library(int i)
{
    struct dl_find_object o;
    struct weft__cfi cfi;
    uintptr_t addr = address_in(i);

    if (addr == 0 || _dl_find_object((void *)addr, &o) != 0 ||
        !weft__cfi_copy(&cfi, o.dlfo_eh_frame))
        return;
    last_pc = (uintptr_t)o.dlfo_map_start;
    for (uint32_t f = 0; f < cfi.n; f++)
        weft__cfi_rows(&cfi, f, on_row, NULL);
    weft__cfi_free(&cfi);
    printf("# %s: %lu steps, %lu ends, %lu without a rule, %lu missed\n", libraries[i], seen.steps,
           seen.ends, seen.without, seen.missed);
}

TEST(every_row_agrees_with_libunwind)
{
    const char *wanted = getenv("WEFT_TEST_ROWS"); /* one row of so many */

    every = wanted != NULL ? strtoul(wanted, NULL, 10) : IN_TSAN ? 41 : 1;
    make_stack();
    for (int i = 0; i < LIBRARIES; i++)
        compare_library(i);
    CHECK(seen.unlike == 0 && seen.missed == 0);
    CHECK(seen.steps > 100000 / every);
    return true;
}

/* ---- cost ---- */

static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Returns the ns of a lookup in the n bytes from addr on, a power of 2; the best of ten rounds. */
static double lookup_ns(uintptr_t addr, size_t n)
{
    enum { LOOKUPS = 100000 };
    size_t found = 0;
    double best = 1e9;

    for (int round = 0; round < 10; round++) {
        double before = cpu_ms(), ns;
        for (size_t i = 0; i < LOOKUPS; i++)
            found += weft__rows_find(addr + (i * 1000003 & (n - 1))) != NULL;
        ns = (cpu_ms() - before) * 1e6 / LOOKUPS;
        best = ns < best ? ns : best;
    }
    CHECK(found > 0);
    return best;
}

static void print_lookups(void)
{
    uintptr_t addr = address_in(1);

    if (addr != 0)
        printf("# %.1f ns for a rule of libcrypto, %.1f for one of a function\n",
               lookup_ns(addr - (1 << 20), 1 << 21), lookup_ns(addr, 256));
}

TEST(all_files_are_learned)
{
    double before = cpu_ms(), spent;
    uint32_t rows;
    size_t bytes;

    weft__symbolizer_settle();
    spent = cpu_ms() - before;
    rows = weft__rows_count(&bytes);
    printf("# %u rows, %zu bytes, %.1f ms of CPU\n", rows, bytes, spent);
    for (int i = 0; i < LIBRARIES; i++)
        CHECK(handles[i] == NULL || weft__rows_find(address_in(i)) != NULL);
    CHECK(weft__rows_find((uintptr_t)cpu_ms) != NULL);
    print_lookups();
    CHECK(rows > 10000 && bytes < (size_t)rows * 10 + (64 << 10));
    return true;
}

/* ---- CPU samples ---- */

static struct {
    uintptr_t lo, hi; /* the thread's stack */
    volatile unsigned taken, leaves_unknown, missed, cut, guessed;
} samples;

static void on_sample(int signo, siginfo_t *info, void *context)
{
    static struct weft__walk w;
    struct weft__regs regs = weft__regs_of(context);

    (void)signo, (void)info;
    regs.exact = true;
    weft__walk(&w, &regs, samples.lo, samples.hi, (const void *)samples.lo, false);
    samples.taken++;
    samples.missed += w.missed;
    samples.leaves_unknown += w.missed && w.depth == 1;
    samples.cut += !w.whole;
    samples.guessed += w.guessed != UINT32_MAX;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Each kind of work takes some milliseconds. */
static void work_sort(void)
{
    static int numbers[20000];

    for (int i = 0; i < 20000; i++)
        numbers[i] = (int)((unsigned)i * 2654435761u >> 1);
    qsort(numbers, 20000, sizeof numbers[0], compare_ints);
}

static void work_print(void)
{
    char text[100];

    for (int i = 0; i < 5000; i++)
        snprintf(text, sizeof text, "%d %s %.3f", i, "of many", i / 7.0);
}

static unsigned char piece[1 << 16];

static void work_hash(void)
{
    typedef unsigned char *hash_fn(const unsigned char *, size_t, unsigned char *);
    hash_fn *hash = (hash_fn *)address_in(1);
    unsigned char out[32];

    for (int i = 0; hash != NULL && i < 40; i++)
        hash(piece, sizeof piece, out);
}

static void work_compress(void)
{
    static unsigned char out[1 << 17];
    uLongf n = sizeof out;

    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (unsigned char)(i * i >> 7);
    compress2(out, &n, piece, sizeof piece, 6);
}

static void work_query(void)
{
    typedef int open_fn(const char *, void **), close_fn(void *);
    typedef int exec_fn(void *, const char *, void *, void *, char **);
    exec_fn *exec = (exec_fn *)address_in(3);
    void *db;

    if (exec == NULL)
        return;
    ((open_fn *)(uintptr_t)dlsym(handles[3], "sqlite3_open"))(":memory:", &db);
    exec(db,
         "create table t (a integer, b text); with recursive n(i) as (select 1 union all select "
         "i + 1 from n where i < 3000) insert into t select i * 7919 % 3001, hex(i) from n; create "
         "index ta on t(a); select b, count(*) from t where a > 100 group by b order by b desc;",
         NULL, NULL, NULL);
    ((close_fn *)(uintptr_t)dlsym(handles[3], "sqlite3_close"))(db);
}

static void find_stack(void)
{
    pthread_attr_t attr;
    void *at;
    size_t size;

    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &at, &size);
    pthread_attr_destroy(&attr);
    samples.lo = (uintptr_t)at;
    samples.hi = (uintptr_t)at + size;
}

static timer_t start_timer(int signo)
{
    const struct itimerspec every_ms = {.it_interval = {0, 1000000}, .it_value = {0, 1000000}};
    struct sigevent to_me = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signo};
    timer_t timer;

    to_me._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    timer_create(CLOCK_MONOTONIC, &to_me, &timer);
    timer_settime(timer, 0, &every_ms, NULL);
    return timer;
}

/* Takes n samples of all kinds of work in turn. */
static void take_samples(unsigned n)
{
    static void (*const work[])(void) = {work_sort, work_print, work_hash, work_compress,
                                         work_query};
    struct sigaction sa = {.sa_sigaction = on_sample, .sa_flags = SA_SIGINFO | SA_RESTART}, old;
    timer_t timer;

    find_stack();
    sigaction(SIGUSR1, &sa, &old);
    timer = start_timer(SIGUSR1);
    for (unsigned i = 0; samples.taken < n; i++)
        work[i % (sizeof work / sizeof work[0])]();
    timer_delete(timer);
    sigaction(SIGUSR1, &old, NULL);
}

/* From the first block on, since all files are learned. */
TEST(leaves_of_cpu_samples_are_known)
{
    take_samples(500);
    printf("# of %u samples %u leaves unknown, %u missed, %u cut, %u guessed\n", samples.taken,
           samples.leaves_unknown, samples.missed, samples.cut, samples.guessed);
    CHECK(samples.leaves_unknown * 100 <= samples.taken && samples.missed * 100 <= samples.taken);
    CHECK(samples.cut * 100 <= samples.taken);
    return true;
}

/* ---- code without .eh_frame ---- */

static void walk_here(void *arg)
{
    struct weft__deferred *held = arg;
    ucontext_t here;
    struct weft__regs regs;

    getcontext(&here);
    regs = weft__regs_of(&here);
    weft__deferred_begin(held, &regs, samples.lo, samples.hi);
}

/* Only libdw has rules for it. So a walk misses them, and is finished, and the next finds them. */
TEST(code_with_a_debug_frame_alone_is_learned_by_walks)
{
    static struct weft__deferred first, second;
    void *handle = dlopen(BARE, RTLD_NOW | RTLD_LOCAL);
    void (*call)(void (*)(void *), void *);

    CHECK(handle != NULL);
    call = (void (*)(void (*)(void *), void *))(uintptr_t)dlsym(handle, "bare_call");
    weft__symbolizer_settle();
    find_stack();
    call(walk_here, &first);
    CHECK(first.walk.missed && first.walk.depth == 2);
    weft__deferred_finish(&first);
    CHECK(first.walk.whole && first.walk.guessed == UINT32_MAX);
    call(walk_here, &second);
    CHECK(!second.walk.missed && second.walk.whole && second.walk.depth == first.walk.depth);
    dlclose(handle);
    return true;
}

/* ---- files that come and go ---- */

static struct reload library;

static bool knows_library(void)
{
    struct weft__rule r;

    return weft__rule_find(&r, library.ret) && !(r.flags & WEFT__RULE_NONE);
}

TEST(block_goes_with_its_file)
{
    uint32_t before, with, after;
    size_t early = 0, late;

    weft__symbolizer_look();
    before = weft__rows_count(&late);
    weft__rows_rest = 0;
    for (int i = 0; i < 200; i++) {
        CHECK(reload_open(&library, i % 2));
        weft__symbolizer_settle();
        with = weft__rows_count(&late);
        CHECK(with > before && knows_library());
        dlclose(library.handle);
        weft__symbolizer_look();
        after = weft__rows_count(&late);
        CHECK(after == before && !knows_library());
        early = i == 1 ? late : early; /* the rules of both files are there */
    }
    CHECK(late == early);
    return true;
}

/* Finds rules while files come and go. */
static void *find_rules(void *stop)
{
    uintptr_t addr = (uintptr_t)cpu_ms, found = 0, other = 0;

    do {
        found += weft__rows_find(addr) != NULL;
        other += weft__rows_find(library.ret) != NULL;
        other += weft__rows_find(addr + other % 4096) != NULL;
    } while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED));
    return found > 0 ? stop : NULL;
}

TEST(rules_are_found_while_files_come_and_go)
{
    pthread_t threads[2];
    bool stop = false;
    void *found;

    CHECK(reload_open(&library, false));
    dlclose(library.handle);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, find_rules, &stop);
    for (int i = 0; i < 100; i++) {
        void *handle = dlopen(i % 2 ? RELOAD_SECOND : RELOAD_FIRST, RTLD_NOW | RTLD_LOCAL);
        weft__symbolizer_settle();
        dlclose(handle);
        weft__symbolizer_look();
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &found);
        CHECK(found != NULL);
    }
    return true;
}

static void wait_for_rows(uintptr_t addr)
{
    while (weft__rows_find(addr) == NULL)
        usleep(1000);
}

TEST(files_are_learned_in_the_background)
{
    void *handle;

    if (handles[3] != NULL) { /* else all is known already */
        dlclose(handles[3]);
        weft__symbolizer_look();
        handles[3] = dlopen(libraries[3], RTLD_NOW | RTLD_LOCAL);
    }
    weft__symbolizer_begin();
    for (int i = 0; i < LIBRARIES; i++) {
        if (handles[i] != NULL)
            wait_for_rows(address_in(i));
    }
    handle = dlopen(RELOAD_FIRST, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle != NULL);
    weft__symbolizer_look();
    wait_for_rows((uintptr_t)dlsym(handle, "reload_call"));
    dlclose(handle);
    weft__symbolizer_stop();
    return true;
}

static void fork_once(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
}

/* Learning goes on in the background, and stops at any time. */
TEST(learning_that_was_stopped_is_begun_again)
{
    uint32_t all, rows, without = 0;
    size_t bytes;

    weft__symbolizer_look();
    all = weft__rows_count(&bytes);
    for (int i = 0; handles[3] != NULL && i < 40; i++) {
        dlclose(handles[3]);
        weft__symbolizer_look();
        without += weft__rows_count(&bytes) < all;
        handles[3] = dlopen(libraries[3], RTLD_NOW | RTLD_LOCAL);
        weft__symbolizer_begin();
        for (int k = 0; k < i * 4; k++)
            sched_yield();
        if (i % 10 == 0)
            fork_once();
        weft__symbolizer_stop();
    }
    weft__symbolizer_settle();
    rows = weft__rows_count(&bytes);
    printf("# forgotten %u times\n", without);
    CHECK(rows == all);
    return true;
}

int main(void)
{
    open_all();
    RUN(all_files_are_learned);
    if (!IN_TSAN) /* which holds signals back */
        RUN(leaves_of_cpu_samples_are_known);
    RUN(every_row_agrees_with_libunwind);
    RUN(code_with_a_debug_frame_alone_is_learned_by_walks);
    RUN(block_goes_with_its_file);
    RUN(rules_are_found_while_files_come_and_go);
    RUN(files_are_learned_in_the_background);
    RUN(learning_that_was_stopped_is_begun_again);
    weft__symbolizer_stop();
    return tap_end();
}
