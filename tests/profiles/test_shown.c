/* SPDX-License-Identifier: MIT */
/* test_shown.c - dumps of tasks that do not wait in the runtime; taking a dump disturbs no task. */
#include "support.h"

#include "runtime/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { MS = 1000000, LASTS = 1500 /* ms, of a call */ };

static atomic_int begun, ended, stop, thread;
static int hole[2];

/* ---- stacks that go ---- */

static void short_lived(void *arg)
{
    weft_yield();
    atomic_fetch_add(&ended, 1);
    (void)arg;
}

static int churn(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        for (int i = 0; i < 8; i++)
            weft_go_with(&(weft_go_options){.stack_size = 128 << 10}, short_lived, NULL);
        weft_yield();
    }
    return 0;
}

TEST(stacks_of_their_own_size_go_while_dumps_are_taken)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, churn, NULL);
    for (int i = 0; i < 300; i++)
        free(dump_text(WEFT_DUMP_TASKS));
    atomic_store(&stop, 1);
    CHECK_EQ(weft_group_wait(&g), 0);
}

/* ---- tasks in user code ---- */

NOINLINE void spins_here(void *arg);
NOINLINE void sleeps_here(void *arg);
NOINLINE void polls_here(void *arg);
NOINLINE void reads_here(void *arg);
NOINLINE void reads_declared_here(void *arg);

NOINLINE void spins_here(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    while (!atomic_load(&stop))
        ;
    atomic_fetch_add(&ended, 1);
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* One long sleep, and no remainder: it was not cut short. */
NOINLINE void sleeps_here(void *arg)
{
    struct timespec time = {LASTS / 1000, LASTS % 1000 * MS};
    int64_t start = now_ns();

    (void)arg;
    atomic_store(&thread, gettid());
    atomic_fetch_add(&begun, 1);
    CHECK_EQ(nanosleep(&time, NULL), 0);
    CHECK(now_ns() - start >= (int64_t)LASTS * MS);
    atomic_fetch_add(&ended, 1);
}

NOINLINE void polls_here(void *arg)
{
    struct pollfd fd = {.fd = hole[0], .events = POLLPRI};
    int64_t start = now_ns();

    (void)arg;
    atomic_store(&thread, gettid());
    atomic_fetch_add(&begun, 1);
    CHECK_EQ(poll(&fd, 1, LASTS), 0);
    CHECK(now_ns() - start >= (int64_t)LASTS * MS);
    atomic_fetch_add(&ended, 1);
}

static NOINLINE void read_one(void *arg)
{
    char byte;

    (void)arg;
    atomic_store(&thread, gettid());
    atomic_fetch_add(&begun, 1);
    CHECK_EQ(read(hole[0], &byte, 1), 1);
    atomic_fetch_add(&ended, 1);
}

NOINLINE void reads_here(void *arg)
{
    read_one(arg);
    __asm__ volatile("");
}

NOINLINE void reads_declared_here(void *arg)
{
    weft_blocking(read_one, arg);
    __asm__ volatile("");
}

/* Returns the block of the one task with this frame, NULL if there is none. Cuts off the rest of
 * text. */
static char *block_with(char *text, const char *frame)
{
    char *at = strstr(text, frame), *end;

    if (!at)
        return NULL;
    end = strstr(at, "\n\n");
    if (end)
        *end = '\0';
    while (at > text && strncmp(at, "\n\n", 2) != 0)
        at--;
    return at == text ? at : at + 2;
}

static bool shows(char *text, const char *frame, const char *state)
{
    char *block = block_with(text, frame);

    return block && strstr(block, state) && strchr(block, '\n') > strstr(block, state);
}

static bool is_shown(const char *frame, const char *state)
{
    char *text = dump_text(WEFT_DUMP_TASKS);
    bool shown = shows(text, frame, state);

    free(text);
    return shown;
}

/* Returns the same block, which must exist. */
static void check_shown(const char *frame, const char *state)
{
    char *text = dump_text(WEFT_DUMP_TASKS), *copy = strdup(text);

    if (!shows(copy, frame, state))
        FAIL("no %s with %s in:\n%s", frame, state, text);
    free(copy);
    free(text);
}

/* Returns the number of the call in which the thread sits, by the kernel; -1 if it runs. */
static int call_of(int tid)
{
    char path[64];
    int nr = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
    f = fopen(path, "r");
    CHECK(f != NULL);
    if (fscanf(f, "%d", &nr) != 1)
        nr = -1;
    fclose(f);
    return nr;
}

/* Dumps have a task's frames once it sits in its call, or spins (call is -1). From then on every
 * dump must have them. */
static void stays_shown(weft_task_fn *fn, int call, const char *frame, const char *state)
{
    weft_go(fn, NULL);
    wait_for(&begun, 1);
    while (!is_shown(frame, state))
        weft_yield();
    for (int i = 0; i < 20; i++) {
        while (call >= 0 && call_of(atomic_load(&thread)) != call)
            weft_yield();
        check_shown(frame, state);
    }
}

TEST(spinning_task_is_running)
{
    if (under_tsan())
        SKIP("TSan keeps signals back from a thread that makes no call");
    stays_shown(spins_here, -1, "\nspins_here(", " [running]:");
    atomic_store(&stop, 1);
    wait_for(&ended, 1);
}

/* Most of the time it is in the C library, in functions that begin and end a million times a
 * second. */
NOINLINE void computes_here(void *arg);
NOINLINE void computes_here(void *arg)
{
    char text[64];

    (void)arg;
    while (!atomic_load(&stop)) {
        snprintf(text, sizeof(text), "%f %d %s", 1.5, 42, "text");
        free(malloc(strlen(text) * 40));
        __asm__ volatile("" ::: "memory");
    }
    atomic_fetch_add(&ended, 1);
}

NOINLINE void starts_it(void);
NOINLINE void starts_it(void)
{
    weft_go(computes_here, NULL);
    __asm__ volatile("");
}

/* Returns whether a dump has the task, with its own function if it has a stack at all. */
static bool has_its_callers(void)
{
    char *text = dump_text(WEFT_DUMP_TASKS), *block = block_with(text, "created by starts_it");
    bool has = block && (strstr(block, "\ncomputes_here(") || strstr(block, "\n?\?(...)"));

    if (!has)
        printf("%s\n", block ? block : text);
    free(text);
    return has;
}

TEST(computing_task_has_its_callers_at_any_instruction)
{
    if (under_tsan())
        SKIP("TSan keeps signals back from a thread that makes no call");
    if (under_asan())
        SKIP("a frame of ASan's vsnprintf is larger than the copy that a handler keeps of a stack");
    starts_it();
    for (int i = 0; i < 50; i++) {
        CHECK(has_its_callers());
        weft_sleep(i % 7 * MS / 10);
    }
    atomic_store(&stop, 1);
    wait_for(&ended, 1);
}

static atomic_int signals;

static void count_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&signals, 1);
}

TEST(program_with_a_handler_for_sigurg_gets_none_from_dumps)
{
    signal(SIGURG, count_signal);
    weft_go(spins_here, NULL);
    wait_for(&begun, 1);
    free(dump_text(WEFT_DUMP_TASKS));
    CHECK_EQ(atomic_load(&signals), 0);
    atomic_store(&stop, 1);
    wait_for(&ended, 1);
}

static void reader_stays_shown(weft_task_fn *fn, const char *frame)
{
    CHECK_EQ(pipe(hole), 0);
    stays_shown(fn, SYS_read, frame, " [syscall]:");
    CHECK_EQ(write(hole[1], "x", 1), 1);
    wait_for(&ended, 1);
}

TEST(undeclared_read_is_a_syscall)
{
    reader_stays_shown(reads_here, "\nreads_here(");
}

TEST(declared_read_is_a_syscall)
{
    reader_stays_shown(reads_declared_here, "\nreads_declared_here(");
}

/* Binds the calling thread to the first CPU that the process may use. */
static void stay_on_one_cpu(void)
{
    cpu_set_t all, one;
    size_t cpu = 0;

    CHECK_EQ(sched_getaffinity(getpid(), sizeof(all), &all), 0);
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void *keeps_the_cpu(void *arg)
{
    stay_on_one_cpu();
    while (!atomic_load(&stop))
        ;
    return arg;
}

NOINLINE void reads_starved_here(void *arg);

/* Runs on the CPU of another thread, so it has to wait for long whenever it wakes up. */
NOINLINE void reads_starved_here(void *arg)
{
    static const struct sched_param none;

    stay_on_one_cpu();
    CHECK_EQ(sched_setscheduler(0, SCHED_IDLE, &none), 0);
    read_one(arg);
    __asm__ volatile("");
}

TEST(read_of_a_thread_that_gets_little_cpu_is_shown)
{
    pthread_t hog;

    CHECK_EQ(pthread_create(&hog, NULL, keeps_the_cpu, NULL), 0);
    reader_stays_shown(reads_starved_here, "\nreads_starved_here(");
    atomic_store(&stop, 1);
    CHECK_EQ(pthread_join(hog, NULL), 0);
}

/* Takes dumps while the task sits in its call, not near the call's beginning or end: there the
 * kernel calls the thread running, and the signal that asks for its stack would cut the call short.
 * Tries again if the machine is so busy that the call was over before the first dump. */
static void dumped_until_it_ends(weft_task_fn *fn, int call, const char *frame)
{
    int shown = 0, dumps = 0;
    bool is_there;

    CHECK_EQ(pipe(hole), 0);
    for (int calls = 1; dumps == 0; calls++) {
        weft_go(fn, NULL);
        wait_for(&begun, calls);
        while (call_of(atomic_load(&thread)) != call && atomic_load(&ended) < calls)
            weft_yield();
        while (dumps < 5) {
            is_there = is_shown(frame, " [syscall]:");
            if (atomic_load(&ended) == calls)
                break;
            shown += is_there;
            dumps++;
        }
        wait_for(&ended, calls);
    }
    CHECK_EQ(shown, dumps);
}

TEST(nanosleep_is_a_syscall_and_lasts_its_time)
{
    dumped_until_it_ends(sleeps_here, SYS_clock_nanosleep, "\nsleeps_here(");
}

TEST(poll_is_a_syscall_and_lasts_its_time)
{
    dumped_until_it_ends(polls_here, SYS_poll, "\npolls_here(");
}

/* ---- callers of calls ---- */

NOINLINE void calls_outer(void *arg);
NOINLINE void calls_outer_declared(void *arg);

static NOINLINE void calls_inner(int fd)
{
    char large[3000];

    atomic_fetch_add(&begun, 1);
    CHECK_EQ(read(fd, large, sizeof(large)), 0);
    atomic_fetch_add(&ended, 1);
}

/* Leaves a return address and a frame pointer below the frames of its callers. */
static NOINLINE void leave_a_trace(int depth)
{
    volatile char part[200];

    part[0] = 1;
    if (depth > 0)
        leave_a_trace(depth - 1);
    part[1] = part[0];
}

static NOINLINE void calls_middle(void *arg)
{
    leave_a_trace(10);
    calls_inner(*(int *)arg);
    __asm__ volatile("");
}

NOINLINE void calls_outer(void *arg)
{
    calls_middle(arg);
    __asm__ volatile("");
}

NOINLINE void calls_outer_declared(void *arg)
{
    weft_blocking(calls_middle, arg);
    __asm__ volatile("");
}

/* Yields until all threads of the tasks that `begun` counts sit in their calls, or until the
 * machine has had a long time to get them there. */
static void wait_for_calls(int n)
{
    char want[32];

    wait_for(&begun, n);
    snprintf(want, sizeof(want), ", %d in calls", n);
    wait_for_dump(want);
}

static void check_merged(weft_task_fn *fn, const char *outer)
{
    enum { TASKS = 12 };
    char want[] = "\n12 @ ", *text, *row, *end;

    CHECK_EQ(pipe(hole), 0);
    go_many(TASKS, fn, &hole[0]);
    wait_for_calls(TASKS);
    text = dump_text(WEFT_DUMP_MERGED);
    row = strstr(text, want);
    CHECK(row != NULL);
    end = strstr(row, "\n\n");
    if (end)
        *end = 0;
    CHECK_CONTAINS(row, "calls_inner+");
    CHECK_CONTAINS(row, "calls_middle+");
    CHECK_CONTAINS(row, outer);
    CHECK(strstr(row, "leave_a_trace") == NULL && strstr(row, "weft__task_main") == NULL);
    free(text);
    close(hole[1]);
    wait_for(&ended, TASKS);
}

TEST(tasks_in_a_call_have_their_callers_and_merge)
{
    check_merged(calls_outer, "calls_outer+");
}

TEST(tasks_in_a_declared_call_have_their_callers_and_merge)
{
    check_merged(calls_outer_declared, "calls_outer_declared+");
}

/* ---- time without a processor ---- */

/* Returns how long the only task with this frame has been without a processor, by a full dump; -1
 * if it has one. */
static double time_without(const char *frame)
{
    char *text = dump_text(WEFT_DUMP_FULL), *block = block_with(text, frame), *at;
    double time = 0, number;
    char *unit;

    CHECK(block != NULL);
    at = strstr(block, "\n# waited: ");
    unit = at ? at + strlen("\n# waited: ") : NULL;
    while (unit && *unit != '\n') {
        number = strtod(unit, &unit);
        if (strncmp(unit, "ms", 2) == 0 || strncmp(unit, "us", 2) == 0 ||
            strncmp(unit, "ns", 2) == 0)
            time += number * (*unit == 'm' ? 1e-3 : *unit == 'u' ? 1e-6 : 1e-9), unit += 2;
        else
            time += number * (*unit == 'h' ? 3600 : *unit == 'm' ? 60 : 1), unit++;
    }
    free(text);
    return at ? time : -1;
}

/* Two dumps agree on when the call began, which is not before the task did. */
static void check_time_without(weft_task_fn *fn, const char *frame)
{
    double start = (double)now_ns() / 1e9, first = -1, second, before, between, after;

    CHECK_EQ(pipe(hole), 0);
    weft_go(fn, NULL);
    wait_for(&begun, 1);
    while (first < 0) {
        weft_yield();
        before = (double)now_ns() / 1e9;
        first = time_without(frame);
        between = (double)now_ns() / 1e9;
    }
    CHECK(first <= between - start);
    weft_sleep(200 * WEFT_MILLISECOND);
    second = time_without(frame);
    after = (double)now_ns() / 1e9;
    CHECK(second - first >= 0.2);
    CHECK(second - first <= after - before);
    atomic_store(&stop, 1);
    CHECK_EQ(write(hole[1], "x", 1), 1);
    wait_for(&ended, 1);
}

TEST(time_in_a_call_is_shown)
{
    check_time_without(reads_here, "\nread_one(");
}

TEST(time_in_a_declared_call_is_shown)
{
    check_time_without(reads_declared_here, "\nread_one(");
}

TEST(time_in_a_loop_is_shown)
{
    if (under_tsan())
        SKIP("TSan keeps signals back from a thread that makes no call");
    check_time_without(spins_here, "\nspins_here(");
}

/* The clock moves by minutes, which a dump shows behind the state. */
static void check_minutes(weft_task_fn *fn, const char *frame, const char *state)
{
    CHECK_EQ(pipe(hole), 0);
    weft_go(fn, NULL);
    wait_for(&begun, 1);
    while (time_without(frame) < 0)
        usleep(1000);
    weft__clock_advance(weft__nanos() + 200 * WEFT_SECOND);
    CHECK(is_shown(frame, state));
    atomic_store(&stop, 1);
    CHECK_EQ(write(hole[1], "x", 1), 1);
    wait_for(&ended, 1);
}

static int minutes_in_a_call(void *arg)
{
    check_minutes(reads_here, "\nread_one(", " [syscall, 3 minutes]:");
    return arg != NULL;
}

static int minutes_in_a_loop(void *arg)
{
    check_minutes(spins_here, "\nspins_here(", " [running, 3 minutes]:");
    return arg != NULL;
}

TEST_PLAIN(minutes_in_a_call_are_shown)
{
    support_setenv("WEFT_CLOCK", "virtual");
    CHECK_EQ(weft_run(minutes_in_a_call, NULL), 0);
}

TEST_PLAIN(minutes_in_a_loop_are_shown)
{
    if (under_tsan())
        SKIP("TSan keeps signals back from a thread that makes no call");
    support_setenv("WEFT_CLOCK", "virtual");
    CHECK_EQ(weft_run(minutes_in_a_loop, NULL), 0);
}

/* ---- what dumps and profiles must not do ---- */

static NOINLINE void reads_with_a_timeout(void *arg)
{
    struct timeval time = {60, 0};
    int pair[2];
    char byte;

    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)), 0);
    atomic_fetch_add(&begun, 1);
    read(pair[0], &byte, 1) < 0 ? atomic_fetch_add(&ended, 1) : 0;
}

static NOINLINE void writes_much(void *arg)
{
    static char large[1 << 20];

    (void)arg;
    atomic_fetch_add(&begun, 1);
    write(hole[1], large, sizeof(large)) < 0 ? 0 : atomic_fetch_add(&ended, 1);
}

TEST(calls_that_a_signal_would_end_go_on)
{
    CHECK_EQ(pipe(hole), 0);
    weft_go(reads_with_a_timeout, NULL);
    weft_go(writes_much, NULL);
    wait_for_calls(2);
    for (int i = 0; i < 20; i++) {
        free(dump_text(WEFT_DUMP_FULL));
        free(dump_text(WEFT_DUMP_MERGED));
    }
    free(profile_text("fgprof", (weft_profile_options){.over = 300 * WEFT_MILLISECOND}));
    CHECK_EQ(atomic_load(&ended), 0);
}

NOINLINE void spins_without_signals(void *arg);

NOINLINE void spins_without_signals(void *arg)
{
    sigset_t all;

    sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
    spins_here(arg);
}

/* The machine may be slow, but must get there in the end. */
TEST(thread_that_blocks_the_signal_delays_dumps_by_a_bounded_time)
{
    char *text;

    weft_go(spins_without_signals, NULL);
    wait_for(&begun, 1);
    for (int i = 0; i < 3; i++) {
        int64_t start = now_ns();

        text = dump_text(WEFT_DUMP_TASKS);
        CHECK(now_ns() - start < INT64_C(10000) * MS);
        CHECK_CONTAINS(text, "\ngoroutine 2 [running]:\n?\?(...)\n");
        free(text);
    }
    text = profile_text("fgprof", (weft_profile_options){.over = 100 * WEFT_MILLISECOND});
    CHECK(time_in(text, "\tspins_without_signals+") >= 100 * MS);
    free(text);
    atomic_store(&stop, 1);
    wait_for(&ended, 1);
}

static int occurrences(const char *text, const char *of)
{
    int n = 0;

    for (; (text = strstr(text, of)); text++)
        n++;
    return n;
}

TEST(no_task_is_lost_from_dumps_of_a_mixed_crowd)
{
    CHECK_EQ(pipe(hole), 0);
    go_many(3, spins_here, NULL);
    go_many(3, reads_here, NULL);
    go_many(3, reads_declared_here, NULL);
    wait_for(&begun, 9);
    for (int i = 0; i < 20; i++) {
        char *text = dump_text(WEFT_DUMP_TASKS);

        CHECK_EQ(occurrences(text, "goroutine ") - occurrences(text, " in goroutine "), 10);
        free(text);
    }
    atomic_store(&stop, 1);
    CHECK_EQ(write(hole[1], "xxxxxx", 6), 6);
    wait_for(&ended, 9);
}

/* ---- where time goes ---- */

TEST(time_in_loops_and_calls_is_told)
{
    char *text;

    if (under_tsan())
        SKIP("TSan keeps signals back from a thread that makes no call");
    CHECK_EQ(pipe(hole), 0);
    weft_go(spins_here, NULL);
    weft_go(reads_here, NULL);
    weft_go(reads_declared_here, NULL);
    wait_for(&begun, 3);
    text = profile_text("fgprof", (weft_profile_options){.over = 300 * WEFT_MILLISECOND});
    CHECK(time_in(text, "\tspins_here+") >= 300 * MS);
    CHECK_EQ(time_in(text, "\treads_here+"), time_in(text, "\tspins_here+"));
    CHECK_EQ(time_in(text, "\treads_declared_here+"), time_in(text, "\tspins_here+"));
    free(text);
    atomic_store(&stop, 1);
    CHECK_EQ(write(hole[1], "xx", 2), 2);
    wait_for(&ended, 3);
}

/* ---- counts ---- */

TEST(full_dump_begins_with_counts)
{
    char *text;
    char want[96];

    CHECK_EQ(pipe(hole), 0);
    weft_go(reads_declared_here, NULL);
    wait_for_dump(" [syscall]");
    text = dump_text(WEFT_DUMP_FULL);
    CHECK(strncmp(text, "# tasks: 2 (1 running, 1 in calls, 0 runnable, 0 waiting)\n", 58) == 0);
    snprintf(want, sizeof(want), "\n# processors: %d, threads: ", weft_procs());
    CHECK_CONTAINS(text, want);
    snprintf(want, sizeof(want), " 1 without a processor, at most %d)\n# number of processors by: ",
             weft_procs() + 10000);
    CHECK_CONTAINS(text, want);
    free(text);
    CHECK_EQ(write(hole[1], "x", 1), 1);
    wait_for(&ended, 1);
}

/* There is room for one thread more than processors, so the other calls wait for the first. */
static int reach_the_cap(void *arg)
{
    char *text = dump_text(WEFT_DUMP_FULL);

    (void)arg;
    CHECK(strstr(text, "# at the cap") == NULL);
    free(text);
    CHECK_EQ(pipe(hole), 0);
    go_many(3, reads_declared_here, NULL);
    wait_for(&begun, 1);
    wait_for_dump("at most 3)\n# at the cap: tasks that block wait for a thread\n");
    CHECK_EQ(write(hole[1], "xxx", 3), 3);
    wait_for(&ended, 3);
    return 0;
}

TEST_PLAIN(dump_says_that_the_thread_cap_was_hit)
{
    CHECK_EQ(weft_run_with(&(weft_run_options){.procs = 2, .max_threads = 1}, reach_the_cap, NULL),
             0);
}
