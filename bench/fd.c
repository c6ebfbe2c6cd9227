/* SPDX-License-Identifier: MIT */
/* fd.c - a look at a descriptor, ready or not: weft_fd_wait compared with poll(2). */
#include "bench.h"

#include <poll.h>
#include <unistd.h>

enum { RUNS = 40, LOOKS = 5000 };

static double with_poll(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    weft_time began = weft_now();

    for (int i = 0; i < LOOKS; i++)
        poll(&p, 1, 0);
    return (double)(weft_now() - began) / LOOKS;
}

static double with_weft(int fd)
{
    weft_time began = weft_now();

    for (int i = 0; i < LOOKS; i++)
        weft_fd_wait_until(fd, WEFT_FD_READ, WEFT_NOW);
    return (double)(weft_now() - began) / LOOKS;
}

/* Runs the two in turn, so that other work of the machine disturbs both alike. The quickest run of
 * each counts. */
static void compare(const char *name, int fd)
{
    double best[2] = {1e9, 1e9};

    for (int i = 0; i < RUNS; i++) {
        double ours = with_weft(fd), plain = with_poll(fd);

        best[0] = ours < best[0] ? ours : best[0];
        best[1] = plain < best[1] ? plain : best[1];
    }
    bench_result(name, "", best[0], "ns");
    bench_result(name, "_poll", best[1], "ns");
    bench_result(name, "_of_poll", best[0] / best[1], "x");
}

void bench_fd_wait(void)
{
    int ends[2];

    bench_check(pipe(ends), "pipe");
    compare("fd_wait_empty", ends[0]);
    bench_check((int)write(ends[1], "x", 1), "write");
    compare("fd_wait_ready", ends[0]);
}
