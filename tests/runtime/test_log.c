/* SPDX-License-Identifier: MIT */
/* test_log.c - the lines that the library writes by itself. */
#include "sockets.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char lines[4096];

static void keep(void *arg, const char *line)
{
    CHECK(arg == lines);
    strncat(lines, line, sizeof(lines) - strlen(lines) - 2);
    strcat(lines, "|");
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void run_with_a_bad_variable(void)
{
    support_setenv("WEFT_HOGS", "many");
    weft_run(nothing, NULL);
}

TEST_PLAIN(lines_go_to_stderr)
{
    char err[1000];

    CHECK_EQ(in_child(run_with_a_bad_variable, err, sizeof(err)), 0);
    CHECK_CONTAINS(err, "weft: WEFT_HOGS=many is ignored: its value may be ");
    CHECK_EQ(err[strlen(err) - 1], '\n');
}

static void run_with_a_function(void)
{
    weft_log_set(keep, lines);
    run_with_a_bad_variable();
    CHECK_CONTAINS(lines, "weft: WEFT_HOGS=many is ignored: its value may be ");
    CHECK_EQ(lines[strlen(lines) - 1], '|');
    CHECK(!strchr(lines, '\n'));
}

TEST_PLAIN(lines_go_to_the_function_of_the_program)
{
    char err[1000];

    CHECK_EQ(in_child(run_with_a_function, err, sizeof(err)), 0);
    CHECK_STR(err, "");
}

static void run_without_it_again(void)
{
    weft_log_set(keep, lines);
    weft_log_set(NULL, NULL);
    run_with_a_bad_variable();
    CHECK_STR(lines, "");
}

TEST_PLAIN(lines_go_to_stderr_again)
{
    char err[1000];

    CHECK_EQ(in_child(run_without_it_again, err, sizeof(err)), 0);
    CHECK_CONTAINS(err, "weft: WEFT_HOGS=many is ignored");
}

TEST(server_without_a_log_uses_it)
{
    weft_http_mux *mux = weft_http_mux_new();
    weft_http_server *s = weft_http_server_new(mux, NULL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    weft_log_set(keep, lines);
    listen_at("127.0.0.1:0");
    CHECK(dup2(null, weft_listener_fd(listener)) >= 0); /* which fails to accept from now on */
    CHECK(weft_http_server_serve(s, listener) < 0);
    CHECK_CONTAINS(lines, "http: a listener has ended: ");
    CHECK_EQ(weft_http_server_stop(s), 0);
    weft_http_server_free(s);
    weft_http_mux_free(mux);
    close(null);
}

static void fails(void *arg, const char *line)
{
    (void)arg;
    (void)line;
    abort();
}

/* The function is not called while the program dies. */
TEST_DIES(reports_of_death_go_to_stderr, 2, "panic: enough")
{
    weft_log_set(fails, NULL);
    support_setenv("WEFT_TRACEBACK", "much");
    weft_panic("enough");
}
