/* SPDX-License-Identifier: MIT */
/* test_fork.c - the child of a bare fork has one thread of many, no loop, and locks that no thread
 * will release. Every call of weft in it fails clearly, and signals end it. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

WEFT_CHAN_TYPE(ints, int);

enum { NO_SUCH_CALL = 99 };

/* Objects that a child gets from its parent. */
static struct {
    ints *c; /* with a value, and room for another */
    weft_mutex free, locked;
    weft_rwmutex rw, read;
    weft_cond cond;
    weft_once done;
    weft_sema sema;
    weft_waitgroup wg;
    weft_group group;
    weft_timer *timer;
    weft_ticker *ticker;
    weft_local key;
    int v;
} its;

static void nothing(void *arg)
{
    (void)arg;
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int select_one(void)
{
    weft_case on[] = {weft_on_recv(ints_raw(its.c), &its.v)};

    return weft_select(on, 1);
}

#define CALL(x)                                                                                    \
    if (n-- == 0)                                                                                  \
    return (void)(x), true

static bool call_object(int n)
{
    CALL(ints_send(its.c, 1));
    CALL(ints_recv(its.c, &its.v));
    CALL(weft_chan_send(NULL, NULL));
    CALL(weft_chan_len(ints_raw(its.c)));
    CALL(weft_chan_cap(ints_raw(its.c)));
    CALL(ints_close(its.c));
    CALL(ints_new(1));
    CALL(ints_free(its.c));
    CALL(select_one());
    CALL(weft_mutex_lock(&its.free));
    CALL(weft_mutex_lock(&its.locked));
    CALL(weft_mutex_trylock(&its.free));
    CALL(weft_mutex_trylock(&its.locked));
    CALL(weft_mutex_unlock(&its.locked));
    CALL(weft_mutex_assert_held(&its.locked));
    CALL(weft_rwmutex_lock(&its.rw));
    CALL(weft_rwmutex_trylock(&its.rw));
    CALL(weft_rwmutex_read_lock(&its.rw));
    CALL(weft_rwmutex_read_trylock(&its.rw));
    CALL(weft_rwmutex_read_unlock(&its.read));
    CALL(weft_cond_wait(&its.cond, &its.locked));
    CALL(weft_cond_signal(&its.cond));
    CALL(weft_cond_broadcast(&its.cond));
    CALL(weft_once_do(&its.done, nothing, NULL));
    CALL(weft_sema_wait(&its.sema, 1));
    CALL(weft_sema_add(&its.sema, 1));
    CALL(weft_waitgroup_add(&its.wg, 1));
    CALL(weft_waitgroup_wait(&its.wg));
    CALL(weft_timer_new());
    CALL(weft_timer_new_func(nothing, NULL));
    CALL(weft_timer_start(its.timer, WEFT_FOREVER));
    CALL(weft_timer_stop(its.timer));
    CALL(weft_timer_free(its.timer));
    CALL(weft_ticker_new(1));
    CALL(weft_ticker_start(its.ticker, 1));
    CALL(weft_ticker_stop(its.ticker));
    CALL(weft_ticker_free(its.ticker));
    return false;
}

static bool call_runtime(int n)
{
    static const char *const argv[] = {"/bin/true", NULL};

    CALL(weft_run(return_zero, NULL));
    CALL(weft_procs());
    CALL(weft_procs_set(1));
    CALL(weft_go(nothing, NULL));
    CALL(weft_go_with(NULL, nothing, NULL));
    CALL(weft_group_go(&its.group, return_zero, NULL));
    CALL(weft_group_wait(&its.group));
    CALL(weft_group_wait_until(&its.group, WEFT_NOW));
    CALL(weft_group_cancel(&its.group));
    CALL(weft_group_deadline(&its.group, WEFT_FOREVER));
    CALL(weft_group_limit(&its.group, 1));
    CALL(weft_group_keep_going(&its.group));
    CALL(weft_group_is_canceled(&its.group));
    CALL(weft_group_cause(&its.group));
    CALL(weft_task_is_canceled());
    CALL(weft_task_cause());
    CALL(weft_shield_begin());
    CALL(weft_shield_end());
    CALL(weft_group_go(&its.group, nothing, NULL));
    CALL(weft_go(return_zero, NULL));
    CALL(weft_yield());
    CALL(weft_sleep(1));
    CALL(weft_task_id());
    CALL(weft_task_name("x"));
    CALL(weft_labels_set(NULL, 0));
    CALL(weft_labels_add(NULL, 0));
    CALL(weft_labels_do(NULL, 0, nothing, NULL));
    CALL(weft_label_get("x"));
    CALL(weft_pin());
    CALL(weft_unpin());
    CALL(weft_blocking(nothing, NULL));
    CALL(weft_local_new(&its.key, NULL));
    CALL(weft_local_set(its.key, NULL));
    CALL(weft_local_get(its.key));
    CALL(weft_fd_wait(0, WEFT_FD_READ));
    CALL(weft_work(nothing, NULL));
    CALL(weft_process_run(argv));
    CALL(weft_signal_start(ints_raw(its.c), SIGUSR1));
    CALL(weft_signal_stop(ints_raw(its.c), SIGUSR1));
    CALL(weft_dump(STDERR_FILENO, NULL));
    return false;
}

struct forked {
    pid_t pid;
    int status;
};

static void wait_for_child(void *arg)
{
    struct forked *f = arg;

    CHECK_EQ(waitpid(f->pid, &f->status, 0), f->pid);
}

/* The child's stderr goes to `errors`. */
static int status_of_child(bool (*call)(int), int n, int errors)
{
    struct forked f;

    fflush(NULL);
    f.pid = fork();
    CHECK(f.pid >= 0);
    if (f.pid == 0) {
        dup2(errors, STDERR_FILENO);
        _exit(call(n) ? 0 : NO_SUCH_CALL);
    }
    weft_blocking(wait_for_child, &f);
    return WIFSIGNALED(f.status) ? 128 + WTERMSIG(f.status) : WEXITSTATUS(f.status);
}

/* There is one line and no dump, since no task is left to show. */
static void fail_clearly(bool (*call)(int))
{
    static const char why[] = " called in a forked child: only the forking thread lives there\n\n";
    char text[256];
    int status = 0;
    ssize_t size;

    for (int n = 0; status != NO_SUCH_CALL; n++) {
        int errors = memfd_create("errors", MFD_CLOEXEC);
        const char *found;

        status = status_of_child(call, n, errors);
        CHECK((size = pread(errors, text, sizeof(text) - 1, 0)) >= 0);
        text[size] = 0;
        close(errors);
        if (status == NO_SUCH_CALL)
            continue;
        found = strstr(text, why);
        if (status != 2 || !found || strlen(found) != strlen(why))
            FAIL("call %d of a forked child: status %d, \"%s\"", n, status, text);
    }
}

static void make_objects(void)
{
    its.c = ints_new(2);
    its.timer = weft_timer_new();
    its.ticker = weft_ticker_new(WEFT_SECOND);
    CHECK_EQ(weft_local_new(&its.key, NULL), 0);
    CHECK_EQ(ints_send(its.c, 1), 0);
    weft_mutex_lock(&its.locked);
    weft_rwmutex_read_lock(&its.read);
    weft_once_do(&its.done, nothing, NULL);
}

static void free_objects(void)
{
    weft_mutex_unlock(&its.locked);
    weft_ticker_free(its.ticker);
    weft_timer_free(its.timer);
    ints_free(its.c);
}

TEST(calls_of_a_forked_child_on_objects_fail_clearly)
{
    make_objects();
    fail_clearly(call_object);
    free_objects();
}

/* The symbolizer's thread does not live in the child. */
TEST(calls_of_a_forked_child_fail_clearly_though_the_parent_dumped)
{
    make_objects();
    free(dump_text(WEFT_DUMP_TASKS));
    fail_clearly(call_runtime);
    free_objects();
}

/* ---- signals ---- */

enum { HANDLED = 17, OUTLIVED = 98, NOT_DEFAULT = 97 };

static void end_as_handled(int signo)
{
    (void)signo;
    _exit(HANDLED);
}

static pid_t bare_fork(void)
{
    return (pid_t)syscall(SYS_fork);
}

static bool is_default(int signo)
{
    struct sigaction now;

    return sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

/* Returns the end of a child that gets the signal. */
static int ended_by(int signo, pid_t (*make)(void))
{
    struct forked f = {.pid = make()};

    if (f.pid == 0) {
        if (make == fork && signo != SIGUSR1 && !is_default(signo))
            _exit(NOT_DEFAULT);
        kill(getpid(), signo);
        sleep(2); /* which a handler that leaves the signal to another thread would end */
        _exit(OUTLIVED);
    }
    CHECK(f.pid > 0);
    weft_blocking(wait_for_child, &f);
    return WIFSIGNALED(f.status) ? 128 + WTERMSIG(f.status) : WEXITSTATUS(f.status);
}

static void check_children(pid_t (*make)(void))
{
    static const int signals[] = {SIGQUIT, SIGTERM, SIGINT, SIGSEGV, SIGABRT};

    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        CHECK_EQ(ended_by(signals[i], make), 128 + signals[i]);
    if (!under_tsan()) /* whose child of a process with threads runs no handler */
        CHECK_EQ(ended_by(SIGUSR1, make), HANDLED);
}

static int signal_children(void *arg)
{
    static const struct rlimit no_core = {0, 0};
    weft_chan *c = weft_chan_new(sizeof(int), 8);

    (void)arg;
    setrlimit(RLIMIT_CORE, &no_core);
    CHECK_EQ(weft_signal_start(c, SIGTERM), 0);
    CHECK_EQ(weft_signal_start(c, SIGUSR1), 0);
    check_children(fork);
    if (!under_tsan()) /* which knows no other fork */
        check_children(bare_fork);
    CHECK_EQ(weft_chan_len(c), 0);
    CHECK(!is_default(SIGTERM));
    weft_signal_stop(c, SIGTERM);
    weft_signal_stop(c, SIGUSR1);
    weft_chan_free(c);
    return 0;
}

TEST_PLAIN(signals_of_a_forked_child_are_as_before_the_run)
{
    signal(SIGUSR1, end_as_handled);
    CHECK_EQ(weft_run(signal_children, NULL), 0);
}
