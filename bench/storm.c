/* SPDX-License-Identifier: MIT */
/* storm.c - the longest gap of a 1 ms ticker while storm.py's clients connect at once. */
#include "bench.h"

#include <string.h>
#include <sys/resource.h>

static void echo(void *c)
{
    char byte;

    while (weft_conn_read(c, &byte, 1) == 1)
        bench_check(weft_conn_write(c, &byte, 1), "weft_conn_write");
    weft_conn_close(c);
}

static void accept_all(void *ln)
{
    weft_conn *c;

    while (weft_accept(ln, &c) == 0)
        weft_go(echo, c);
}

void bench_accept_storm(void)
{
    char at[WEFT_ADDR_TEXT];
    const char *client[] = {"python3", "bench/storm.py", NULL, NULL};
    weft_duration task, bare;
    struct rlimit files;
    weft_listener *ln;
    weft_addr addr;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    bench_check(weft_listen("127.0.0.1:0", &ln), "weft_listen");
    addr = weft_listener_addr(ln);
    weft_addr_name(&addr, at, sizeof(at));
    client[2] = strchr(at, ':') + 1;
    weft_go(accept_all, ln);
    bench_gap_start();
    bench_check(-weft_process_run(client), "storm.py");
    bench_gap_stop(&task, &bare);
    bench_result("accept_storm", "_gap", (double)task / 1e6, "ms");
    bench_result("accept_storm", "_bare", (double)bare / 1e6, "ms");
    weft_listener_close(ln);
}
