/* SPDX-License-Identifier: MIT */
/* test_files.c - a run's limit on descriptors, and that of children. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static rlim_t soft(void)
{
    struct rlimit now;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &now), 0);
    return now.rlim_cur;
}

static void limit(rlim_t cur, rlim_t max)
{
    struct rlimit l = {cur, max};

    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &l), 0);
}

static int inside(void *arg)
{
    rlim_t *seen = arg;
    int status;
    pid_t child;

    seen[0] = soft();
    child = fork();
    if (child == 0)
        _exit(soft() == 64 ? 0 : 1);
    CHECK_EQ(waitpid(child, &status, 0), child);
    seen[1] = (rlim_t)status;
    return 0;
}

TEST_PLAIN(run_raises_the_soft_limit_and_restores_it)
{
    rlim_t seen[2];

    limit(64, 400);
    CHECK_EQ(weft_run(inside, seen), 0);
    CHECK_EQ(seen[0], 400);
    CHECK_EQ(seen[1], 0); /* the child of fork had 64 */
    CHECK_EQ(soft(), 64);
}

TEST_PLAIN(second_run_raises_it_again)
{
    rlim_t seen[2];

    limit(64, 400);
    CHECK_EQ(weft_run(inside, seen), 0);
    limit(64, 300);
    CHECK_EQ(weft_run(inside, seen), 0);
    CHECK_EQ(seen[0], 300);
    CHECK_EQ(soft(), 64);
}

TEST_PLAIN(option_and_variable_keep_the_soft_limit)
{
    weft_run_options o = {.keep_file_limit = true};
    rlim_t seen[2];

    limit(64, 400);
    CHECK_EQ(weft_run_with(&o, inside, seen), 0);
    CHECK_EQ(seen[0], 64);
    setenv("WEFT_RAISE_FILES", "0", 1);
    CHECK_EQ(weft_run(inside, seen), 0);
    CHECK_EQ(seen[0], 64);
}

static int sets_its_own(void *arg)
{
    (void)arg;
    limit(100, 400);
    return 0;
}

TEST_PLAIN(limit_that_the_program_sets_in_a_run_stays)
{
    limit(64, 400);
    CHECK_EQ(weft_run(sets_its_own, NULL), 0);
    CHECK_EQ(soft(), 100);
}

static int opens_many(void *arg)
{
    int n = 0;

    (void)arg;
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        n++;
    CHECK_EQ(errno, EMFILE);
    return n;
}

TEST_PLAIN(server_at_a_limit_of_64_opens_more)
{
    limit(64, 200);
    CHECK(weft_run(opens_many, NULL) > 64);
}
