/* SPDX-License-Identifier: MIT */
/* test_stack.c - stacks: guards of each kind, sizes, reuse, and the fallback without membarrier. */
#include "runtime/base/clock.h"
#include "runtime/sched/task.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KB = 1024 };

/* Writes so many bytes of stack, from the far end on; the run's default size is 64 KB. */
__attribute__((noinline)) static void use_stack(size_t bytes)
{
    volatile char *p = __builtin_alloca(bytes);

    for (size_t i = 0; i < bytes; i++)
        p[i] = 1;
    p[bytes - 1] = 1;
}

static void skip_if_instrumented(void)
{
    if (under_asan() || under_tsan())
        SKIP("sanitizers put frames where they like and catch overflows themselves");
}

/* ---- overflow ---- */

/* An instruction hits a guard; the runtime finds a broken canary. */
enum { BY_FAULT = 128 + SIGSEGV };

static void overflow(void *arg)
{
    weft_task_name("deep");
    use_stack(68 * KB);
    weft_yield();
    (void)arg;
}

static int run_overflow(void *arg)
{
    weft_go(overflow, arg);
    weft_chan_recv(NULL, NULL);
    return 0;
}

static void overflow_with(const char *guard)
{
    skip_if_instrumented();
    setenv("WEFT_GUARD", guard, 1);
    weft_run(run_overflow, NULL);
}

TEST_DIES_PLAIN(madvise_guard_catches_an_overflow, BY_FAULT,
                "weft: stack of task 2 \"deep\" exceeds")
{
    overflow_with("madvise");
}

TEST_DIES_PLAIN(mprotect_guard_catches_an_overflow, BY_FAULT,
                "weft: stack of task 2 \"deep\" exceeds")
{
    overflow_with("mprotect");
}

TEST_DIES_PLAIN(canary_catches_an_overflow, 2, "weft: stack of task 2 \"deep\" exceeds")
{
    overflow_with("canary");
}

static void jump(void *arg)
{
    weft_task_name("deep");
    use_stack((size_t)arg);
}

static int run_jump(void *bytes)
{
    go_many(10, jump, bytes);
    weft_chan_recv(NULL, NULL);
    return 0;
}

/* The frame is larger than stack and guard together, so it would end in the next task's stack. */
static void jump_with(const char *guard)
{
    skip_if_instrumented();
    setenv("WEFT_GUARD", guard, 1);
    weft_run(run_jump, (void *)(size_t)(200 * KB));
}

TEST_DIES_PLAIN(frame_beyond_the_guard_is_an_overflow, BY_FAULT, "\"deep\" exceeds its 65536 bytes")
{
    jump_with("madvise");
}

TEST_DIES_PLAIN(frame_beyond_an_mprotect_guard_is_an_overflow, BY_FAULT,
                "\"deep\" exceeds its 65536 bytes")
{
    jump_with("mprotect");
}

TEST(guard_stops_frames_of_up_to_64_kb_of_any_code)
{
    CHECK(weft__stack_guard >= 64 * KB);
}

static void wait_for_ever(void *arg)
{
    weft_chan_recv(arg, NULL);
}

static int overflow_after_many(void *arg)
{
    (void)arg;
    go_many(31000, wait_for_ever, NULL);
    weft_go(overflow, NULL);
    weft_chan_recv(NULL, NULL);
    return 0;
}

TEST_DIES_PLAIN(canary_catches_an_overflow_once_mappings_are_used_up, 2,
                "fatal error: stack overflow")
{
    skip_if_instrumented();
    setenv("WEFT_GUARD", "mprotect", 1);
    setenv("WEFT_TRACEBACK", "none", 1);
    weft_run(overflow_after_many, NULL);
}

TEST_DIES_PLAIN(overflow_is_a_fatal_error_with_size, BY_FAULT, "exceeds its 65536 bytes")
{
    overflow_with("mprotect");
}

TEST_DIES_PLAIN(overflow_is_called_so, BY_FAULT,
                "fatal error: stack overflow\n\nweft: goroutine 2 \"deep\"")
{
    overflow_with("mprotect");
}

/* Recursion without end and with small frames, as a programming error makes it. */
static volatile int deep;

__attribute__((noinline)) static int recurse(int n)
{
    return deep ? recurse(n + 1) + 1 : n;
}

TEST_DIES(endless_recursion_is_an_overflow, BY_FAULT, "fatal error: stack overflow")
{
    skip_if_instrumented();
    deep = 1;
    recurse(0);
}

/* ---- sizes and reuse ---- */

static atomic_int done;

static void use(void *bytes)
{
    use_stack((size_t)bytes);
    weft_yield();
    use_stack((size_t)bytes);
    atomic_fetch_add(&done, 1);
}

TEST(default_stack_holds_most_of_64_kb)
{
    for (int i = 1; i <= 20; i++) {
        go_many(50, use, (void *)(56 * (size_t)KB));
        wait_for(&done, 50 * i);
    }
}

TEST(task_may_have_a_stack_of_its_own_size)
{
    weft_go_options big = {.stack_size = 1000 * KB}, small = {.stack_size = 1};

    for (int i = 1; i <= 20; i++) {
        weft_go_with(&big, use, (void *)(950 * (size_t)KB));
        weft_go_with(&small, use, (void *)(size_t)(under_asan() || under_tsan() ? 512 : 4 * KB));
        weft_go(use, (void *)(50 * (size_t)KB));
        wait_for(&done, 3 * i);
    }
}

static int use_much(void *arg)
{
    (void)arg;
    use_stack(400 * KB);
    go_many(10, use, (void *)(400 * (size_t)KB));
    wait_for(&done, 10);
    return 0;
}

TEST_PLAIN(run_may_have_stacks_of_another_size)
{
    weft_run_options big = {.stack_size = 450 * KB};

    CHECK_EQ(weft_run_with(&big, use_much, NULL), 0);
    atomic_store(&done, 0);
    CHECK_EQ(weft_run_with(&big, use_much, NULL), 0);
}

static size_t own_stack(void)
{
    size_t slot = 0;

    while (weft__tasks_at((uint32_t)slot)->id != weft_task_id())
        slot++;
    return weft__tasks_at((uint32_t)slot)->ctx.hi - weft__tasks_at((uint32_t)slot)->ctx.lo;
}

static int same_stack_as(void *bytes)
{
    CHECK_EQ(own_stack(), (size_t)bytes);
    return 0;
}

TEST_PLAIN(size_of_one_run_is_not_that_of_the_next)
{
    weft_run_options big = {.stack_size = 450 * KB - 5}, small = {.stack_size = 1};
    size_t usual = under_asan() || under_tsan() ? 256 * KB : 64 * KB;

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_run_with(&big, same_stack_as, (void *)(size_t)(452 * KB)), 0);
        CHECK_EQ(weft_run(same_stack_as, (void *)usual), 0);
        if (!under_asan() && !under_tsan())
            CHECK_EQ(weft_run_with(&small, same_stack_as, (void *)(size_t)(16 * KB)), 0);
    }
}

static void run_with_stack(size_t size)
{
    weft_run_options o = {.stack_size = size};

    weft_run_with(&o, same_stack_as, NULL);
}

TEST_DIES_PLAIN(run_with_a_stack_of_any_size_panics, 2,
                "panic: weft: weft_run_with with stack_size")
{
    run_with_stack(SIZE_MAX);
}

TEST_DIES_PLAIN(run_with_more_than_16_gib_panics, 2, "stack_size 17179869185: at most 17179869184")
{
    run_with_stack(((size_t)16 << 30) + 1);
}

TEST_DIES(task_with_a_stack_of_any_size_panics, 2, "panic: weft: weft_go_with with stack_size")
{
    weft_go_options o = {.stack_size = SIZE_MAX - 4096};

    weft_go_with(&o, wait_for_ever, NULL);
}

/* ---- where they lie ---- */

/* Returns slots, from first on, whose stacks are at equal distances, so in one slab. */
static uint32_t stacks_in_a_row(uint32_t first)
{
    uintptr_t at = weft__tasks_at(first)->ctx.lo;
    uint32_t n = 1;

    while (first + n < weft__tasks_slots() &&
           weft__tasks_at(first + n)->ctx.lo == at + n * (weft__stack_size + weft__stack_guard))
        n++;
    return n;
}

/* See the head of task.c: a hypervisor that shadows page tables. */
TEST(stacks_made_at_once_take_two_page_tables)
{
    uintptr_t from, to;
    uint32_t n;

    skip_if_instrumented();
    go_many(500, wait_for_ever, NULL);
    for (uint32_t i = 0; i < weft__tasks_slots(); i += n) {
        n = stacks_in_a_row(i);
        CHECK(n >= 32);
        from = weft__tasks_at(i)->ctx.lo - weft__stack_guard;
        to = weft__tasks_at(i + n - 1)->ctx.hi - 1;
        CHECK(to / WEFT__TABLE - from / WEFT__TABLE < 2);
    }
}

TEST(records_of_many_tasks_lie_apart_from_their_stacks)
{
    uint32_t last;
    uintptr_t records;

    skip_if_instrumented();
    go_many(10000, wait_for_ever, NULL);
    last = weft__tasks_slots() - 1;
    records = (uintptr_t)weft__tasks_at(last) / WEFT__TABLES;
    for (uint32_t i = 0; i <= last; i++)
        CHECK(weft__tasks_at(i)->ctx.lo / WEFT__TABLES != records);
}

/* ---- what each kind of guard must not break ---- */

static void ping(void *arg)
{
    weft_chan **c = arg;

    while (weft_chan_recv(c[0], NULL) == 0)
        weft_chan_send(c[1], NULL);
    atomic_fetch_add(&done, 1);
}

static int work_a_bit(void *arg)
{
    weft_chan *c[2] = {weft_chan_new(0, 0), weft_chan_new(0, 0)};
    weft_go_options big = {.stack_size = 300 * KB};
    int before = atomic_load(&done);

    (void)arg;
    weft_go_with(&big, ping, c);
    for (int i = 0; i < 100; i++) {
        weft_go(use, (void *)(40 * (size_t)KB));
        CHECK_EQ(weft_chan_send(c[0], NULL), 0);
        CHECK_EQ(weft_chan_recv(c[1], NULL), 0);
    }
    weft_chan_close(c[0]);
    wait_for(&done, before + 101);
    weft_chan_free(c[0]);
    weft_chan_free(c[1]);
    return 0;
}

static void work_with(const char *name, const char *value)
{
    setenv(name, value, 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_run(work_a_bit, NULL), 0);
}

TEST_PLAIN(tasks_run_with_madvise_guards)
{
    work_with("WEFT_GUARD", "madvise");
}

TEST_PLAIN(tasks_run_with_mprotect_guards)
{
    work_with("WEFT_GUARD", "mprotect");
}

TEST_PLAIN(tasks_run_with_canaries)
{
    work_with("WEFT_GUARD", "canary");
}

TEST_PLAIN(tasks_run_without_membarrier)
{
    work_with("WEFT_MEMBARRIER", "0");
}

static void end_at_once(void *arg)
{
    (void)arg;
    atomic_fetch_add(&done, 1);
}

/* Acts as if hours passed: each stack that no task used in two sweeps goes. */
static void trim_all(void)
{
    static int64_t now;

    if (now == 0)
        now = weft__mono(); /* the monitor may have swept already, at the real time */
    for (int i = 0; i < 3000; i++)
        weft__tasks_trim(now += 11 * WEFT_SECOND);
}

static atomic_int waiting;

static void wait_at(void *gate)
{
    atomic_fetch_add(&waiting, 1);
    weft_chan_recv(gate, NULL);
    atomic_fetch_add(&done, 1);
}

static int trim_in_between(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 3; i++) {
        go_many(3000, end_at_once, NULL);
        wait_for(&done, 3000 * i);
        trim_all();
    }
    return 0;
}

static struct weft__census census(void)
{
    struct weft__census c;

    weft__tasks_count(&c);
    return c;
}

static size_t resident(void)
{
    size_t all, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    CHECK(f && fscanf(f, "%zu %zu", &all, &pages) == 2);
    fclose(f);
    return pages * 4096;
}

static int burst(void *arg)
{
    enum { MANY = 4000 };
    size_t idle, before, kept = (size_t)(256 + 256 * weft_procs() + 64) * 4096;
    weft_chan *gate = weft_chan_new(0, 0);

    go_many(MANY, wait_at, gate);
    wait_for(&waiting, MANY);
    weft_chan_close(gate);
    wait_for(&done, MANY);
    while (census().states[WEFT__IDLE] < MANY)
        weft_yield();
    idle = census().idle_stacks; /* the monitor may have begun, on a slow machine */
    before = resident();
    trim_all();
    CHECK(census().idle_stacks <= kept);
    CHECK(idle <= kept || before - resident() >= (idle - kept) * 9 / 10);
    return arg != NULL;
}

TEST_PLAIN(memory_of_a_burst_of_tasks_goes_back)
{
    CHECK_EQ(weft_run(burst, NULL), 0);
}

TEST_PLAIN(canaries_outlive_a_trim)
{
    setenv("WEFT_GUARD", "canary", 1);
    CHECK_EQ(weft_run(trim_in_between, NULL), 0);
}
