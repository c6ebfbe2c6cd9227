/* SPDX-License-Identifier: MIT */
/* death.c - the end of a program because of weft: a message in Go's words, a report, the end.
 *
 * Owns: the state of the one report of a process, and its watchdog. There is no lock: the first
 * thread to die stores its id by a CAS, and only that thread touches the rest. death.h says how it
 * may be called. It knows no tasks: sched/fatal.c sets the functions that report them.
 *
 * Panics and fatal errors end with status 2. A signal ends the process by its old disposition, so
 * that shells, service managers and core_pattern see it. WEFT_TRACEBACK, else GOTRACEBACK, chooses
 * the extent: none (the message), single (the task that caused a panic or a fault), all (every
 * task: C tasks share memory, so the others matter), crash (all, and SIGABRT for a core).
 *
 * The process never calls exit(), which would run libuv's clean-up while workers still poll. A
 * fault in the report ends the process; so does the watchdog, if the report makes no progress. */
#include "runtime/base/death.h"

#include "runtime/base/atomic.h"
#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/env.h"
#include "runtime/base/format.h"
#include "runtime/base/handler.h"
#include "runtime/base/log.h"
#include "runtime/base/self.h"

#include <weft/error.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Seconds without progress after which the report is cut off. Sanitizers make everything some ten
 * times as slow. */
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
enum { AFTER_FAULT = 20, AFTER_PANIC = 60 };
#else
enum { AFTER_FAULT = 2, AFTER_PANIC = 10 };
#endif

static struct {
    pthread_t thread;  /* the first thread to die, which reports while others wait; or 0; atomic */
    int signo;         /* the signal that ends the process; 0: none, it ends with status 2 */
    int patience;      /* seconds */
    bool has_timer;    /* the watchdog is timer; else it is ITIMER_REAL */
    int timer;         /* the kernel's number of the watchdog's timer */
    bool is_guarded;   /* a part of the report runs that may fault */
    sigjmp_buf escape; /* the way out of that part; valid while is_guarded */
} dying;

void (*weft__death_explain)(const void *caller, bool alone);
void (*weft__death_silenced)(void);
int64_t weft__death_ticks;
const struct weft__death_record *weft__death_record;

enum weft__traceback weft__traceback(void)
{
    static const char *const words[] = {"none", "single", "all", "system", "crash",
                                        "0",    "1",      "2",   NULL};
    static const enum weft__traceback levels[] = {
        WEFT__SHOW_NONE,  WEFT__SHOW_SINGLE, WEFT__SHOW_ALL, WEFT__SHOW_ALL,
        WEFT__SHOW_CRASH, WEFT__SHOW_NONE,   WEFT__SHOW_ALL, WEFT__SHOW_ALL};
    int word = weft__env_word("WEFT_TRACEBACK", words, -1);
    const char *go = getenv("GOTRACEBACK");

    for (int i = 0; word < 0 && go && words[i]; i++) {
        if (strcmp(go, words[i]) == 0)
            word = i;
    }
    return word >= 0 ? levels[word] : WEFT__SHOW_ALL;
}

void weft__death_say(const char *format, ...)
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

void weft__death_because(const char *why)
{
    const struct weft__death_record *r = weft__load_acq(&weft__death_record);

    if (r && !weft__forked)
        r->stop(why);
}

/* Only where a write does not wait for long: stderr may be what makes no progress. */
void weft__death_tell_record(void)
{
    const struct weft__death_record *r = weft__load_acq(&weft__death_record);
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (r && !weft__forked && poll(&p, 1, 1000) == 1)
        r->tell();
}

void weft__death_end(void)
{
    weft__death_tell_record();
    if (dying.signo)
        end_by(dying.signo);
    if (weft__traceback() == WEFT__SHOW_CRASH)
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
        weft__death_say("\nweft: the report makes no progress and is cut off here\n");
    weft__death_end();
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
    if (dying.is_guarded)
        siglongjmp(dying.escape, 1);
    weft__death_say("\nweft: the report failed and ends here\n");
    weft__death_end();
}

void weft__death_begin(int signo)
{
    pthread_t speaks = 0;

    if (weft__forked)
        return;
    weft__store(&weft__log_dies, true);
    weft__ranks_forget();
    if (weft__cas(&dying.thread, &speaks, pthread_self())) {
        dying.signo = signo;
        weft__death_ticks = weft__ticks();
        /* A report that nobody reads does not change how the process ends. */
        signal(SIGPIPE, SIG_IGN);
        watchdog_start(signo ? AFTER_FAULT : AFTER_PANIC);
        return;
    }
    if (speaks == pthread_self())
        fail_again();
    if (weft__death_silenced)
        weft__death_silenced();
    for (;;)
        pause();
}

bool weft__death_guard(void (*part)(struct weft__death *d), struct weft__death *d)
{
    if (sigsetjmp(dying.escape, 0) == 0) {
        dying.is_guarded = true;
        part(d);
        dying.is_guarded = false;
        return true;
    }
    dying.is_guarded = false;
    watchdog_start(AFTER_FAULT); /* the handler that was left had its signal blocked */
    return false;
}

bool weft__is_dying(void)
{
    return weft__load_acq(&dying.thread) != 0;
}

/* Messages ------------------------------------------------------------------------------------- */

static void die(const char *prefix, const void *caller, bool alone, const char *format,
                va_list ap) WEFT__NORETURN WEFT__PRINTF(4, 0);

/* caller: the return address of the library's call. */
static void die(const char *prefix, const void *caller, bool alone, const char *format, va_list ap)
{
    char text[512];
    int n;

    weft__death_begin(0);
    n = snprintf(text, sizeof(text), "%s", prefix);
    vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
    weft__death_because(text);
    weft__death_say("%.508s\n\n", text);
    if (weft__death_explain && weft__traceback() != WEFT__SHOW_NONE)
        weft__death_explain(caller, alone);
    weft__death_end();
}

static void panic(const void *caller, const char *format, va_list ap) WEFT__NORETURN
    WEFT__PRINTF(2, 0);

static void panic(const void *caller, const char *format, va_list ap)
{
    weft__store(&weft__log_dies, true); /* before the variable is read */
    die("panic: ", caller, weft__traceback() == WEFT__SHOW_SINGLE, format, ap);
}

void weft__panic(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    panic(__builtin_return_address(0), format, ap);
}

void weft_panic(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    panic(__builtin_return_address(0), format, ap);
}

void weft__fatal(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    die("fatal error: ", __builtin_return_address(0), false, format, ap);
}

void weft__assert_failed(const char *what, const char *file, int line)
{
    weft__fatal("weft: assertion failed: %s (%s:%d)", what, file, line);
}
