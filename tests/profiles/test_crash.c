/* SPDX-License-Identifier: MIT */
/* test_crash.c - faults and aborts: the report, even with a broken heap or stack, and the end.
 *
 * Each crash happens in a child of the test, which checks the child's status and output. */
#include "support.h"

#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char err[1 << 20];

static void recv_never(void *arg)
{
    weft_chan_recv(arg, NULL);
}

static void (*crash)(void);

static void crasher(void *arg)
{
    (void)arg;
    crash();
    weft_yield();
}

/* Another task waits, so that a report of all tasks differs from one of the crash alone. */
static int run(void *arg)
{
    (void)arg;
    weft_go(recv_never, NULL);
    weft_go_with(&(weft_go_options){.name = "crasher"}, crasher, NULL);
    return weft_chan_recv(NULL, NULL);
}

static void run_it(void)
{
    weft_run(run, NULL);
}

/* Runs fn as a task in a child process. Returns the process's status. */
static int status_of(void (*fn)(void))
{
    crash = fn;
    return in_child(run_it, err, sizeof(err));
}

static void check_all_tasks(void)
{
    CHECK_CONTAINS(err, "weft: goroutine 3 \"crasher\" died on thread ");
    CHECK_CONTAINS(err, "\n\ngoroutine 3 [running]:\n");
    CHECK_CONTAINS(err, "\n\ngoroutine 2 [");
}

/* Returns the text between two strings. The second is searched for behind the first. */
static char *between(const char *from, const char *to)
{
    static char text[1 << 16];
    const char *start = strstr(err, from), *end = start ? strstr(start, to) : NULL;

    CHECK(start && end && (size_t)(end - start) < sizeof(text));
    memcpy(text, start, (size_t)(end - start));
    text[end - start] = '\0';
    return text;
}

static char *first_part(void)
{
    return between("weft: goroutine ", "\n\n");
}

static char *full_part(void)
{
    return between("goroutine 3 [running]:\n", "\n\n");
}

static void skip_if_instrumented(void)
{
    if (under_asan() || under_tsan())
        SKIP("sanitizers have frames, a heap and a stack of their own");
}

/* ---- the end ---- */

static void divide_by_zero(void)
{
    __asm__ volatile("xorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tmovl $1, %%eax\n\tdivl %%ecx"
                     :
                     :
                     : "eax", "ecx", "edx", "cc");
}

static void trap(void)
{
    __builtin_trap();
}

static char *volatile page_zero = (char *)8; /* not to be seen through */

static void touch_page_zero(void)
{
    *(volatile char *)page_zero = 1;
}

static void touch_beyond_a_file(void)
{
    int fd = memfd_create("empty", MFD_CLOEXEC);

    *(volatile char *)mmap(NULL, 4096, PROT_WRITE | PROT_READ, MAP_SHARED, fd, 0) = 1;
}

static void assert_it(void)
{
    assert(page_zero == NULL);
}

TEST_PLAIN(faults_end_by_their_signal_with_all_tasks_shown)
{
    static const struct {
        void (*fn)(void);
        int signo;
        const char *says;
    } ends[] = {
        {divide_by_zero, SIGFPE, "SIGFPE: floating-point exception\nPC=0x"},
        {trap, SIGILL, "SIGILL: illegal instruction\nPC=0x"},
        {touch_page_zero, SIGSEGV, "SIGSEGV: segmentation violation\nPC=0x"},
        {touch_beyond_a_file, SIGBUS, "SIGBUS: bus error\nPC=0x"},
        {abort, SIGABRT, "SIGABRT: abort\nPC=0x"},
        {assert_it, SIGABRT, "SIGABRT: abort\nPC=0x"},
    };

    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        CHECK_EQ(status_of(ends[i].fn), 128 + ends[i].signo);
        CHECK_CONTAINS(err, ends[i].says);
        check_all_tasks();
    }
}

TEST_PLAIN(address_of_a_fault_is_told)
{
    CHECK_EQ(status_of(touch_page_zero), 128 + SIGSEGV);
    CHECK_CONTAINS(between("PC=0x", "\n"), " sigcode=1 addr=0x8");
}

static void kill_process(void)
{
    kill(getpid(), SIGABRT);
    for (;;)
        weft_yield();
}

TEST_PLAIN(signal_from_outside_ends_by_it_too)
{
    if (under_tsan())
        SKIP("TSan takes every SIGABRT for the thread's own, and gives up during a switch");
    CHECK_EQ(status_of(kill_process), 128 + SIGABRT);
    CHECK_CONTAINS(err, "SIGABRT: abort\nPC=0x");
    CHECK_CONTAINS(err, "\n\ngoroutine 2 [");
}

static atomic_int called;

static void old_handler(int signo)
{
    (void)signo;
    static const char text[] = "the program's own handler\n";

    atomic_store(&called, 1);
    if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
        _exit(7);
}

static void run_with_old_handler(void)
{
    signal(SIGSEGV, old_handler);
    run_it();
}

TEST_PLAIN(handler_of_the_program_stays)
{
    skip_if_instrumented(); /* theirs stands there */
    crash = touch_page_zero;
    CHECK_EQ(in_child(run_with_old_handler, err, sizeof(err)), 7);
    CHECK_STR(err, "the program's own handler\n");
}

/* ---- how much is shown ---- */

TEST_PLAIN(traceback_none_is_the_message_alone)
{
    setenv("WEFT_TRACEBACK", "none", 1);
    CHECK_EQ(status_of(abort), 128 + SIGABRT);
    CHECK(strstr(err, "goroutine") == NULL);
    CHECK_CONTAINS(err, "SIGABRT: abort\nPC=0x");
}

TEST_PLAIN(traceback_single_is_the_one_that_died)
{
    setenv("WEFT_TRACEBACK", "single", 1);
    CHECK_EQ(status_of(touch_page_zero), 128 + SIGSEGV);
    CHECK_CONTAINS(err, "\n\ngoroutine 3 [running]:\n");
    CHECK(strstr(err, "\ngoroutine 2 [") == NULL && strstr(err, "\ngoroutine 1 [") == NULL);
}

static void close_nil(void)
{
    weft_chan_close(NULL);
}

TEST_PLAIN(traceback_single_is_the_one_that_panicked)
{
    setenv("GOTRACEBACK", "single", 1);
    unsetenv("WEFT_TRACEBACK");
    CHECK_EQ(status_of(close_nil), 2);
    CHECK_CONTAINS(err, "panic: close of nil channel\n\ngoroutine 3 [running]:\n");
    CHECK(strstr(err, "\ngoroutine 2 [") == NULL);
}

/* ---- the stack ---- */

__attribute__((noinline)) static void guilty(volatile char *p)
{
    __asm__ volatile("movb $0, (%0)" : : "r"(p) : "memory");
}

__attribute__((noinline)) static void calls_guilty(void)
{
    guilty(page_zero);
    __asm__ volatile("");
}

/* The fault is an instruction of this function, whatever the compiler puts before it. */
__asm__(".text\n.type first_instruction, @function\nfirst_instruction:\n"
        ".cfi_startproc\nmovb $0, (%rdi)\nret\n.cfi_endproc\n"
        ".size first_instruction, .-first_instruction\n");
void first_instruction(volatile char *p);

__attribute__((noinline)) static void calls_first_instruction(void)
{
    first_instruction(page_zero);
    __asm__ volatile("");
}

TEST_PLAIN(fault_at_the_first_instruction_is_in_that_function)
{
    CHECK_EQ(status_of(calls_first_instruction), 128 + SIGSEGV);
    CHECK_CONTAINS(first_part(), " in\n    first_instruction+0x0 (");
    CHECK_CONTAINS(first_part(), "    calls_first_instruction+0x");
    CHECK_EQ(strncmp(full_part(), "goroutine 3 [running]:\nfirst_instruction(...)\n", 46), 0);
    CHECK_CONTAINS(full_part(), "\ncalls_first_instruction(...)\n");
}

TEST_PLAIN(first_part_has_the_whole_stack)
{
    CHECK_EQ(status_of(calls_guilty), 128 + SIGSEGV);
    CHECK_CONTAINS(first_part(), " in\n    guilty+0x");
    CHECK_CONTAINS(first_part(), "\n    calls_guilty+0x");
    CHECK_CONTAINS(first_part(), "\n    crasher+0x");
    CHECK_CONTAINS(first_part(), "\ncreated by run+0x");
    CHECK(strstr(first_part(), " ? ") == NULL);
}

static void (*volatile nowhere)(void);

__attribute__((noinline)) static void calls_nowhere(void)
{
    nowhere();
    __asm__ volatile("");
}

TEST_PLAIN(call_through_null_shows_its_caller)
{
    CHECK_EQ(status_of(calls_nowhere), 128 + SIGSEGV);
    CHECK_CONTAINS(err, "\nPC=0x0 m=0 ");
    CHECK_CONTAINS(first_part(), " in\n    0x0\n    calls_nowhere+0x");
    CHECK_CONTAINS(full_part(), "calls_nowhere(...)\n");
    CHECK_CONTAINS(full_part(), "crasher(...)\n");
}

/* Returns to an address without code. */
__attribute__((noinline)) static void smash(void)
{
    volatile char *frame = __builtin_frame_address(0);

    for (int i = 0; i < 64; i++)
        frame[i] = 0x41;
}

__attribute__((noinline)) static void smash_below(void)
{
    volatile char room[256];

    room[0] = room[255] = 0;
    smash();
    __asm__ volatile("" : : "r"(room) : "memory");
}

TEST_PLAIN(smashed_stack_is_its_tasks)
{
    skip_if_instrumented();
    CHECK_EQ(status_of(smash_below), 128 + SIGSEGV);
    CHECK_CONTAINS(first_part(), "weft: goroutine 3 \"crasher\" died");
#ifdef WITHOUT_FRAME_POINTERS /* nothing leads on from a smashed return address */
    CHECK_CONTAINS(first_part(), "smash+0x");
#else
    CHECK_CONTAINS(first_part(), "crasher+0x");
#endif
    check_all_tasks();
}

static volatile int deep = 1;

__attribute__((noinline)) static int recurse(int n)
{
    return deep ? recurse(n + 1) + 1 : n;
}

static void recurse_for_ever(void)
{
    recurse(0);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

TEST_PLAIN(overflow_shows_fifty_frames_of_both_ends)
{
    skip_if_instrumented();
    CHECK_EQ(status_of(recurse_for_ever), 128 + SIGSEGV);
    CHECK_CONTAINS(err, "(WEFT stack_size); entry crasher+0x0 (");
    CHECK_EQ(count(first_part(), "\n    recurse"), 99);
    CHECK_CONTAINS(first_part(), " frames elided...\n");
    CHECK_CONTAINS(first_part(), "\n    recurse_for_ever+0x");
    CHECK_CONTAINS(full_part(), "...additional frames elided...\n");
    CHECK(count(full_part(), "\nrecurse(...)\n") <= 99);
    CHECK_CONTAINS(full_part(), "recurse_for_ever(...)\n");
}

/* The frame of this function is larger than the stack. It faults with the stack pointer in the
 * guard, and no rule says where its caller is. */
void have_a_large_frame(void);
__asm__(".text\n"
        ".type have_a_large_frame, @function\n"
        "have_a_large_frame:\n"
        "    subq $69632, %rsp\n"
        "    orq $0, (%rsp)\n"
        "    addq $69632, %rsp\n"
        "    ret\n"
        ".size have_a_large_frame, . - have_a_large_frame\n");

TEST_PLAIN(overflow_by_one_large_frame_shows_its_function)
{
    skip_if_instrumented();
    CHECK_EQ(status_of(have_a_large_frame), 128 + SIGSEGV);
    check_all_tasks();
    CHECK_CONTAINS(first_part(), "\n    have_a_large_frame+0x");
    CHECK_CONTAINS(full_part(), "have_a_large_frame(...)\n");
    CHECK(strstr(err, "a fault in this report") == NULL);
}

/* ---- what is broken ---- */

/* Follows a free chunk's links with the lock of the thread's arena held. */
static void consolidate_garbage(void)
{
    void *volatile a = malloc(3000);
    void *volatile b = malloc(3000);
    void *volatile c = malloc(3000);
    uintptr_t volatile *links = b;

    free(b);
    links[0] = links[1] = 0x4141414141414141;
    free(a);
    free(c);
}

TEST_PLAIN(fault_inside_malloc_shows_all_tasks)
{
    skip_if_instrumented();
    CHECK_EQ(status_of(consolidate_garbage), 128 + SIGSEGV);
    check_all_tasks();
    CHECK_CONTAINS(first_part(), "\n    consolidate_garbage+0x");
    CHECK_CONTAINS(full_part(), "\nconsolidate_garbage(...)\n");
}

static void free_twice(void)
{
    void *volatile p = malloc(24);

    free(p);
    free(p);
}

TEST_PLAIN(double_free_shows_all_tasks)
{
    skip_if_instrumented();
    CHECK_EQ(status_of(free_twice), 128 + SIGABRT);
    check_all_tasks();
    CHECK_CONTAINS(full_part(), "\nfree_twice(...)\n");
}

static int broken(const char *what)
{
    setenv("WEFT_BREAK", what, 1);
    return status_of(touch_page_zero);
}

TEST_PLAIN(fault_in_the_first_part_leaves_the_stack_and_all_tasks)
{
    CHECK_EQ(broken("crash_in_first"), 128 + SIGSEGV);
    CHECK_CONTAINS(err, "\nweft: a fault in this report\nweft: goroutine 3 died on thread ");
    CHECK_CONTAINS(err, " in\n    touch_page_zero+0x");
    CHECK_CONTAINS(err, "\n\ngoroutine 2 [");
}

TEST_PLAIN(fault_of_the_symbolizer_amid_a_report_costs_names_only)
{
    CHECK_EQ(broken("crash_in_names"), 128 + SIGSEGV);
    CHECK_CONTAINS(err, "\n\ngoroutine 3 [running]:\n");
    CHECK_CONTAINS(err, "\n\ngoroutine 2 [");
    CHECK_CONTAINS(err, "\nrecv_never(...)\n");
}

TEST_PLAIN(report_that_hangs_is_cut_off)
{
    skip_if_instrumented(); /* they get ten times as long */
    CHECK_EQ(broken("hang_in_report"), 128 + SIGSEGV);
    CHECK_CONTAINS(first_part(), "touch_page_zero");
    CHECK_CONTAINS(err, "\nweft: the report makes no progress and is cut off here\n");
}

/* ---- a stderr that takes nothing ---- */

static void fault(void)
{
    volatile int *volatile eight = (volatile int *)8;

    *eight = 1;
}

static void quit(void)
{
    kill(getpid(), SIGQUIT);
    weft_chan_recv(NULL, NULL);
}

static void (*then)(void);

static void without_a_reader(void)
{
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    then();
}

static void with_a_full_pipe(void)
{
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], err, 4096) > 0)
        ;
    CHECK_EQ(fcntl(ends[1], F_SETFL, 0), 0);
    dup2(ends[1], STDERR_FILENO);
    then();
}

TEST_PLAIN(report_that_nobody_reads_does_not_change_the_end)
{
    then = fault;
    CHECK_EQ(status_of(without_a_reader), 128 + SIGSEGV);
    then = abort;
    CHECK_EQ(status_of(without_a_reader), 128 + SIGABRT);
    then = quit;
    CHECK_EQ(status_of(without_a_reader), 2);
}

TEST_PLAIN(report_to_a_full_pipe_is_cut_off)
{
    if (under_asan() || under_tsan())
        SKIP("the report may take ten times as long");
    then = fault;
    CHECK_EQ(status_of(with_a_full_pipe), 128 + SIGSEGV);
}
