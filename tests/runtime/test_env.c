/* SPDX-License-Identifier: MIT */
/* test_env.c - WEFT_ variables with unknown values: stderr gets one line, and the default is used.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char said[4096];

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Runs twice with name=value; `said` receives what stderr got. */
static void run_with(const char *name, const char *value)
{
    int kept = dup(STDERR_FILENO), file = memfd_create("stderr", MFD_CLOEXEC);
    ssize_t n;

    CHECK_EQ(setenv(name, value, 1), 0);
    dup2(file, STDERR_FILENO);
    weft_run(nothing, NULL);
    weft_run(nothing, NULL);
    dup2(kept, STDERR_FILENO);
    n = pread(file, said, sizeof(said) - 1, 0);
    CHECK(n >= 0);
    said[n] = 0;
    close(file);
    close(kept);
}

static void unknown(const char *name, const char *value, const char *known)
{
    char line[256];

    snprintf(line, sizeof(line), "weft: %s=%s is ignored: its value may be %s\n", name, value,
             known);
    run_with(name, value);
    CHECK_STR(said, line);
}

/* Each case is a process, since a process reads WEFT_GUARD in its first run only. */
TEST_PLAIN(unknown_procs_are_said_once)
{
    unknown("WEFT_PROCS", "two", "a number from 1 to 256");
}

TEST_PLAIN(unknown_chaos_is_said_once)
{
    unknown("WEFT_CHAOS", "-1", "a number from 0 to 9223372036854775807");
}

TEST_PLAIN(unknown_handoff_is_said_once)
{
    unknown("WEFT_HANDOFF", "off", "0 or 1");
}

TEST_PLAIN(unknown_guard_is_said_once)
{
    unknown("WEFT_GUARD", "page", "madvise, mprotect or canary");
}

TEST_PLAIN(unknown_membarrier_is_said_once)
{
    unknown("WEFT_MEMBARRIER", "no", "0 or 1");
}

TEST_PLAIN(unknown_clock_is_said_once)
{
    unknown("WEFT_CLOCK", "Virtual", "real or virtual");
}

TEST_PLAIN(unknown_traceback_is_said_once)
{
    unknown("WEFT_TRACEBACK", "full", "none, single, all, system, crash, 0, 1 or 2");
}

TEST_PLAIN(unknown_mutant_is_said_once)
{
    run_with("WEFT_BREAK", "it");
    CHECK_CONTAINS(said, "weft: WEFT_BREAK=it is ignored: its value may be skip_copy_on_resume, ");
    CHECK(strchr(said, '\n') == said + strlen(said) - 1);
}

TEST_PLAIN(numbers_out_of_range_are_unknown_too)
{
    run_with("WEFT_PROCS", "257");
    CHECK_CONTAINS(said, "WEFT_PROCS=257 is ignored");
}

TEST_PLAIN(known_and_empty_values_are_taken_without_a_word)
{
    run_with("WEFT_PROCS", "2");
    CHECK_STR(said, "");
    run_with("WEFT_PROCS", "");
    CHECK_STR(said, "");
    run_with("WEFT_CLOCK", "real");
    CHECK_STR(said, "");
}

static int count_procs(void *arg)
{
    (void)arg;
    return weft_procs();
}

TEST_PLAIN(unknown_value_counts_as_unset)
{
    int procs;

    unsetenv("WEFT_PROCS");
    procs = weft_run(count_procs, NULL);
    CHECK_EQ(setenv("WEFT_PROCS", "3x", 1), 0);
    CHECK_EQ(weft_run(count_procs, NULL), procs);
}
