/* SPDX-License-Identifier: MIT */
/* torture_http.c - a server that is started and stopped while peers of every kind use it.
 *
 * In each round a server with short timeouts gets many peers. Some send requests, alone or in
 * pipelines, cut into pieces anywhere, and check every byte of the answers. Others stall, send a
 * byte at a time, send nonsense, or hang up with unread answers, which resets the connection.
 * Meanwhile the server is told to stop, sometimes at once. Afterwards all its tasks must be gone.
 * The answers that a peer got must be right, and none may be missing except at the end. */
#include "torture.h"

#include <weft.h>

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { PEERS = 24, BODY_MAX = 20000, PIPELINE = 5, TEXT = 64 * 1024 };

static uint64_t rounds, answers, cuts; /* atomic */

struct site {
    weft_http_mux *mux;
    weft_http_server *server;
    weft_listener *ln;
    char addr[WEFT_ADDR_TEXT];
    bool stopped; /* atomic: from now on anything may be cut off */
};

struct peer {
    struct site *site;
    uint64_t r;
};

/* Handlers ------------------------------------------------------------------------------------- */

/* Sends the body back, in one of three ways. */
static void echo(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *how = weft_http_param(r, "how"), *all;
    char buf[700];
    ssize_t n;
    size_t size;

    (void)arg;
    if (*how == 'a') {
        if (weft_http_read_all(r, &all, &size) == 0)
            weft_http_write(w, all, size);
        return;
    }
    while ((n = weft_http_read(r, buf, sizeof(buf))) > 0) {
        if (weft_http_write(w, buf, (size_t)n) < 0 || (*how == 'f' && weft_http_flush(w) < 0))
            return;
    }
    if (n < 0)
        weft_http_abort(w);
}

/* Answers after a while, without reading the body. */
static void ignore(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)arg;
    weft_http_wait_until(r, weft_after(200 * WEFT_MICROSECOND));
    weft_http_printf(w, "%s", "ignored");
}

static void flood(weft_http_response *w, weft_http_request *r, void *arg)
{
    static const char zeros[10000];

    (void)arg;
    (void)r;
    for (int i = 0; i < 200 && weft_http_write(w, zeros, sizeof(zeros)) == 0; i++)
        ;
}

static void quiet(void *arg, const char *text)
{
    (void)arg;
    (void)text;
    torture_add(&cuts, 1);
}

/* Peers ---------------------------------------------------------------------------------------- */

/* A request, and the answer that has to come back. */
struct talk {
    char *out, *in;
    size_t nout, nin;
    size_t expected[PIPELINE]; /* bytes of the body of each answer, all of them 'x' */
    int n;
};

static void add_request(struct talk *k, uint64_t *r)
{
    static const char *const hows[] = {"all", "flush", "plain"};
    size_t body = torture_random(r, 4) ? torture_random(r, 300) : torture_random(r, BODY_MAX);
    char *to = k->out + k->nout;

    to += sprintf(to, "POST /echo/%s HTTP/1.1\r\nHost: a\r\n", hows[torture_random(r, 3)]);
    k->expected[k->n++] = body;
    if (torture_random(r, 2)) {
        to += sprintf(to, "Content-Length: %zu\r\n\r\n", body);
        memset(to, 'x', body);
        to += body;
    } else {
        to += sprintf(to, "Transfer-Encoding: chunked\r\n\r\n");
        while (body > 0) {
            size_t some = 1 + torture_random(r, 1000);

            some = some < body ? some : body;
            to += sprintf(to, "%zx\r\n", some);
            memset(to, 'x', some);
            to += some;
            to += sprintf(to, "\r\n");
            body -= some;
        }
        to += sprintf(to, "0\r\n\r\n");
    }
    k->nout = (size_t)(to - k->out);
}

/* Takes the answer with its body from the front. Returns false if it is not complete. */
static bool take_answer(struct talk *k, size_t body)
{
    char *end = memmem(k->in, k->nin, "\r\n\r\n", 4), *at, *length;
    size_t have = 0, n;

    if (!end)
        return false;
    EXPECT(strncmp(k->in, "HTTP/1.1 200 OK\r\n", 17) == 0);
    *end = 0;
    length = strcasestr(k->in, "\r\nContent-Length: ");
    *end = '\r';
    at = end + 4;
    if (length) {
        have = strtoul(length + 18, NULL, 10);
        if (at + have > k->in + k->nin)
            return false;
        for (size_t i = 0; i < have; i++)
            EXPECT(*at++ == 'x');
    } else {
        do {
            char *line = memmem(at, (size_t)(k->in + k->nin - at), "\r\n", 2);

            if (!line)
                return false;
            n = strtoul(at, NULL, 16);
            at = line + 2;
            if (at + n + 2 > k->in + k->nin)
                return false;
            for (size_t i = 0; i < n; i++)
                EXPECT(*at++ == 'x');
            EXPECT(at[0] == '\r' && at[1] == '\n');
            at += 2;
            have += n;
        } while (n > 0);
    }
    EXPECT(have == body);
    k->nin -= (size_t)(at - k->in);
    memmove(k->in, at, k->nin);
    return true;
}

static void write_pieces(void *arg);

struct writer {
    weft_conn *c;
    struct talk *talk;
    uint64_t r;
    weft_sema done;
};

/* Sends it in pieces that are cut anywhere. */
static void write_pieces(void *arg)
{
    struct writer *w = arg;
    size_t at = 0, n = w->talk->nout, most = 1 + torture_random(&w->r, 3) * 1000;

    while (at < n) {
        size_t some = 1 + torture_random(&w->r, (unsigned)most * 2);

        some = some < n - at ? some : n - at;
        if (weft_conn_write(w->c, w->talk->out + at, some) < 0)
            break;
        at += some;
        if (torture_random(&w->r, 4) == 0)
            weft_yield();
    }
    weft_sema_add(&w->done, 1);
}

/* A pipeline of requests, written by one task while another reads. */
static bool ask(weft_conn *c, uint64_t *r, struct talk *k)
{
    struct writer w = {.c = c, .talk = k, .r = *r | 1, .done = WEFT_SEMA_INIT(0)};
    int left = (int)(1 + torture_random(r, PIPELINE)), taken = 0;
    ssize_t n = 1;

    k->n = 0;
    k->nout = k->nin = 0;
    while (left-- > 0)
        add_request(k, r);
    weft_go(write_pieces, &w);
    while (taken < k->n) {
        if (take_answer(k, k->expected[taken])) {
            taken++;
            torture_add(&answers, 1);
            continue;
        }
        n = weft_conn_read(c, k->in + k->nin, TEXT - k->nin);
        if (n <= 0)
            break;
        k->nin += (size_t)n;
    }
    if (taken < k->n)
        weft_conn_shutdown(c, SHUT_RDWR);
    weft_sema_wait(&w.done, 1);
    return taken == k->n;
}

static void honest(struct peer *p, weft_conn *c)
{
    struct talk k = {.out = malloc(2 * PIPELINE * BODY_MAX), .in = malloc(TEXT)};

    for (unsigned n = torture_random(&p->r, 6); n > 0; n--) {
        if (!ask(c, &p->r, &k)) {
            EXPECT(torture_get(&p->site->stopped));
            break;
        }
    }
    free(k.out);
    free(k.in);
}

/* Sends a text of the server's own language, but not to its end, or at all. */
static void rude(struct peer *p, weft_conn *c)
{
    static const char *const texts[] = {
        "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc",
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo/all HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "POST /echo/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nbad",
        "\x16\x03\x01 nonsense\r\n\r\n",
    };
    const char *text = texts[torture_random(&p->r, sizeof(texts) / sizeof(*texts))];
    size_t n = strlen(text), at = 0, cut = torture_random(&p->r, 3) ? n : torture_random(&p->r, 80);
    bool drips = torture_random(&p->r, 3) == 0;
    char buf[1000];

    for (cut = cut < n ? cut : n; at < cut; at++) {
        if (!drips)
            at = cut - 1;
        if (weft_conn_write(c, drips ? text + at : text, drips ? 1 : cut) < 0)
            return;
        if (drips)
            weft_sleep(100 * WEFT_MICROSECOND);
    }
    weft_conn_set_read_deadline(c, weft_after(torture_random(&p->r, 30) * WEFT_MILLISECOND));
    switch (torture_random(&p->r, 4)) {
    case 0: /* hangs up; with something unread that is a reset */
        return;
    case 1: /* has said all it wants to */
        weft_conn_shutdown(c, SHUT_WR);
        break;
    case 2: /* stalls */
        weft_sleep(torture_random(&p->r, 20) * WEFT_MILLISECOND);
        return;
    }
    while (weft_conn_read(c, buf, sizeof(buf)) > 0)
        ;
}

static int be_peer(void *arg)
{
    struct peer *p = arg;
    weft_conn *c;

    while (!torture_get(&p->site->stopped)) {
        if (weft_dial_until(p->site->addr, weft_after(5 * WEFT_SECOND), &c) < 0)
            break;
        (torture_random(&p->r, 2) ? honest : rude)(p, c);
        weft_conn_close(c);
    }
    return 0;
}

/* Rounds --------------------------------------------------------------------------------------- */

static int serve(void *arg)
{
    struct site *s = arg;

    EXPECT(weft_http_server_serve(s->server, s->ln) == 0);
    return 0;
}

static void open_site(struct site *s, uint64_t *r)
{
    /* Long enough for what honest peers do, whatever the machine's load. */
    weft_http_options options = {
        .idle_time = 20 * WEFT_SECOND,
        .head_time = 20 * WEFT_SECOND,
        .read_time = 20 * WEFT_SECOND,
        .write_time = 20 * WEFT_SECOND,
        .max_conns = torture_random(r, 2) ? 0 : PEERS,
        .log = quiet,
    };
    weft_addr addr;

    s->mux = weft_http_mux_new();
    weft_http_mux_add(s->mux, "/echo/{how}", echo, NULL);
    weft_http_mux_add(s->mux, "/ignore", ignore, NULL);
    weft_http_mux_add(s->mux, "/flood", flood, NULL);
    s->server = weft_http_server_new(s->mux, &options);
    EXPECT(weft_listen("127.0.0.1:0", &s->ln) == 0);
    addr = weft_listener_addr(s->ln);
    weft_addr_name(&addr, s->addr, sizeof(s->addr));
    s->stopped = false;
}

static void play_round(uint64_t *r)
{
    static struct peer peers[PEERS];
    weft_group serving = WEFT_GROUP_INIT, crowd = WEFT_GROUP_INIT;
    struct site s;

    open_site(&s, r);
    weft_group_go(&serving, serve, &s);
    for (int i = 0; i < PEERS; i++) {
        peers[i] = (struct peer){&s, torture_seed(torture_random(r, 1 << 30))};
        weft_group_go(&crowd, be_peer, &peers[i]);
    }
    weft_sleep(torture_random(r, 200) * WEFT_MILLISECOND);
    torture_set(&s.stopped, true);
    weft_http_server_stop_until(s.server, weft_after(torture_random(r, 30) * WEFT_MILLISECOND));
    EXPECT(weft_group_join(&serving) == 0);
    weft_http_server_free(s.server);
    weft_http_mux_free(s.mux);
    EXPECT(weft_group_join(&crowd) == 0);
    torture_add(&rounds, 1);
}

static int play(void *arg)
{
    uint64_t r = torture_seed(0);

    (void)arg;
    do
        play_round(&r);
    while (!torture_stops());
    return 0;
}

int main(int argc, char **argv)
{
    torture_begin(argc, argv);
    weft_run(play, NULL);
    torture_end();
    printf("http: %.0f rounds, %.0f answers, %.0f peers cut off\n", (double)rounds, (double)answers,
           (double)cuts);
    EXPECT(answers > 0);
    return 0;
}
