/* SPDX-License-Identifier: MIT */
/* torture_crash.c - a child dies in one of several ways at a random moment of a busy run.
 *
 * Each child must end by its signal in time, and say which task or thread died. At the end the
 * program prints how long the first part of a report took, and how many reports were cut off. A
 * third argument chooses one way. */
#include "profiles/walk/symbolize.h"
#include "runtime/sched/scheduler.h"
#include "torture.h"

#include <weft.h>

#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { BUSY = 40, TEXT = 1 << 20, DRILLS_MAX = 100000 };
enum { SLOWER = SANITIZED ? 10 : 1, HANGS_MS = 20000 * SLOWER, SPINS_MS = 5000 };

static uint64_t rnd; /* the child's, from its parent's */
/* Memory that is shared with the parent. */
static struct {
    atomic_llong crashed_at;
    atomic_ullong victim; /* its task id */
} * shared;
static weft_chan *requests;

/* ---- the ways ---- */

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void touch_nothing(void)
{
    *(volatile char *)mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

static void (*volatile nowhere)(void);

static void call_null(void)
{
    nowhere();
}

static void abort_it(void)
{
    abort();
}

/* Overwrites the heap until malloc or a user of the heap notices. */
static void write_into_the_heap(void)
{
    for (;;) {
        uintptr_t volatile *p = malloc(16 + torture_random(&rnd, 2000));

        for (long i = -8; i < 64; i++)
            p[i] = (uintptr_t)torture_random(&rnd, UINT32_MAX) << 32 |
                   torture_random(&rnd, UINT32_MAX);
        for (int i = 0; i < 50; i++)
            free(malloc(torture_random(&rnd, 5000)));
        free((void *)(uintptr_t)p);
    }
}

__attribute__((noinline)) static void smash(void)
{
    volatile char *frame = __builtin_frame_address(0);
    unsigned n = 16 + (unsigned)torture_random(&rnd, 400);

    for (unsigned i = 0; i < n; i++)
        frame[i] = (char)torture_random(&rnd, 256);
}

static void smash_the_stack(void)
{
    volatile char room[512];

    room[0] = room[511] = 0;
    smash();
    __asm__ volatile("" : : "r"(room) : "memory");
}

/* Follows a free chunk's links while it holds its arena's lock. */
static void fault_inside_malloc(void)
{
    void *volatile a = malloc(3000), *volatile b = malloc(3000), *volatile c = malloc(3000);
    uintptr_t volatile *links = b;

    free(b);
    links[0] = links[1] = 0x4141414141414141;
    free(a);
    free(c);
}

/* "corrupted size vs. prev_size", with the lock held. */
static void abort_inside_malloc(void)
{
    void *volatile a = malloc(3000), *volatile b = malloc(3000), *volatile c = malloc(3000);
    uintptr_t volatile *chunk = b;

    free(b);
    chunk[-1] += 64;
    free(a);
    free(c);
}

static volatile int deep = 1;

__attribute__((noinline)) static int recurse(int n)
{
    return deep ? recurse(n + 1) + 1 : n;
}

static void overflow(void)
{
    recurse(0);
}

static uint64_t target;

static void wait_for_request(void *arg)
{
    (void)arg;
    target = weft_task_id();
    weft_chan_recv(requests, NULL);
}

/* A waiting task gets a stack pointer to an address without memory, and is then woken. */
static void crash_in_the_switch(void)
{
    weft__task *t = NULL;

    for (uint32_t i = 0; i < weft__tasks_slots(); i++) {
        weft__task *at = weft__tasks_at(i);

        if (target && at->id == target && weft__load_acq(&at->state) == WEFT__PARKED)
            t = at;
    }
    if (!t || weft__load_acq(&t->on_cpu))
        return; /* not there yet */
    t->ctx.sp = (void *)(torture_random(&rnd, 2) ? (uintptr_t)64 : (uintptr_t)0x4141414141414140);
    weft_chan_send(requests, NULL);
    for (;;)
        weft_yield();
}

static void crash_the_symbolizer(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    weft__symbolizer_crash = touch_nothing;
    for (;;)
        weft_dump(fd, NULL);
}

/* A wild access while another thread asks the symbolizer, which faults, too. */
static void crash_both(void)
{
    weft__symbolizer_crash = touch_nothing;
    touch_nothing();
}

static uintptr_t garbage(void)
{
    switch (torture_random(&rnd, 4)) {
    case 0:
        return 0;
    case 1:
        return torture_random(&rnd, UINT32_MAX);
    case 2:
        return (uintptr_t)&garbage + torture_random(&rnd, 1 << 20); /* there is memory */
    default:
        return (uintptr_t)torture_random(&rnd, UINT32_MAX) << 32 | torture_random(&rnd, UINT32_MAX);
    }
}

/* Overwrites a word in `one_in` of [at, at + n). */
static void overwrite(void *at, size_t n, unsigned one_in)
{
    uintptr_t volatile *words = at;

    for (size_t i = 0; i < n / sizeof(*words); i++) {
        if (torture_random(&rnd, one_in) == 0)
            words[i] = garbage();
    }
}

static weft__task *own_record(void)
{
    return weft__self()->task;
}

static void overwrite_own_task(void)
{
    overwrite(own_record(), sizeof(weft__task), 1 + (unsigned)torture_random(&rnd, 4));
    touch_nothing();
}

static void overwrite_own_worker(void)
{
    overwrite(weft__self(), sizeof(weft__worker), 1 + (unsigned)torture_random(&rnd, 4));
    touch_nothing();
}

/* The memory that has the records of the worker and of the task's name. */
static void overwrite_heap(void)
{
    uintptr_t at = (uintptr_t)weft__self() & ~(uintptr_t)4095;

    overwrite((void *)at, 4096, 4);
    touch_nothing();
}

/* Finds the data that the C library writes to: its writable segment behind the part that the loader
 * made read-only. */
static int find_data(struct dl_phdr_info *info, size_t size, void *range)
{
    uintptr_t *at = range, relro = 0;

    (void)size;
    if (!strstr(info->dlpi_name, "/libc.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

        if (ph->p_type == PT_GNU_RELRO)
            relro = info->dlpi_addr + ph->p_vaddr + ph->p_memsz;
        if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W))
            at[1] = info->dlpi_addr + ph->p_vaddr + ph->p_memsz;
    }
    at[0] = (relro + 4095) & ~(uintptr_t)4095;
    return 1;
}

static void overwrite_libc(void)
{
    uintptr_t at[2] = {0, 0};

    dl_iterate_phdr(find_data, at);
    overwrite((void *)at[0], at[1] - at[0], 8);
    touch_nothing();
}

enum who { VICTIM, ITS_ID, TARGET, ANY_TASK, THREAD };

static const struct drill {
    const char *name;
    void (*crash)(void);
    enum who who;
    bool heap; /* or stack: not under sanitizers, which have their own */
} drills[] = {
    {"wild access", touch_nothing, VICTIM, false},
    {"NULL call", call_null, VICTIM, false},
    {"abort", abort_it, VICTIM, false},
    {"symbolizer", crash_the_symbolizer, THREAD, false},
    {"symbolizer during a report", crash_both, VICTIM, false},
    {"wild write", write_into_the_heap, ANY_TASK, true},
    {"smashed stack", smash_the_stack, VICTIM, true},
    {"fault inside malloc", fault_inside_malloc, VICTIM, true},
    {"abort inside malloc", abort_inside_malloc, VICTIM, true},
    {"overflow", overflow, VICTIM, true},
    {"in the switch", crash_in_the_switch, TARGET, true},
    {"own record overwritten", overwrite_own_task, ITS_ID, true},
    {"worker's record overwritten", overwrite_own_worker, ITS_ID, true},
    {"heap record overwritten", overwrite_heap, ITS_ID, true},
    {"libc's data overwritten", overwrite_libc, ANY_TASK, true},
};
enum { DRILLS = sizeof(drills) / sizeof(*drills) };

/* ---- the child ---- */

static weft_mutex mutex;
static weft_chan *pipeline;

static void be_busy(void *arg)
{
    uint64_t r = (uintptr_t)arg;

    for (;;) {
        void *p = malloc(16 + torture_random(&r, 4000));
        uint64_t v = r;

        weft_mutex_lock(&mutex);
        weft_yield();
        weft_mutex_unlock(&mutex);
        if (torture_random(&r, 2))
            weft_chan_send(pipeline, &v);
        else
            weft_chan_recv(pipeline, &v);
        torture_spin(20);
        free(p);
        if (torture_random(&r, 8) == 0)
            weft_sleep(200 * WEFT_MICROSECOND);
    }
}

static void victim(void *arg)
{
    const struct drill *d = arg;

    atomic_store(&shared->victim, weft_task_id());
    weft_sleep(torture_random(&rnd, 20000) * WEFT_MICROSECOND);
    if (d->who != ANY_TASK)
        atomic_store(&shared->crashed_at, now_ns());
    for (;;) {
        d->crash();
        weft_yield();
    }
}

static int run(void *arg)
{
    requests = weft_chan_new(0, 0);
    pipeline = weft_chan_new(sizeof(uint64_t), 4);
    for (uintptr_t i = 1; i <= BUSY; i++)
        weft_go(be_busy, (void *)(i * 7919 + rnd));
    weft_go_with(&(weft_go_options){.name = "target"}, wait_for_request, NULL);
    weft_go_with(&(weft_go_options){.name = "victim"}, victim, arg);
    return weft_chan_recv(NULL, NULL);
}

static void child(const struct drill *d, int fd)
{
    static const struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    dup2(fd, STDERR_FILENO);
    weft_run(run, (void *)(uintptr_t)d);
    _exit(0);
}

/* ---- the parent ---- */

static char text[TEXT];
static int64_t latencies[DRILLS_MAX];
static unsigned long done, timed, cut_off;

static bool has(const char *what)
{
    return strstr(text, what) != NULL;
}

/* The message, a line for the task or thread, frames, an empty line. */
static bool first_part_is_there(void)
{
    const char *at = strstr(text, " died ");

    return at && strstr(at, "\n\n");
}

/* Reads what the child writes until its end. Returns false if that does not come. Garbage in the
 * heap may make malloc run in a circle; then a signal from outside has to be reported. */
static bool read_report(int fd, pid_t may_spin)
{
    int64_t until = now_ns() + HANGS_MS * INT64_C(1000000);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    bool seen = false;
    size_t n = 0;
    ssize_t got;

    text[0] = '\0';
    while (now_ns() < until) {
        if (poll(&p, 1, may_spin ? SPINS_MS : HANGS_MS) == 0) {
            if (may_spin && n == 0)
                kill(may_spin, SIGABRT);
            continue;
        }
        got = read(fd, text + n, TEXT - 1 - n);
        if (got <= 0)
            return true;
        n += (size_t)got;
        text[n] = '\0';
        if (!seen && first_part_is_there()) {
            seen = true;
            if (atomic_load(&shared->crashed_at) && timed < DRILLS_MAX)
                latencies[timed++] = now_ns() - atomic_load(&shared->crashed_at);
        }
        if (n > TEXT / 2)
            n = 0; /* only the end of a long report is looked at from here on */
    }
    return false;
}

static bool names_the_dead(const struct drill *d)
{
    char line[64];

    if (has("whose task cannot be told"))
        return false;
    switch (d->who) {
    case ITS_ID: /* the name may be overwritten */
        snprintf(line, sizeof(line), "weft: goroutine %llu ", atomic_load(&shared->victim));
        return has(line) && has(" died on thread ");
    case VICTIM:
        return has("\" died on thread ") && has(" \"victim\" died on thread ");
    case TARGET:
        return has(" \"target\" died on thread ");
    case THREAD:
        return has(" \"weft-symbols\", which runs no task, died in\n");
    default:
        return has(" died on thread ") || has(", died in\n");
    }
}

/* The child may have overwritten the runtime's data; then an assertion or a deadlock may be
 * reported. */
static bool ends_well(const struct drill *d, int status)
{
    int signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    if (signo == SIGSEGV || signo == SIGABRT || signo == SIGBUS)
        return names_the_dead(d);
    return d->who == ANY_TASK && WIFEXITED(status) && WEXITSTATUS(status) == 2 &&
           (has("fatal error: ") || has("panic: ")) && has("\ngoroutine ");
}

static void drill(const struct drill *d, uint64_t *r)
{
    int fds[2], status;
    bool ended;
    pid_t pid;

    EXPECT(pipe2(fds, O_CLOEXEC) == 0);
    atomic_store(&shared->crashed_at, 0);
    rnd = torture_random(r, UINT32_MAX) + 1;
    pid = fork();
    if (pid == 0)
        child(d, fds[1]);
    close(fds[1]);
    ended = read_report(fds[0], d->who == ANY_TASK ? pid : 0);
    if (!ended)
        kill(pid, SIGKILL);
    EXPECT(waitpid(pid, &status, 0) == pid);
    close(fds[0]);
    done++;
    cut_off += has("cut off here");
    if (ended && ends_well(d, status))
        return;
    printf("drill \"%s\": %s, status %#x, wrote:\n%.20000s\n", d->name, ended ? "ended" : "hung",
           (unsigned)status, text);
    fflush(stdout);
    abort();
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    double end;
    uint64_t r;

    /* No watchdog, which is a thread: a child is forked from a process that has none. */
    torture.seconds = argc > 1 ? atof(argv[1]) : 2;
    torture.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    end = torture_now() + torture.seconds;
    r = torture_seed(0);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(shared != MAP_FAILED);
    for (unsigned long i = 0; torture_now() < end; i++) {
        const struct drill *d = &drills[i % DRILLS];

        if ((!SANITIZED || !d->heap) && (argc <= 3 || strcmp(argv[3], d->name) == 0))
            drill(d, &r);
    }
    qsort(latencies, timed, sizeof(*latencies), by_value);
    printf(
        "%lu drills, %lu reports cut off; first part after %.1f ms in the middle, %.1f at most\n",
        done, cut_off, timed ? (double)latencies[timed / 2] / 1e6 : 0.0,
        timed ? (double)latencies[timed - 1] / 1e6 : 0.0);
    EXPECT(SANITIZED || timed < 5 || latencies[timed / 2] < 100000000);
    return 0;
}
