/* SPDX-License-Identifier: MIT */
/* torture_runs.c - weft_run again and again; each run ends with everything under way.
 *
 * At the end of a run tasks wait, run, hog, block, are pinned, and sit in the thread pool, in
 * descriptors, sockets, lookups and children. Now and then one sits in a call into C for longer
 * than the end of the run waits, and comes back during a later run, which must not notice. */
#include "torture.h"

#include <weft/chan.h>
#include <weft/fd.h>
#include <weft/net.h>
#include <weft/task.h>
#include <weft/time.h>

#include <sys/socket.h>

enum { PAIRS = 8 };

static int pairs[PAIRS][2];
static uint64_t runs, abandoned, numbers; /* numbers: atomic */

static void block(void *arg)
{
    usleep((useconds_t)(uintptr_t)arg);
}

static void sleeps(void *arg)
{
    (void)arg;
    for (;;)
        weft_sleep(100 * WEFT_MICROSECOND);
}

static void hogs(void *arg)
{
    (void)arg;
    for (;;) {
        torture_spin(3000);
        weft_yield();
    }
}

static void blocks(void *arg)
{
    for (;;) {
        usleep((useconds_t)(uintptr_t)arg);
        weft_yield();
    }
}

static void declares(void *arg)
{
    for (;;)
        weft_blocking(block, arg);
}

static void ends_pinned(void *arg)
{
    weft_pin();
    weft_sleep((weft_duration)(uintptr_t)arg);
}

static void stays_pinned(void *arg)
{
    weft_pin();
    for (;;) {
        weft_yield();
        usleep((useconds_t)(uintptr_t)arg);
    }
}

static void works(void *arg)
{
    for (;;)
        weft_work(block, arg);
}

static void polls(void *arg)
{
    int fd = pairs[(uintptr_t)arg % PAIRS][0];

    for (;;) {
        if (weft_fd_wait_until(fd, WEFT_FD_READ, weft_after((weft_duration)(uintptr_t)arg)) !=
            WEFT_ETIMEDOUT)
            weft_sleep(WEFT_MILLISECOND); /* another waits on it */
    }
}

static void echoes(void *conn)
{
    char buf[100];
    ssize_t n;

    while ((n = weft_conn_read(conn, buf, sizeof(buf))) > 0 &&
           weft_conn_write(conn, buf, (size_t)n) == 0)
        ;
    weft_conn_close(conn);
}

static void dials(void *address)
{
    weft_conn *c;
    char byte = 'x';

    EXPECT(weft_dial(address, &c) == 0);
    while (weft_conn_write(c, &byte, 1) == 0 && weft_conn_read(c, &byte, 1) == 1)
        ;
}

static void serves(void *arg)
{
    char address[WEFT_ADDR_TEXT];
    weft_listener *ln;
    weft_addr a;
    weft_conn *c;

    (void)arg;
    EXPECT(weft_listen("127.0.0.1:0", &ln) == 0);
    a = weft_listener_addr(ln);
    weft_addr_name(&a, address, sizeof(address));
    for (int i = 0; i < 3; i++)
        weft_go(dials, address);
    while (weft_accept(ln, &c) == 0)
        weft_go(echoes, c);
}

static void looks_up(void *arg)
{
    weft_conn *c;

    for (;;)
        weft_dial_until("localhost:1", weft_after((weft_duration)(uintptr_t)arg * 10), &c);
}

static void has_children(void *arg)
{
    static const char *const argv[] = {"/bin/true", NULL};

    (void)arg;
    for (;;)
        weft_process_run(argv);
}

static void waits(void *arg)
{
    (void)arg;
    weft_chan_recv(NULL, NULL);
}

static weft_task_fn *const all[] = {sleeps,       hogs,   blocks, declares, ends_pinned,
                                    stays_pinned, works,  polls,  waits,    has_children,
                                    declares,     serves, serves, looks_up};

static int play(void *arg)
{
    uint64_t *r = arg;

    for (unsigned n = 3 + torture_random(r, 20); n > 0; n--)
        weft_go(all[torture_random(r, sizeof(all) / sizeof(*all))],
                (void *)(uintptr_t)torture_random(r, 20000));
    if (torture_random(r, 16) == 0) {
        weft_go(torture_random(r, 2) ? blocks : declares,
                (void *)(uintptr_t)(1010000 + torture_random(r, 300000)));
        abandoned++;
    }
    weft_sleep(torture_random(r, 20000) * WEFT_MICROSECOND);
    torture_add(&numbers, 1);
    return 42;
}

int main(int argc, char **argv)
{
    uint64_t r;

    torture_begin(argc, argv);
    r = torture_seed(0);
    for (int i = 0; i < PAIRS; i++)
        EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs[i]) == 0);
    while (!torture_stops()) {
        EXPECT(weft_run(play, &r) == 42);
        runs++;
    }
    torture_end();
    EXPECT(numbers == runs);
    printf("runs: %llu, %llu of them left a call behind\n", (unsigned long long)runs,
           (unsigned long long)abandoned);
    fflush(stdout);
    _exit(0); /* calls may still be under way */
}
