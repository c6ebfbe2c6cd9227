/* SPDX-License-Identifier: MIT */
/* inject_sample.c - the program in which torture_inject.py makes calls fail: it uses a bit of
 * everything.
 *
 * Each call of weft that fails ends it with status 1 and a line with the code's text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft.h>

static int checked(const char *call, ssize_t rc)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", call, weft_strerror((int)rc));
        _exit(1);
    }
    return (int)rc;
}

/* ---- channels, select, mutex, group ---- */

static weft_mutex mutex = WEFT_MUTEX_INIT;
static long sum;

static void produce(void *arg)
{
    for (long i = 1; i <= 50; i++) {
        checked("weft_chan_send", weft_chan_send(arg, &i));
        if (i % 10 == 0)
            weft_sleep(100 * WEFT_MICROSECOND);
    }
    weft_chan_close(arg);
}

static int consume(void *arg)
{
    weft_timer *timer = weft_timer_new();
    long i;

    for (;;) {
        weft_case cases[2] = {{.chan = arg, .op = WEFT_CASE_RECV, .elem = &i},
                              {.chan = weft_timer_chan(timer), .op = WEFT_CASE_RECV}};

        weft_timer_start(timer, weft_after(WEFT_MILLISECOND));
        if (weft_select(cases, 2) == 1)
            continue;
        if (cases[0].result == WEFT_ECLOSED)
            break;
        weft_mutex_lock(&mutex);
        sum += i;
        weft_yield();
        weft_mutex_unlock(&mutex);
    }
    weft_timer_free(timer);
    return 0;
}

static void sync_some(void)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_chan *chans[4];

    for (int i = 0; i < 4; i++) {
        chans[i] = weft_chan_new(sizeof(long), (size_t)i);
        weft_go(produce, chans[i]);
        for (int k = 0; k < 20; k++)
            weft_group_go(&g, consume, chans[i]);
    }
    checked("weft_group_wait", weft_group_wait(&g));
    for (int i = 0; i < 4; i++)
        weft_chan_free(chans[i]);
}

/* ---- sockets and the debug server ---- */

static void echo(void *conn)
{
    char buf[256];
    ssize_t n;

    while ((n = weft_conn_read(conn, buf, sizeof(buf))) > 0 &&
           weft_conn_write(conn, buf, (size_t)n) == 0)
        ;
    weft_conn_close(conn);
}

static int accept_all(void *ln)
{
    weft_conn *c;
    int rc;

    while ((rc = weft_accept(ln, &c)) == 0)
        weft_go(echo, c);
    return rc == WEFT_ECLOSED ? 0 : rc;
}

static void talk(void)
{
    weft_group g = WEFT_GROUP_INIT;
    char at[WEFT_ADDR_TEXT], byte = 'x';
    weft_listener *ln;
    weft_conn *c;
    weft_addr a;

    checked("weft_listen", weft_listen("127.0.0.1:0", &ln));
    a = weft_listener_addr(ln);
    weft_addr_name(&a, at, sizeof(at));
    weft_group_go(&g, accept_all, ln);
    for (int i = 0; i < 10; i++) {
        checked("weft_dial", weft_dial_until(at, weft_after(5 * WEFT_SECOND), &c));
        weft_conn_set_deadline(c, weft_after(5 * WEFT_SECOND));
        checked("weft_conn_write", weft_conn_write(c, &byte, 1));
        checked("weft_conn_read", weft_conn_read(c, &byte, 1));
        weft_conn_close(c);
    }
    weft_listener_shutdown(ln);
    checked("weft_accept", weft_group_wait(&g));
    weft_listener_close(ln);
}

static char debug_at[64];

static void get(const char *path)
{
    char request[200], buf[4096];
    weft_conn *c;
    ssize_t n;
    int rc = weft_dial_until(debug_at, weft_after(5 * WEFT_SECOND), &c);

    if (rc < 0) {
        printf("%s: %s\n", path, weft_strerror(rc));
        return;
    }
    weft_conn_set_deadline(c, weft_after(10 * WEFT_SECOND));
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
             path);
    rc = weft_conn_write(c, request, strlen(request));
    n = rc < 0 ? rc : weft_conn_read(c, buf, sizeof(buf));
    printf("%s: %.12s\n", path, n > 12 ? buf : n < 0 ? weft_strerror((int)n) : "cut");
    while (n > 0)
        n = weft_conn_read(c, buf, sizeof(buf));
    weft_conn_close(c);
}

static void ask_debug_server(void)
{
    static const char *const paths[] = {
        "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine", "/debug/vars",
        "/debug/pprof/block?debug=1",     "/debug/pprof/",          "/debug/pprof/contention",
    };

    snprintf(debug_at, sizeof(debug_at), "unix:@weft-inject-%d", getpid());
    checked("weft_debug_serve", weft_debug_serve(debug_at));
    for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        get(paths[i]);
}

static int run(void *arg)
{
    const char *what = arg;

    if (strchr(what, 's'))
        sync_some();
    if (strchr(what, 'n'))
        talk();
    if (strchr(what, 'd'))
        ask_debug_server();
    if (strchr(what, 'w'))
        checked("weft_dump", weft_dump(STDOUT_FILENO, NULL));
    puts("hello");
    return 0;
}

/* inject_sample WHAT: letters of run. */
int main(int argc, char **argv)
{
    return weft_run(run, argc > 1 ? argv[1] : "");
}
