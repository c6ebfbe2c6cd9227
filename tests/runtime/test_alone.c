/* SPDX-License-Identifier: MIT */
/* test_alone.c - runtime/ links and runs without profiles/: this program has none of it. So calls
 * through the reporter and to the sinks are no calls upward (circles.py), and a panic still ends
 * the program as it does otherwise, but shows no task. */
#include "runtime/run/run.h"

#include "runtime/sched/sinks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

#define EXPECT(x)                                                                                  \
    ((x) ? (void)0 : (fprintf(stderr, "line %d: not so: %s\n", __LINE__, #x), abort()))

static unsigned spawned; /* on one processor */

static void on_spawn(struct weft__event_sink *s, const weft__task *t)
{
    (void)s, (void)t;
    spawned++;
}

static void echo(void *arg)
{
    weft_conn *c = arg;
    char byte;

    EXPECT(weft_conn_read(c, &byte, 1) == 1);
    EXPECT(weft_conn_write(c, &byte, 1) == 0);
    weft_conn_close(c);
}

static void double_it(void *chan)
{
    int n;

    EXPECT(weft_chan_recv(chan, &n) == 0);
    n *= 2;
    EXPECT(weft_chan_send(chan, &n) == 0);
}

static int use_all(void *arg)
{
    weft_chan *chan = weft_chan_new(sizeof(int), 0);
    weft_conn *ends[2];
    char byte = 'x';
    int pair[2], n = 21;

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    EXPECT(weft_conn_adopt(pair[0], &ends[0]) == 0 && weft_conn_adopt(pair[1], &ends[1]) == 0);
    weft_go(echo, ends[1]);
    EXPECT(weft_conn_write(ends[0], &byte, 1) == 0 && weft_conn_read(ends[0], &byte, 1) == 1);
    weft_conn_close(ends[0]);
    weft_go(double_it, chan);
    EXPECT(weft_chan_send(chan, &n) == 0 && weft_chan_recv(chan, &n) == 0 && n == 42);
    weft_chan_free(chan);
    EXPECT(weft_sleep(WEFT_MILLISECOND) == 0);
    return arg != NULL;
}

static int panics(void *arg)
{
    (void)arg;
    weft_panic("nobody reports this");
}

/* A panic in a child: its message and its status. */
static void check_panic(const weft_run_options *options)
{
    char text[256] = "";
    int out[2], status;

    EXPECT(pipe(out) == 0);
    if (fork() == 0) {
        dup2(out[1], STDERR_FILENO);
        weft__run(options, panics, NULL);
        _exit(0);
    }
    close(out[1]);
    EXPECT(read(out[0], text, sizeof(text) - 1) > 0);
    EXPECT(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 2);
    EXPECT(strcmp(text, "panic: nobody reports this\n\n") == 0);
}

int main(void)
{
    struct weft__event_sink sink = {.spawn = on_spawn};
    weft_run_options options = {.procs = 1};

    check_panic(&options);
    EXPECT(weft__sinks_add(&sink));
    EXPECT(weft__run(&options, use_all, &sink) == 1);
    weft__sinks_remove(&sink);
    EXPECT(spawned == 3);
    EXPECT(weft__run(&options, use_all, NULL) == 0);
    return 0;
}
