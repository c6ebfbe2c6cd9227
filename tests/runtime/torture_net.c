/* SPDX-License-Identifier: MIT */
/* torture_net.c - sockets with rude peers, beside polite clients that must notice nothing.
 *
 * Rude peers reset, stall, send a byte at a time and leave in the middle. Tasks share a connection
 * whose deadlines move, which is shut down or closed during calls, and are canceled. Listeners
 * close during accepts; lookups are given up; 2,000 clients connect at once; a signal comes every
 * millisecond. Polite clients get back each byte that they sent, in order. No descriptor is left at
 * the end. */
#include "torture.h"

#include <weft/net.h>
#include <weft/sync.h>
#include <weft/task.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>

#if defined(WEFT__TSAN) || defined(WEFT__ASAN)
enum { AT_ONCE = 300 };
#else
enum { AT_ONCE = 2000 };
#endif
enum { POLITE = 6, RUDE = 4, OWNERS = 4, VISITORS = 6, CHUNK = 20000 };

static struct {
    weft_listener *listener[2];
    char address[2][WEFT_ADDR_TEXT];
    char path[64];
    uint64_t rounds, rudeness, conns, calls[4], closed, burst; /* atomic */
} all;

static uint64_t *new_random(uint64_t actor)
{
    uint64_t *r = malloc(sizeof(*r));

    *r = torture_seed(actor);
    return r;
}

/* ---- the server: it sends back what it gets ---- */

static void serve(void *conn)
{
    char buf[3000];
    ssize_t n;

    weft_conn_set_deadline(conn, weft_after(60 * WEFT_SECOND)); /* no peer takes that long */
    while ((n = weft_conn_read(conn, buf, sizeof(buf))) > 0 &&
           weft_conn_write(conn, buf, (size_t)n) == 0)
        ;
    weft_conn_close(conn);
}

static int accept_all(void *arg)
{
    weft_conn *c;
    int rc;

    while ((rc = weft_accept(*(weft_listener **)arg, &c)) == 0) {
        torture_add(&all.conns, 1);
        weft_go(serve, c);
    }
    EXPECT(rc == WEFT_ECLOSED);
    return 0;
}

/* ---- polite clients ---- */

struct stream {
    weft_conn *conn;
    unsigned char *bytes;
    size_t n;
};

static int send_stream(void *arg)
{
    struct stream *s = arg;
    struct iovec iov[3] = {{s->bytes, s->n / 3},
                           {s->bytes + s->n / 3, s->n / 3},
                           {s->bytes + 2 * (s->n / 3), s->n - 2 * (s->n / 3)}};

    EXPECT(weft_conn_writev(s->conn, iov, 3) == 0);
    return 0;
}

static void talk(uint64_t *r, weft_conn *c)
{
    unsigned char *in = malloc(CHUNK);
    struct stream s = {c, malloc(CHUNK), 1 + torture_random(r, CHUNK - 1)};

    for (unsigned rounds = torture_random(r, 20); rounds > 0; rounds--) {
        weft_group g = WEFT_GROUP_INIT;
        size_t got = 0;
        ssize_t n;

        for (size_t i = 0; i < s.n; i++)
            s.bytes[i] = (unsigned char)torture_random(r, 256);
        weft_group_go(&g, send_stream, &s);
        while (got < s.n) {
            EXPECT((n = weft_conn_read(c, in + got, s.n - got)) > 0);
            got += (size_t)n;
        }
        EXPECT(weft_group_join(&g) == 0);
        EXPECT(memcmp(in, s.bytes, s.n) == 0);
        torture_add(&all.rounds, 1);
    }
    free(in);
    free(s.bytes);
}

static int polite(void *arg)
{
    uint64_t *r = arg;
    weft_conn *c;

    while (!torture_stops()) {
        EXPECT(weft_dial(all.address[torture_random(r, 2)], &c) == 0);
        talk(r, c);
        weft_conn_close(c);
    }
    free(r);
    return 0;
}

static int one_of_many(void *arg)
{
    weft_conn *c;
    char byte = 'x';

    (void)arg;
    EXPECT(weft_dial(all.address[0], &c) == 0);
    EXPECT(weft_conn_write(c, &byte, 1) == 0);
    EXPECT(weft_conn_read(c, &byte, 1) == 1 && byte == 'x');
    weft_conn_close(c);
    torture_add(&all.burst, 1);
    return 0;
}

/* ---- rude peers ---- */

static int raw_dial(void)
{
    weft_addr a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT(fd >= 0 && weft_addr_init(&a, all.address[0]) == 0);
    EXPECT(connect(fd, (struct sockaddr *)a._bytes, a._len) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int rude(void *arg)
{
    static const char bytes[100000];
    uint64_t *r = arg;
    struct linger hard = {1, 0};

    while (!torture_stops()) {
        int fd = raw_dial();

        switch (torture_random(r, 4)) {
        case 0: /* sends much, reads nothing */
            for (int i = 0; i < 20; i++)
                send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
            break;
        case 1: /* drips */
            for (unsigned i = torture_random(r, 10); i > 0; i--) {
                send(fd, bytes, 1, MSG_NOSIGNAL);
                weft_sleep(torture_random(r, 300) * WEFT_MICROSECOND);
            }
            break;
        case 2: /* has said all, stays */
            send(fd, bytes, torture_random(r, 5000), MSG_NOSIGNAL);
            shutdown(fd, SHUT_WR);
            break;
        default: /* stalls */
            break;
        }
        weft_sleep(torture_random(r, 2000) * WEFT_MICROSECOND);
        if (torture_random(r, 2))
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        close(fd);
        torture_add(&all.rudeness, 1);
    }
    free(r);
    return 0;
}

/* ---- a connection that many share ---- */

struct visitor {
    weft_conn *conn;
    int call;
};

/* Makes one call, or two: before the second the connection may be closed, and its memory in use for
 * another. */
static int visit(void *arg)
{
    static const char bytes[200000];
    struct visitor *v = arg;
    struct iovec iov[2] = {{(void *)(uintptr_t)bytes, 10}, {(void *)(uintptr_t)bytes, 100000}};
    char buf[100];
    ssize_t rc;

    switch (v->call) {
    case 0:
        rc = weft_conn_read(v->conn, buf, sizeof(buf));
        break;
    case 1:
        rc = weft_conn_write(v->conn, bytes, sizeof(bytes));
        break;
    case 2:
        weft_conn_local(v->conn);
        weft_conn_peer(v->conn);
        rc = weft_conn_writev(v->conn, iov, 2);
        break;
    default:
        weft_conn_set_deadline(v->conn, weft_after(50 * WEFT_MICROSECOND));
        rc = weft_conn_shutdown(v->conn, SHUT_RDWR);
        break;
    }
    EXPECT(rc >= 0 || rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED || rc == WEFT_ECLOSED ||
           rc == -ECONNRESET || rc == -EPIPE);
    torture_add(&all.calls[rc >= 0 ? 0 : rc == WEFT_ECLOSED ? 1 : rc == WEFT_ECANCELED ? 2 : 3], 1);
    return 0;
}

static weft_time some_deadline(uint64_t *r)
{
    switch (torture_random(r, 4)) {
    case 0:
        return WEFT_NOW;
    case 1:
        return WEFT_FOREVER;
    case 2:
        return weft_now();
    default:
        return weft_after(torture_random(r, 500) * WEFT_MICROSECOND);
    }
}

static void disturb(uint64_t *r, weft_conn *c, weft_group *g)
{
    switch (torture_random(r, 8)) {
    case 0:
        weft_conn_set_deadline(c, some_deadline(r));
        break;
    case 1:
        weft_conn_set_read_deadline(c, some_deadline(r));
        break;
    case 2:
        weft_conn_set_write_deadline(c, some_deadline(r));
        break;
    case 3:
        weft_conn_shutdown(c, (int)torture_random(r, 3));
        break;
    case 4:
        weft_group_cancel(g);
        break;
    case 5:
        weft_sleep(torture_random(r, 300) * WEFT_MICROSECOND);
        break;
    default:
        weft_yield();
        break;
    }
}

static int owner(void *arg)
{
    uint64_t *r = arg;

    while (!torture_stops()) {
        weft_group g[2] = {WEFT_GROUP_INIT, WEFT_GROUP_INIT};
        struct visitor v[VISITORS];
        weft_conn *c;

        EXPECT(weft_dial(all.address[torture_random(r, 2)], &c) == 0);
        for (int i = 0; i < VISITORS; i++) {
            v[i] = (struct visitor){c, (int)torture_random(r, 4)};
            weft_group_go(&g[torture_random(r, 2)], visit, &v[i]);
        }
        for (unsigned i = torture_random(r, 6); i > 0; i--)
            disturb(r, c, &g[0]);
        weft_conn_close(c);
        torture_add(&all.closed, 1);
        weft_group_join(&g[0]);
        weft_group_join(&g[1]);
    }
    free(r);
    return 0;
}

/* ---- listeners and lookups that do not last ---- */

static int dial_short(void *arg)
{
    weft_conn *c;
    char *at = arg;
    int rc = weft_dial_until(at, weft_after(2 * WEFT_MILLISECOND), &c);

    if (rc == 0)
        weft_conn_close(c);
    return 0;
}

static int open_and_shut(void *arg)
{
    uint64_t *r = arg;
    char at[WEFT_ADDR_TEXT], name[WEFT_ADDR_TEXT + 16];
    weft_listener *ln;
    weft_addr a;

    while (!torture_stops()) {
        weft_group g = WEFT_GROUP_INIT, dials = WEFT_GROUP_INIT;

        EXPECT(weft_listen("127.0.0.1:0", &ln) == 0);
        a = weft_listener_addr(ln);
        weft_addr_name(&a, at, sizeof(at));
        snprintf(name, sizeof(name), "localhost%s", strrchr(at, ':'));
        weft_group_go(&g, accept_all, &ln);
        weft_group_go(&g, accept_all, &ln);
        for (unsigned i = torture_random(r, 6); i > 0; i--)
            weft_group_go(&dials, dial_short, torture_random(r, 2) ? at : name);
        weft_sleep(torture_random(r, 500) * WEFT_MICROSECOND);
        if (torture_random(r, 3) == 0)
            weft_group_cancel(&dials);
        weft_listener_shutdown(ln);
        weft_group_join(&g);
        weft_listener_close(ln);
        weft_group_join(&dials);
    }
    free(r);
    return 0;
}

/* ---- the whole ---- */

static void listen_on(int i, const char *at)
{
    weft_addr a;

    EXPECT(weft_listen(at, &all.listener[i]) == 0);
    a = weft_listener_addr(all.listener[i]);
    weft_addr_name(&a, all.address[i], sizeof(all.address[i]));
}

static int play(void *arg)
{
    weft_group clients = WEFT_GROUP_INIT, servers = WEFT_GROUP_INIT;
    uint64_t actor = 1;

    (void)arg;
    listen_on(0, "127.0.0.1:0");
    listen_on(1, all.path);
    for (int i = 0; i < 4; i++)
        weft_group_go(&servers, accept_all, &all.listener[i % 2]);
    for (int i = 0; i < POLITE; i++)
        weft_group_go(&clients, polite, new_random(actor++));
    for (int i = 0; i < RUDE; i++)
        weft_group_go(&clients, rude, new_random(actor++));
    for (int i = 0; i < OWNERS; i++)
        weft_group_go(&clients, owner, new_random(actor++));
    weft_group_go(&clients, open_and_shut, new_random(actor++));
    for (int i = 0; i < AT_ONCE; i++)
        weft_group_go(&clients, one_of_many, NULL);
    EXPECT(weft_group_join(&clients) == 0);
    for (int i = 0; i < 2; i++)
        weft_listener_shutdown(all.listener[i]);
    weft_group_join(&servers);
    return 0;
}

static void ignore(int signo)
{
    (void)signo;
}

static void *signal_often(void *arg)
{
    (void)arg;
    while (!torture_get(&torture.ended)) {
        kill(getpid(), SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = ignore};
    struct rlimit limit;
    pthread_t signals;
    int first = dup(0);

    torture_begin(argc, argv);
    signal(SIGPIPE, SIG_DFL);
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    snprintf(all.path, sizeof(all.path), "unix:@weft-torture-%d", getpid());
    EXPECT(sigaction(SIGUSR1, &sa, NULL) == 0);
    EXPECT(pthread_create(&signals, NULL, signal_often, NULL) == 0);
    EXPECT(weft_run(play, NULL) == 0);
    torture_end();
    pthread_join(signals, NULL);
    EXPECT(dup(0) == first + 1);
    EXPECT(all.burst == AT_ONCE);
    printf("rounds %llu, connections %llu, rude %llu, closed under calls %llu (ended %llu, closed "
           "%llu, canceled %llu, other %llu)\n",
           (unsigned long long)all.rounds, (unsigned long long)all.conns,
           (unsigned long long)all.rudeness, (unsigned long long)all.closed,
           (unsigned long long)all.calls[0], (unsigned long long)all.calls[1],
           (unsigned long long)all.calls[2], (unsigned long long)all.calls[3]);
    return 0;
}
