/* SPDX-License-Identifier: MIT */
/* test_signal.c - signals as channels; which handlers the runtime installs. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static weft_chan *listen_for(int signo, size_t cap)
{
    weft_chan *c = weft_chan_new(sizeof(int), cap);

    CHECK_EQ(weft_signal_start(c, signo), 0);
    return c;
}

static int recv_signal(weft_chan *c)
{
    int signo = 0;

    CHECK_EQ(weft_chan_recv(c, &signo), 0);
    return signo;
}

static bool is_default(int signo)
{
    struct sigaction sa;

    CHECK_EQ(sigaction(signo, NULL, &sa), 0);
    return !(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_DFL;
}

TEST(signal_is_received_as_its_number)
{
    weft_chan *c = listen_for(SIGUSR1, 1);

    for (int i = 0; i < 100; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_EQ(recv_signal(c), SIGUSR1);
    }
    weft_signal_stop(c, SIGUSR1);
    weft_chan_free(c);
}

TEST(signal_that_would_end_the_process_does_not)
{
    weft_chan *c = listen_for(SIGTERM, 4);

    CHECK_EQ(weft_signal_start(c, SIGINT), 0);
    CHECK_EQ(kill(getpid(), SIGTERM), 0);
    CHECK_EQ(recv_signal(c), SIGTERM);
    CHECK_EQ(kill(getpid(), SIGINT), 0);
    CHECK_EQ(recv_signal(c), SIGINT);
    weft_signal_stop(c, SIGTERM);
    weft_signal_stop(c, SIGINT);
    CHECK(is_default(SIGTERM) && is_default(SIGINT));
    weft_chan_free(c);
}

TEST(sigquit_as_a_channel_is_no_dump)
{
    weft_chan *c = listen_for(SIGQUIT, 1);

    CHECK_EQ(kill(getpid(), SIGQUIT), 0);
    CHECK_EQ(recv_signal(c), SIGQUIT);
    weft_signal_stop(c, SIGQUIT);
    weft_chan_free(c);
}

TEST_DIES(sigquit_is_a_dump_again_after_stop, 2, "SIGQUIT: quit")
{
    weft_chan *c = listen_for(SIGQUIT, 1);

    weft_signal_stop(c, SIGQUIT);
    CHECK_EQ(kill(getpid(), SIGQUIT), 0);
    for (;;)
        weft_yield();
}

TEST(each_channel_gets_the_signal_and_a_full_one_misses_it)
{
    weft_chan *roomy = listen_for(SIGUSR1, 1), *narrow = listen_for(SIGUSR1, 1);

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_EQ(recv_signal(roomy), SIGUSR1);
    }
    weft_signal_stop(roomy, SIGUSR1);
    weft_signal_stop(narrow, SIGUSR1);
    CHECK_EQ(weft_chan_len(narrow), 1);
    CHECK_EQ(recv_signal(narrow), SIGUSR1);
    weft_chan_free(roomy);
    weft_chan_free(narrow);
}

TEST(stopped_channel_gets_no_more)
{
    weft_chan *first = listen_for(SIGUSR1, 1), *second = listen_for(SIGUSR1, 1);

    weft_signal_stop(first, SIGUSR1);
    CHECK(!is_default(SIGUSR1));
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(recv_signal(second), SIGUSR1);
    CHECK_EQ(weft_chan_len(first), 0);
    weft_signal_stop(second, SIGUSR1);
    CHECK(is_default(SIGUSR1));
    weft_chan_free(first);
    weft_chan_free(second);
}

/* ---- signals that come as the listening ends ---- */

TEST(signal_that_came_before_the_stop_is_received)
{
    if (under_tsan())
        SKIP("a task's thread blocks signals");
    for (int i = 0; i < 300; i++) {
        weft_chan *c = listen_for(SIGUSR1, 1);

        CHECK_EQ(raise(SIGUSR1), 0);
        weft_signal_stop(c, SIGUSR1);
        CHECK_EQ(weft_chan_len(c), 1);
        weft_chan_free(c);
    }
}

static unsigned delay; /* us */

static void *kill_us(void *arg)
{
    CHECK_EQ(kill(getpid(), SIGTERM), 0);
    return arg;
}

static void join(void *thread)
{
    pthread_join(*(pthread_t *)thread, NULL);
}

/* 0: received; a signal's number: it ended the process; 9: neither. */
static int stop_amid_a_signal(void *arg)
{
    weft_chan *c = listen_for(SIGTERM, 1);
    weft_time end;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, arg, kill_us, NULL), 0);
    for (end = weft_now() + delay * WEFT_MICROSECOND; weft_now() < end;)
        ;
    weft_signal_stop(c, SIGTERM);
    weft_blocking(join, &thread);
    if (weft_chan_len(c) == 1)
        return 0;
    sleep(20);
    return 9;
}

static void run_amid_a_signal(void)
{
    _exit(weft_run(stop_amid_a_signal, NULL));
}

TEST_PLAIN(signal_during_the_stop_is_received_or_acts)
{
    int rounds = under_asan() ? 30 : 300, received = 0, status;
    char err[1024];

    if (under_tsan())
        SKIP("TSan drops a signal that it put off when the handler goes");
    for (int i = 0; i < rounds; i++) {
        delay = (unsigned)i * 7 % 150;
        status = in_child(run_amid_a_signal, err, sizeof(err));
        received += status == 0;
        if (status != 0 && status != 128 + SIGTERM)
            FAIL("status %d: %s", status, err);
    }
    printf("%d of %d were received\n", received, rounds);
}

TEST(signals_that_cannot_be_had_are_invalid)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                                SIGABRT, 0,       -1,      65,     1000};
    weft_chan *c = weft_chan_new(sizeof(int), 1), *odd = weft_chan_new(1, 1);

    for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
        CHECK_EQ(weft_signal_start(c, never[i]), WEFT_EINVAL);
    CHECK_EQ(weft_signal_start(NULL, SIGUSR1), WEFT_EINVAL);
    CHECK_EQ(weft_signal_start(odd, SIGUSR1), WEFT_EINVAL);
    weft_signal_stop(c, SIGUSR1);
    weft_chan_free(c);
    weft_chan_free(odd);
}

/* ---- handlers of the program ---- */

static atomic_int called; /* lock-free: set in handlers */

static void note(int signo)
{
    called = signo;
}

static void note_with_info(int signo, siginfo_t *info, void *context)
{
    (void)context;
    CHECK_EQ(info->si_pid, getpid());
    called = signo;
}

TEST(handler_that_was_there_is_still_called_and_comes_back)
{
    struct sigaction sa = {.sa_handler = note}, now;
    weft_chan *c;

    sigaction(SIGUSR1, &sa, NULL);
    c = listen_for(SIGUSR1, 1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(recv_signal(c), SIGUSR1);
    while (called != SIGUSR1)
        weft_yield();
    weft_signal_stop(c, SIGUSR1);
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == note);
    weft_chan_free(c);
}

TEST(handler_with_siginfo_is_called_with_it)
{
    struct sigaction sa = {.sa_sigaction = note_with_info, .sa_flags = SA_SIGINFO};
    weft_chan *c;

    sigaction(SIGUSR2, &sa, NULL);
    c = listen_for(SIGUSR2, 1);
    CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    CHECK_EQ(recv_signal(c), SIGUSR2);
    while (called != SIGUSR2)
        weft_yield();
    weft_signal_stop(c, SIGUSR2);
    weft_chan_free(c);
}

static uintptr_t handled_at;

static void note_where(int signo)
{
    char here;

    called = signo;
    handled_at = (uintptr_t)&here;
}

static int raise_in_a_task(void *arg)
{
    uintptr_t here = (uintptr_t)&arg;

    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(called, SIGUSR1);
    CHECK(handled_at > here || handled_at < here - 4096);
    return 0;
}

TEST_PLAIN(handler_of_the_program_runs_beside_a_task_s_stack)
{
    struct sigaction sa = {.sa_handler = note_where}, now;

    if (under_tsan())
        SKIP("a task's thread blocks signals");
    sigaction(SIGUSR1, &sa, NULL);
    CHECK_EQ(weft_run(raise_in_a_task, NULL), 0);
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == note_where);
    CHECK_EQ(now.sa_flags & SA_ONSTACK, 0);
}

static int quit_is_the_programs(void *arg)
{
    struct sigaction now;

    (void)arg;
    sigaction(SIGQUIT, NULL, &now);
    CHECK(now.sa_handler == note);
    CHECK_EQ(kill(getpid(), SIGQUIT), 0);
    while (called != SIGQUIT)
        weft_yield();
    return 0;
}

static int quit_is_heard_for_a_while(void *arg)
{
    weft_chan *c = listen_for(SIGQUIT, 1);

    weft_signal_stop(c, SIGQUIT);
    weft_chan_free(c);
    return quit_is_the_programs(arg);
}

TEST_PLAIN(handler_of_the_program_comes_back_at_sigquit_too)
{
    struct sigaction sa = {.sa_handler = note};

    sigaction(SIGQUIT, &sa, NULL);
    CHECK_EQ(weft_run(quit_is_heard_for_a_while, NULL), 0);
}

TEST_PLAIN(handler_of_the_program_stays_in_place)
{
    struct sigaction sa = {.sa_handler = note};

    sigaction(SIGQUIT, &sa, NULL);
    CHECK_EQ(weft_run(quit_is_the_programs, NULL), 0);
}

static int quit_is_ignored(void *arg)
{
    (void)arg;
    CHECK_EQ(kill(getpid(), SIGQUIT), 0);
    weft_yield();
    return 0;
}

TEST_PLAIN(ignored_signal_stays_ignored)
{
    signal(SIGQUIT, SIG_IGN);
    CHECK_EQ(weft_run(quit_is_ignored, NULL), 0);
}

static int handlers(void *arg)
{
    (void)arg;
    return !is_default(SIGQUIT);
}

TEST_PLAIN(handlers_stand_during_the_run_only)
{
    weft_run_options none = {.no_signals = true};

    CHECK_EQ(weft_run(handlers, NULL), 1);
    CHECK(is_default(SIGQUIT) && is_default(SIGURG));
    CHECK_EQ(weft_run_with(&none, handlers, NULL), 0);
}

static int leave_listening(void *c)
{
    return weft_signal_start(c, SIGTERM);
}

TEST_PLAIN(end_of_the_run_ends_the_listening)
{
    weft_chan *c = weft_chan_new(sizeof(int), 1);

    CHECK_EQ(weft_run(leave_listening, c), 0);
    CHECK(is_default(SIGTERM));
    weft_chan_free(c);
}
