/* SPDX-License-Identifier: MIT */
/* fatal.c - the ways a program ends because of us: a message in Go's words, the tasks, the end.
 *
 * Panics and fatal errors end with status 2. A signal ends the process by its old disposition, so
 * that shells, service managers and core_pattern see it. WEFT_TRACEBACK, else GOTRACEBACK, says
 * what is shown: none (the message), single (of a panic or a fault the task that caused it), all
 * (every task: C tasks share memory, so the others matter), crash (all, and SIGABRT for a core).
 * The process never calls exit(), which would run libuv's clean-up while workers still poll.
 *
 * A fault may have left malloc, the heap or a stack in any state. So its report has two parts:
 *   first   the faulting task's own stack, by code that needs no lock, no heap and no other thread
 *   full    every task, which may hang or fault in turn
 * The first part reads rules from the mapped .eh_frame, and names from the files' symbol tables at
 * that moment, so nothing has to be prepared. It trusts no record: each step may fault and is
 * jumped out of, the text is formatted without the C library's data, and a mark at the top of each
 * task's stack has the task's id. weft_run's thread makes the second part, since the thread that
 * died may hold its arena's lock in malloc. A fault in the second part ends the process, and a
 * watchdog does if the report makes no progress. Then the old disposition is restored and the
 * signal sent again; it comes when the handler returns, so that a core shows the instruction. */
#include "runtime/sched/fatal.h"

#include "runtime/base/env.h"
#include "runtime/base/format.h"
#include "runtime/base/handler.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/park.h"

#include <weft/error.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Seconds without progress after which the report is cut off, and how long weft_run's thread may
 * take to begin with an errand. Sanitizers make everything some ten times as slow. */
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
enum { AFTER_FAULT = 20, AFTER_PANIC = 60, ERRAND_BEGINS = 5000 /* ms */ };
#else
enum { AFTER_FAULT = 2, AFTER_PANIC = 10, ERRAND_BEGINS = 500 /* ms */ };
#endif

static struct {
    pthread_t thread;  /* atomic: the first thread to die, which speaks while others wait; or 0 */
    int signo;         /* the signal that ends the process; 0: none, it ends with status 2 */
    int patience;      /* seconds */
    bool has_timer;    /* the watchdog is timer; else it is ITIMER_REAL */
    int timer;         /* the kernel's number of it */
    bool is_first;     /* the first part of the report is being made */
    sigjmp_buf escape; /* out of it; valid while is_first */
} dying;

enum level { NONE, SINGLE, ALL, CRASH };
static enum level level_at_start = ALL; /* for faults, which may have overwritten the environment */

static enum level traceback(void)
{
    static const char *const words[] = {"none", "single", "all", "system", "crash",
                                        "0",    "1",      "2",   NULL};
    static const enum level levels[] = {NONE, SINGLE, ALL, ALL, CRASH, NONE, ALL, ALL};
    int word = weft__env_word("WEFT_TRACEBACK", words, -1);
    const char *go = getenv("GOTRACEBACK");

    for (int i = 0; word < 0 && go && words[i]; i++) {
        if (strcmp(go, words[i]) == 0)
            word = i;
    }
    return word >= 0 ? levels[word] : ALL;
}

void weft__traceback_check(void)
{
    level_at_start = traceback();
}

static void say(const char *format, ...) WEFT__PRINTF(1, 2);

static void say(const char *format, ...)
{
    char text[512];
    va_list ap;
    size_t n;

    va_start(ap, format);
    n = weft__format(text, sizeof(text), format, ap);
    va_end(ap);
    weft__death_write(STDERR_FILENO, text, n);
}

/* The end -------------------------------------------------------------------------------------- */

static WEFT__NORETURN void end_by(int signo)
{
    sigset_t set;

    weft__handler_default(signo);
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), signo);
    _exit(128 + signo);
}

static WEFT__NORETURN void end(void)
{
    if (dying.signo)
        end_by(dying.signo);
    if (traceback() == CRASH)
        end_by(SIGABRT);
    _exit(2);
}

/* The watchdog --------------------------------------------------------------------------------- */

/* Says so only where a write does not wait: stderr may be what makes no progress. */
static void on_watchdog(int signo)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    (void)signo;
    if (poll(&p, 1, 0) == 1)
        say("\nweft: the report makes no progress and is cut off here\n");
    end();
}

/* Gives the report its whole time again. */
static void watchdog_feed(void)
{
    struct itimerspec at = {.it_value.tv_sec = dying.patience};
    struct itimerval real = {.it_value.tv_sec = dying.patience};

    if (dying.has_timer)
        syscall(SYS_timer_settime, dying.timer, 0, &at, NULL);
    else
        setitimer(ITIMER_REAL, &real, NULL);
}

/* Starts the watchdog. Its signal goes to the calling thread, so that the process ends by the
 * thread that dies. It is a plain system call, because the C library's function may allocate.
 * Unblocks faults, too: a fault whose signal is blocked ends the process at once. */
static void watchdog_start(int seconds)
{
    struct sigaction sa = {.sa_handler = on_watchdog, .sa_flags = SA_ONSTACK};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    sigset_t set;

    event._sigev_un._tid = (int)syscall(SYS_gettid);
    sigemptyset(&sa.sa_mask);
    sigaction(SIGALRM, &sa, NULL);
    weft__faults(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    dying.patience = seconds;
    dying.has_timer = syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &dying.timer) == 0;
    watchdog_feed();
}

int weft__death_write(int fd, const char *text, size_t n)
{
    enum { PIECE = 4096 };

    while (n > 0) {
        ssize_t done = write(fd, text, n < PIECE ? n : PIECE);

        if (done < 0 && (errno == EINTR || (errno == EAGAIN && weft__fd_takes(fd))))
            continue;
        if (done < 0)
            return -errno;
        text += done;
        n -= (size_t)done;
        if (weft__load_acq(&dying.thread))
            watchdog_feed();
    }
    return 0;
}

/* The beginning -------------------------------------------------------------------------------- */

/* Handles a fault or a panic on the thread that makes the report. */
static WEFT__NORETURN void fail_again(void)
{
    if (dying.is_first)
        siglongjmp(dying.escape, 1);
    say("\nweft: the report failed and ends here\n");
    end();
}

/* Makes the calling thread the one that reports. Another thread that dies meanwhile waits here for
 * the end of the process; if it is the symbolizer, the report goes on without names. */
static void begin_dying(int signo)
{
    pthread_t speaks = 0;

    weft__rank_forget();
    if (weft__cas(&dying.thread, &speaks, pthread_self())) {
        dying.signo = signo;
        /* A report that nobody reads does not change how the process ends. */
        signal(SIGPIPE, SIG_IGN);
        watchdog_start(signo ? AFTER_FAULT : AFTER_PANIC);
        return;
    }
    if (speaks == pthread_self())
        fail_again();
    weft__reporter->dies();
    for (;;)
        pause();
}

/* Errands: work for weft_run's thread ---------------------------------------------------------- */

enum errand_state { NO_ERRAND, ASKED, TAKEN, DONE };

static struct {
    pthread_t runner; /* weft_run's thread */
    uint32_t state;   /* atomic, futex: enum errand_state */
    void (*fn)(void *arg);
    void *arg;
} errand;

void weft__errands_init(void)
{
    errand.runner = pthread_self();
}

bool weft__errand(void (*fn)(void *arg), void *arg)
{
    int64_t until = weft__mono() + ERRAND_BEGINS * INT64_C(1000000);
    uint32_t asked = ASKED;

    if (pthread_equal(errand.runner, pthread_self()))
        return false;
    errand.fn = fn;
    errand.arg = arg;
    weft__store_rel(&errand.state, ASKED);
    weft__done_kick();
    while (weft__load_acq(&errand.state) == ASKED && weft__mono() < until)
        weft__futex_wait(&errand.state, ASKED, 1000000);
    if (weft__cas(&errand.state, &asked, NO_ERRAND))
        return false;
    while (weft__load_acq(&errand.state) == TAKEN)
        weft__futex_wait(&errand.state, TAKEN, -1);
    return true;
}

void weft__errand_run(void)
{
    uint32_t asked = ASKED;

    if (!weft__cas(&errand.state, &asked, TAKEN))
        return;
    errand.fn(errand.arg);
    weft__store_rel(&errand.state, DONE);
    weft__futex_wake(&errand.state, 1);
}

void weft__death_wait(void)
{
    while (weft__load_acq(&dying.thread)) {
        weft__errand_run();
        usleep(1000);
    }
}

/* Reports -------------------------------------------------------------------------------------- */

/* Returns whether tasks can be shown: while a run is under way, but not in a child of fork, which
 * has no workers to help with a snapshot. */
static bool can_explain(void)
{
    return weft__load(&weft__sched.running) && !weft__forked;
}

static void say_overflow(const struct weft__death *d)
{
    const weft__task *t = d->overflowed;
    const char *name = weft__tags_name(t->tags);

    if (!name)
        name = "";
    say("weft: stack of task %llu%s%s%s exceeds its %zu bytes (WEFT stack_size); entry ",
        (unsigned long long)t->id, name[0] ? " \"" : "", name, name[0] ? "\"" : "",
        (size_t)(t->ctx.hi - t->ctx.lo));
    weft__reporter->put_place(STDERR_FILENO, (uintptr_t)t->fn);
    say("\nweft: address=%#llx stack=[%#llx, %#llx]\n", (unsigned long long)d->address,
        (unsigned long long)t->ctx.lo, (unsigned long long)t->ctx.hi);
}

static void die(const char *prefix, const struct weft__death *d, const char *format,
                va_list ap) WEFT__NORETURN WEFT__PRINTF(3, 0);

static void die(const char *prefix, const struct weft__death *d, const char *format, va_list ap)
{
    char text[512];
    int n;

    if (!weft__forked) /* in a child dying may be set, by a thread of the parent */
        begin_dying(0);
    if (d->overflowed)
        say_overflow(d);
    n = snprintf(text, sizeof(text), "%s", prefix);
    vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
    say("%.508s\n\n", text);
    if (can_explain() && traceback() != NONE)
        weft__reporter->explain(STDERR_FILENO, d);
    end();
}

/* caller: the return address of the call that panics. */
static void panic(const void *caller, const char *format, va_list ap) WEFT__NORETURN
    WEFT__PRINTF(2, 0);

static void panic(const void *caller, const char *format, va_list ap)
{
    struct weft__death d = {.alone = traceback() == SINGLE, .caller = caller};

    die("panic: ", &d, format, ap);
}

void weft__panic(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    panic(__builtin_return_address(0), format, ap);
}

static void fatal(const struct weft__death *d, const char *format, ...) WEFT__NORETURN
    WEFT__PRINTF(2, 3);

static void fatal(const struct weft__death *d, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    die("fatal error: ", d, format, ap);
}

void weft_panic(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    panic(__builtin_return_address(0), format, ap);
}

void weft__fatal(const char *format, ...)
{
    struct weft__death d = {.caller = __builtin_return_address(0)};
    va_list ap;

    va_start(ap, format);
    die("fatal error: ", &d, format, ap);
}

void weft__assert_failed(const char *what, const char *file, int line)
{
    weft__fatal("weft: assertion failed: %s (%s:%d)", what, file, line);
}

void weft__deadlock(void)
{
    static const struct weft__death d = {.locks = true};

    fatal(&d, "all goroutines are asleep - deadlock!");
}

void weft__report_overflow(weft__task *t)
{
    struct weft__death d = {.overflowed = t};

    fatal(&d, "stack overflow");
}

void weft__quit(uintptr_t pc, int code)
{
    static const struct weft__death d = {.locks = true};

    begin_dying(0);
    say("SIGQUIT: quit\nPC=%#llx m=0 sigcode=%d\n\n", (unsigned long long)pc, code);
    if (can_explain()) /* with any WEFT_TRACEBACK, as in Go */
        weft__reporter->explain(STDERR_FILENO, &d);
    end();
}

static void say_fault(const char *name, const siginfo_t *info, const void *ucontext)
{
    bool has_address = info->si_code > 0 && info->si_code != SI_KERNEL;

    say("%s\nPC=0x%llx m=0 sigcode=%d", name, (unsigned long long)weft__ctx_pc(ucontext),
        info->si_code);
    if (has_address)
        say(" addr=0x%llx", (unsigned long long)(uintptr_t)info->si_addr);
    say("\n\n");
}

/* Calls part, a piece of the first part. Returns false if a fault in it was jumped out of. */
static bool guarded(void (*part)(struct weft__death *d), struct weft__death *d)
{
    if (sigsetjmp(dying.escape, 0) == 0) {
        dying.is_first = true;
        part(d);
        dying.is_first = false;
        return true;
    }
    dying.is_first = false;
    watchdog_start(AFTER_FAULT); /* the handler that was left had its signal blocked */
    return false;
}

/* Finds the task in whose guard, or just below whose stack, the address lies. */
static void find_overflowed(struct weft__death *d)
{
    weft__worker *w = weft__self();
    weft__task *t = w && !w->foreign ? w->task : NULL;

    if (t && d->address < t->ctx.lo && d->address >= t->ctx.lo - weft__stack_guard)
        d->overflowed = t;
}

/* libuv aborts where it has no code for a failure of the kernel. */
static void tell_of_loop(struct weft__death *d)
{
    weft__worker *w = weft__self();
    weft__proc *p = w ? weft__load(&w->p) : NULL;

    weft__loop_aborted(p ? p->loop : NULL, d->error);
}

static void tell_of_overflow(struct weft__death *d)
{
    say_overflow(d);
}

static void explain_first(struct weft__death *d)
{
    weft__reporter->explain_first(STDERR_FILENO, d);
}

/* Reports a fault and returns. Does not return if another thread is dying already. error: errno
 * when the signal came. */
static void report_fault(const char *name, const siginfo_t *info, const void *ucontext, int error)
{
    struct weft__death d = {.ucontext = ucontext, .error = error};
    int signo = info->si_signo;

    begin_dying(signo);
    d.alone = level_at_start == SINGLE;
    d.address = (uintptr_t)info->si_addr;
    if (info->si_code > 0 && (signo == SIGSEGV || signo == SIGBUS))
        guarded(find_overflowed, &d);
    if (signo == SIGABRT)
        guarded(tell_of_loop, &d);
    if (d.overflowed) {
        guarded(tell_of_overflow, &d);
        say("fatal error: stack overflow\n\n");
    } else {
        say_fault(name, info, d.ucontext);
    }
    if (!can_explain() || level_at_start == NONE)
        return;
    if (!guarded(explain_first, &d)) {
        say("\nweft: a fault in this report\n");
        d.distrust = true; /* the thread's stack alone may do */
        guarded(explain_first, &d);
    }
    weft__reporter->explain(STDERR_FILENO, &d);
}

/* Ends the process by the signal that was reported. It is sent again, blocked until the handler
 * returns, so that a core shows the instruction that it came at. */
static void end_after(int signo, siginfo_t *info)
{
    sigset_t set;

    weft__handler_default(signo);
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (int)syscall(SYS_gettid), signo, info);
}

/* Handles a fault, on the thread that caused it, on its alternate stack. Reads nothing of the
 * runtime but its static data before the report has begun: the fault may have overwritten all else,
 * and a second one would end the process without a word. */
static void on_fault(int signo, siginfo_t *info, void *uc)
{
    int error = errno;

    if (!weft__handler_is_childs()) {
        weft__reporter->faulted(signo, info, uc);
        report_fault(weft__fault_name(signo), info, uc, error);
    }
    end_after(signo, info);
}

void weft__faults_begin(void)
{
    sigset_t set;

    weft__faults(&set);
    for (int s = 1; s < WEFT__SIGNALS; s++) {
        if (sigismember(&set, s) != 1)
            continue;
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
        signal(s, SIG_DFL); /* the sanitizer's own stood there */
#endif
        weft__handler_install_over_default(s, on_fault);
    }
}
