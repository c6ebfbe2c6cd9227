/* SPDX-License-Identifier: MIT */
/* test_child.c - child processes of tasks: the state they begin with, and the ways they end. */
#include "support.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the mask ---- */

static const char none[] = "0000000000000000";
static int ends[2]; /* of a pipe that children write to */

static char *const show[] = {(char[]){"grep"}, (char[]){"SigBlk"}, (char[]){"/proc/self/status"},
                             NULL};
static const char show_by_shell[] = "grep SigBlk /proc/self/status"; /* it may unblock all */

static void by_fork(void *arg)
{
    pid_t pid = fork();

    (void)arg;
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execvp(show[0], show);
        _exit(127);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void by_spawn(void *arg)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;

    (void)arg;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    CHECK_EQ(posix_spawnp(&pid, show[0], &actions, NULL, show, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void by_popen(void *arg)
{
    char line[64];
    FILE *f = popen(show_by_shell, "r");

    (void)arg;
    CHECK(f && fgets(line, sizeof(line), f));
    CHECK_EQ(write(ends[1], line, strlen(line)), strlen(line));
    CHECK_EQ(pclose(f), 0);
}

static void by_system(void *arg)
{
    char command[96];

    (void)arg;
    snprintf(command, sizeof(command), "%s >&%d", show_by_shell, ends[1]);
    CHECK_EQ(system(command), 0);
}

static void by_spawn_in_the_pool(void *arg)
{
    CHECK_EQ(weft_work(by_spawn, arg), 0);
}

static void by_process_run(void *arg)
{
    char command[96];

    (void)arg;
    snprintf(command, sizeof(command), "%s >&%d", show_by_shell, ends[1]);
    CHECK_EQ(weft_process_run((const char *[]){"sh", "-c", command, NULL}), 0);
}

static void check_mask(weft_task_fn *start, const char *mask)
{
    char line[64] = "";

    start(NULL);
    CHECK(read(ends[0], line, sizeof(line) - 1) > 0);
    line[strcspn(line, "\n")] = 0;
    CHECK_STR(line + strlen("SigBlk:\t"), mask);
}

static int start_children(void *mask)
{
    weft_chan *c = weft_chan_new(sizeof(int), 1);

    CHECK_EQ(weft_signal_start(c, SIGTERM), 0);
    check_mask(by_process_run, none);
    check_mask(by_fork, mask);
    if (!under_tsan()) { /* whose workers block signals */
        check_mask(by_spawn, mask);
        check_mask(by_spawn_in_the_pool, mask);
    }
    if (strcmp(mask, none) == 0) {
        check_mask(by_popen, mask);
        check_mask(by_system, mask);
    }
    weft_signal_stop(c, SIGTERM);
    weft_chan_free(c);
    return 0;
}

static void handle(int signo)
{
    (void)signo;
}

static void run_with(const char *mask)
{
    signal(SIGUSR1, handle);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(weft_run(start_children, (void *)(uintptr_t)mask), 0);
}

TEST_PLAIN(children_begin_with_no_signal_blocked)
{
    run_with(none);
}

TEST_PLAIN(children_begin_with_the_mask_that_weft_run_was_called_with)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    run_with("0000000000002800");
}

/* ---- SIGPIPE ---- */

static int write_to_nobody(void *arg)
{
    int n = 0;

    (void)arg;
    while (write(STDOUT_FILENO, "line\n", 5) == 5)
        n++;
    CHECK_EQ(n, 0);
    return 3;
}

static void write_after_the_reader(void)
{
    CHECK_EQ(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    _exit(weft_run(write_to_nobody, NULL));
}

static void write_and_ignore(void)
{
    signal(SIGPIPE, SIG_IGN);
    write_after_the_reader();
}

TEST_PLAIN(write_to_a_pipe_without_a_reader_ends_the_process)
{
    char err[256];

    CHECK_EQ(in_child(write_after_the_reader, err, sizeof(err)), 128 + SIGPIPE);
}

TEST_PLAIN(write_to_a_pipe_without_a_reader_fails_if_sigpipe_is_ignored)
{
    char err[256];

    CHECK_EQ(in_child(write_and_ignore, err, sizeof(err)), 3);
}

/* ---- standard streams ---- */

static int look_at_the_streams(void *arg)
{
    (void)arg;
    for (int fd = 0; fd <= 2; fd++) {
        char path[32], to[32] = "";

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, to, sizeof(to) - 1) < 0 || strcmp(to, "/dev/null") != 0)
            return 10 + fd;
    }
    return weft_process_run(
        (const char *[]){"sh", "-c", "readlink /proc/$$/fd/0 | grep -q null && exit 3", NULL});
}

static void run_without_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
    _exit(weft_run(look_at_the_streams, NULL));
}

TEST_PLAIN(streams_that_were_closed_are_not_the_runtime_s)
{
    char err[256];

    CHECK_EQ(in_child(run_without_streams, err, sizeof(err)), 3);
}
