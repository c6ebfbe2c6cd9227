/* SPDX-License-Identifier: MIT */
/* test_flight_taken.c - the recorder by a run's options, the snapshots that it takes by itself, and
 * the line that a report of the process's end has about it. */
#include "profiles/trace/flight.h"
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/flight.h>

static char path[64], err[1 << 20];

static weft_run_options options(void)
{
    snprintf(path, sizeof(path), "/dev/shm/weft-test-taken-%d", (int)getpid());
    unlink(path);
    return (weft_run_options){.flight = path, .flight_mb = 1};
}

static const char *file(const char *suffix)
{
    static char text[80];

    snprintf(text, sizeof(text), "%s%s", path, suffix);
    return text;
}

static bool is_there(const char *suffix)
{
    return access(file(suffix), F_OK) == 0;
}

/* Checks that a file is a record with events. why receives the message of the end in it. */
static void check_record(const char *suffix, char why[256])
{
    int fd = open(file(suffix), O_RDONLY);
    struct stat st;
    weft__flight f;
    void *bytes;

    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(weft__flight_read(&f, bytes, (uint64_t)st.st_size) == NULL);
    CHECK(!f.torn);
    CHECK(f.span.n > 0);
    if (why)
        memcpy(why, f.head->why, 256);
    weft__flight_free(&f);
    munmap(bytes, (size_t)st.st_size);
    close(fd);
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

TEST_PLAIN(option_goes_before_the_variable)
{
    weft_run_options o = options();

    setenv("WEFT_FLIGHT", "/nonexistent/record", 1);
    CHECK_EQ(weft_run_with(&o, return_zero, NULL), 0);
    check_record("", NULL);
    unlink(path);
    setenv("WEFT_FLIGHT", path, 1);
    o.flight = "";
    CHECK_EQ(weft_run_with(&o, return_zero, NULL), 0);
    CHECK(!is_there(""));
}

/* Returns when so many snapshots are written. */
static void wait_for_snapshots(uint32_t n)
{
    struct weft__flight_state s = {0};

    while (s.snapshots < n) {
        weft_sleep(WEFT_MILLISECOND);
        weft__flight_state(&s);
        CHECK_EQ(s.failed, 0);
    }
}

static int ask_by_signal(void *arg)
{
    weft_chan *c = weft_chan_new(sizeof(int), 1);
    int signo;

    (void)arg;
    CHECK_EQ(weft_signal_start(c, SIGUSR2), 0);
    for (uint32_t i = 1; i <= 3; i++) {
        kill(getpid(), SIGUSR2);
        wait_for_snapshots(i);
        CHECK_EQ(weft_chan_recv(c, &signo), 0);
        CHECK_EQ(signo, SIGUSR2);
    }
    weft_signal_stop(c, SIGUSR2);
    weft_chan_free(c);
    kill(getpid(), SIGUSR2); /* has a handler still */
    wait_for_snapshots(4);
    return 0;
}

static void check_signals(const weft_run_options *o)
{
    CHECK_EQ(weft_run_with(o, ask_by_signal, NULL), 0);
    CHECK(!is_there(".signal-1"));
    CHECK(!is_there(".signal-2"));
    check_record(".signal-3", NULL);
    check_record(".signal-4", NULL);
    unlink(file(".signal-3"));
    unlink(file(".signal-4"));
    unlink(path);
}

TEST_PLAIN(signal_takes_a_snapshot_and_the_latest_two_stay)
{
    weft_run_options o = options();

    o.flight_signal = SIGUSR2;
    check_signals(&o);
    o.flight_signal = 0;
    setenv("WEFT_FLIGHT_SIGNAL", "USR2", 1);
    check_signals(&o);
}

static void run_with_sigquit(void)
{
    weft_run_options o = options();

    o.flight_signal = SIGQUIT;
    weft_run_with(&o, return_zero, NULL);
}

TEST_PLAIN(signal_that_the_program_cannot_use_panics)
{
    CHECK_EQ(in_child(run_with_sigquit, err, sizeof(err)), 2);
    CHECK_CONTAINS(err, "panic: weft_run: flight_signal is 3");
}

static void do_nothing(void *arg)
{
    (void)arg;
}

/* Keeps the only processor from the other task until the snapshot is written. */
static int stall(void *arg)
{
    struct weft__flight_state s = {0};

    (void)arg;
    weft_go(do_nothing, NULL);
    while (s.snapshots == 0) {
        weft__flight_state(&s);
        CHECK_EQ(s.failed, 0);
    }
    return (int)s.stalls;
}

static void run_stall(void)
{
    weft_run_options o = options();

    o.procs = 1;
    o.no_handoff = true;
    o.flight_stall = 100 * WEFT_MILLISECOND;
    _exit(weft_run_with(&o, stall, NULL));
}

TEST_PLAIN(stall_takes_a_snapshot_and_stderr_says_which_task_and_how_to_read_it)
{
    CHECK_EQ(in_child(run_stall, err, sizeof(err)), 1);
    CHECK_CONTAINS(err, "weft: processor 0 has run task 1 alone for ");
    CHECK_CONTAINS(err, "the last seconds of all tasks: weft-flight /dev/shm/weft-test-taken-");
    CHECK_EQ(sscanf(strstr(err, "weft-flight ") + 12, "%63[^\n]", path), 1);
    check_record("", NULL);
    unlink(path);
    CHECK_STR(strrchr(path, '.'), ".stall-1");
    *strrchr(path, '.') = '\0';
    unlink(path);
}

/* Ends of the process -------------------------------------------------------------------------- */

static void (*end)(void);

static void yield_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        weft_yield();
}

static int run_to_end(void *arg)
{
    if (arg)
        weft_go(yield_for_ever, NULL);
    weft_yield();
    end();
    return 0;
}

static void run_it(void)
{
    weft_run_options o = {.flight = path, .flight_mb = 1};

    weft_run_with(&o, run_to_end, path);
}

static void by_panic(void)
{
    weft_panic("out of tea");
}

static void by_quit(void)
{
    kill(getpid(), SIGQUIT);
    weft_sleep(WEFT_FOREVER);
}

static void by_abort(void)
{
    abort();
}

static void wait_for_ever(void)
{
    weft_chan_recv(NULL, NULL);
}

static void run_deadlock(void)
{
    weft_run_options o = {.flight = path, .flight_mb = 1};

    weft_run_with(&o, run_to_end, NULL);
}

/* Checks that a child which runs fn ends with status, and that its record and its last line say so.
 */
static void check_end(void (*fn)(void), int status, const char *message)
{
    char want[160], why[256];
    const char *line;

    options();
    CHECK_EQ(in_child(fn, err, sizeof(err)), status);
    snprintf(want, sizeof(want), "weft: the last seconds of all tasks: weft-flight %s\n", path);
    line = strstr(err, want);
    CHECK(line && strcmp(line, want) == 0);
    check_record("", why);
    CHECK_STR(why, message);
    unlink(path);
}

TEST_PLAIN(reports_of_the_end_name_the_record_which_ends_where_they_begin)
{
    end = by_panic;
    check_end(run_it, 2, "panic: out of tea");
    end = by_quit;
    check_end(run_it, 2, "SIGQUIT: quit");
    end = by_abort;
    check_end(run_it, 128 + SIGABRT, "SIGABRT: abort");
    end = wait_for_ever;
    check_end(run_deadlock, 2, "all goroutines are asleep - deadlock!");
}
