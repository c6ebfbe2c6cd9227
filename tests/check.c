/* SPDX-License-Identifier: MIT */
/* check.c - forks each test, watches over it and judges how it ended.
 *
 * The parent never starts a thread and never calls the runtime, so each child begins as a process
 * that has never run weft. A child leads a process group. The parent kills the group when the test
 * is over, so nothing that a test started outlives it. */
#include "check.h"

#include <weft.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_FAILED = 1, STATUS_SKIPPED = 77, GRACE_SECONDS = 5, SHOWN_BYTES = 64 * 1024 };

typedef enum verdict { PASSED, FAILED, SKIPPED } verdict;

/* One forked test, seen from the parent. */
typedef struct run {
    const check_test *test;
    pid_t pid;
    FILE *out, *err; /* unlinked files that hold what the child wrote */
    int status;      /* as check_test.status */
    bool timed_out;
} run;

static check_test *tests, **tests_end = &tests;

void check_add(check_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

/* ---- inside a test ---- */

void check_failed(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "%s:%d: %s\n", file, line, text);
    /* Not exit(): its handlers would run beside the threads of the runtime. */
    _exit(STATUS_FAILED);
}

void check_skip(const char *reason)
{
    dprintf(STDERR_FILENO, "%s\n", reason);
    _exit(STATUS_SKIPPED);
}

void check_eq(const char *file, int line, const char *what, intmax_t a, intmax_t b)
{
    if (a != b)
        check_failed(file, line, "CHECK_EQ(%s): %jd and %jd", what, a, b);
}

void check_str(const char *file, int line, const char *what, const char *a, const char *b)
{
    if (a == NULL || b == NULL || strcmp(a, b) != 0)
        check_failed(file, line, "CHECK_STR(%s): \"%s\" and \"%s\"", what, a ? a : "(null)",
                     b ? b : "(null)");
}

void check_contains(const char *file, int line, const char *what, const char *hay,
                    const char *needle)
{
    if (strstr(hay, needle) == NULL)
        check_failed(file, line, "CHECK_CONTAINS(%s): no \"%s\" in \"%.1500s\"", what, needle, hay);
}

static int main_task(void *arg)
{
    const check_test *test = arg;

    test->body();
    return 0;
}

static _Noreturn void child(const check_test *test, const run *r)
{
    static const struct rlimit no_core = {0, 0};
    sigset_t none;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (test->status != 0)
        setrlimit(RLIMIT_CORE, &no_core);
    dup2(fileno(r->out), STDOUT_FILENO);
    dup2(fileno(r->err), STDERR_FILENO);
    setvbuf(stdout, NULL, _IONBF, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (test->place == CHECK_PLAIN)
        test->body();
    else if (weft_run(main_task, (void *)test) != 0)
        check_failed(__FILE__, __LINE__, "weft_run failed");
    /* exit() and not _exit(): the sanitizers' last word (leaks, races) is said at exit. */
    exit(0);
}

/* ---- the parent ---- */

static double seconds_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double time_limit(void)
{
    const char *given = getenv("WEFT_TEST_TIMEOUT");

    if (given != NULL)
        return strtod(given, NULL);
    return getenv("WEFT_TEST_SLOW") != NULL ? 600 : 60;
}

/* Waits for the child's end. Returns false if it still runs after so many seconds. SIGCHLD is
 * blocked, so an end between the two calls stays pending. */
static bool ended_within(run *r, double seconds)
{
    double end = seconds_now() + seconds, left;
    struct timespec ts;
    sigset_t chld;
    int status;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    while (waitpid(r->pid, &status, WNOHANG) != r->pid) {
        if ((left = end - seconds_now()) <= 0)
            return false;
        ts.tv_sec = (time_t)left;
        ts.tv_nsec = (long)((left - (double)ts.tv_sec) * 1e9);
        sigtimedwait(&chld, NULL, &ts);
    }
    r->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

static void watch(run *r)
{
    r->timed_out = !ended_within(r, time_limit());
    if (r->timed_out) {
        kill(r->pid, SIGQUIT);
        if (!ended_within(r, GRACE_SECONDS)) {
            kill(r->pid, SIGKILL);
            ended_within(r, 1e6);
        }
    }
    kill(-r->pid, SIGKILL);
}

/* Returns the whole of a captured file as a string for free(). */
static char *contents(FILE *file, size_t *size)
{
    long end;
    char *text;

    fseek(file, 0, SEEK_END);
    end = ftell(file);
    rewind(file);
    text = malloc((size_t)end + 1);
    if (text == NULL)
        abort();
    *size = fread(text, 1, (size_t)end, file);
    text[*size] = '\0';
    return text;
}

static bool says(FILE *file, const char *needle)
{
    size_t size;
    char *text = contents(file, &size);
    bool found = memmem(text, size, needle, strlen(needle)) != NULL;

    free(text);
    return found;
}

/* Prints a captured file, or the head and the tail of a very long one. */
static void show(FILE *file)
{
    size_t size, half = SHOWN_BYTES / 2;
    char *text = contents(file, &size);

    if (size <= SHOWN_BYTES)
        printf("%s", text);
    else
        printf("%.*s\n... %zu bytes ...\n%s", (int)half, text, size - 2 * half, text + size - half);
    free(text);
}

static verdict judge(const run *r)
{
    const check_test *test = r->test;

    if (r->timed_out)
        printf("FAIL %s: not ended after %.0f s\n", test->name, time_limit());
    else if (r->status == STATUS_SKIPPED && test->status != STATUS_SKIPPED)
        return SKIPPED;
    else if (r->status != test->status)
        printf("FAIL %s: status %d, expected %d\n", test->name, r->status, test->status);
    else if (test->says != NULL && !says(r->err, test->says))
        printf("FAIL %s: stderr does not contain \"%s\"\n", test->name, test->says);
    else
        return PASSED;
    show(r->out);
    show(r->err);
    return FAILED;
}

static verdict run_test(const check_test *test)
{
    run r = {.test = test, .out = tmpfile(), .err = tmpfile()};
    double start = seconds_now();
    verdict v;

    if (r.out == NULL || r.err == NULL || (fflush(NULL), r.pid = fork()) < 0) {
        printf("FAIL %s: %s\n", test->name, strerror(errno));
        return FAILED;
    }
    if (r.pid == 0)
        child(test, &r);
    watch(&r);
    v = judge(&r);
    if (v == PASSED)
        printf("ok   %s (%.2f s)\n", test->name, seconds_now() - start);
    if (v == SKIPPED) {
        printf("skip %s: ", test->name);
        show(r.err);
    }
    fclose(r.out);
    fclose(r.err);
    return v;
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    int counts[3] = {0};
    sigset_t chld;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    for (const check_test *test = tests; test != NULL; test = test->next) {
        if (strcmp(part, "--list") == 0)
            puts(test->name);
        else if (strstr(test->name, part) != NULL)
            counts[run_test(test)]++;
    }
    if (strcmp(part, "--list") == 0)
        return 0;
    printf("%d passed, %d failed", counts[PASSED], counts[FAILED]);
    if (counts[SKIPPED] > 0)
        printf(", %d skipped", counts[SKIPPED]);
    putchar('\n');
    if (counts[PASSED] + counts[FAILED] == 0)
        return counts[SKIPPED] > 0 ? STATUS_SKIPPED : STATUS_FAILED;
    return counts[FAILED] > 0;
}
