/* SPDX-License-Identifier: MIT */
/* test_http.c - the server as its peers see it, over real sockets. */
#include "http_cases.h"
#include "http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static site s;
static client c;
static answer a;

static void start(const char *pattern, weft_http_fn *fn, const weft_http_options *options)
{
    weft_http_mux *mux = weft_http_mux_new();

    weft_http_mux_add(mux, pattern, fn, NULL);
    site_start(&s, mux, options);
}

static void check_answer(int status)
{
    CHECK(client_answer(&c, &a, false));
    CHECK_EQ(a.status, status);
}

/* Raw requests --------------------------------------------------------------------------------- */

static void read_and_answer(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *body;
    size_t n;

    (void)arg;
    if (strcmp(weft_http_path(r), "/probe") == 0)
        weft_http_status_set(w, 204);
    else
        weft_http_read_all(r, &body, &n);
}

/* A connection that stays open answers a probe. One that ends is at its end already. One that waits
 * has nothing to say when the client ends it. */
static void check_case(const http_case *k, const char *how)
{
    const char *last = k->at_end ? k->at_end : k->lives ? "204" : "";
    char expected[64], says[64] = "";

    snprintf(expected, sizeof(expected), "%s%s%s", k->answers, *k->answers && *last ? " " : "",
             last);
    if (k->at_end)
        weft_conn_shutdown(c.conn, SHUT_WR);
    else if (k->lives)
        client_send(&c, GET("/probe"));
    while ((!k->lives || k->at_end || strlen(says) < strlen(expected)) &&
           client_answer(&c, &a, strncmp(k->raw, "HEAD", 4) == 0)) {
        size_t n = strlen(says);

        if (a.status >= 200)
            snprintf(says + n, sizeof(says) - n, "%s%d", n > 0 ? " " : "", a.status);
    }
    if (strcmp(says, expected) != 0)
        FAIL("case \"%s\", %s: \"%s\", expected \"%s\"", k->name, how, says, expected);
}

static void check_cases(bool whole)
{
    start("/", read_and_answer,
          &(weft_http_options){.max_line = CASE_LINE,
                               .max_head = CASE_HEAD,
                               .max_fields = CASE_FIELDS,
                               .max_body = CASE_BODY});
    for (int i = 0; i < HTTP_CASES; i++) {
        const http_case *k = &http_cases[i];

        client_open(&c, &s);
        if (whole)
            client_send_bytes(&c, k->raw, k->len);
        else
            for (size_t at = 0; at < k->len; at++)
                client_send_bytes(&c, k->raw + at, 1);
        check_case(k, whole ? "whole" : "byte by byte");
        client_close(&c);
    }
    site_end(&s);
}

TEST(each_case_sent_whole)
{
    check_cases(true);
}

TEST(each_case_sent_byte_by_byte)
{
    check_cases(false);
}

/* Answers -------------------------------------------------------------------------------------- */

static void hello(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    CHECK_EQ(weft_http_header_set(w, "Content-Type", "text/plain"), 0);
    CHECK_EQ(weft_http_write(w, "hello", 5), 0);
}

TEST(a_small_answer_has_its_length_and_date)
{
    const char *date;

    start("/", hello, NULL);
    client_open(&c, &s);
    client_send(&c, GET("/"));
    check_answer(200);
    CHECK_STR(a.body, "hello");
    date = strstr(a.head, "\r\nDate: ");
    CHECK(date && strlen(date) > 37 && memcmp(date + 34, "GMT\r\n", 5) == 0);
    memmove(a.head + (date - a.head), date + 37, strlen(date + 37) + 1);
    CHECK_STR(a.head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n");
    client_close(&c);
    site_end(&s);
}

TEST(head_has_the_header_and_no_body)
{
    start("/", hello, NULL);
    client_open(&c, &s);
    client_send(&c, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client_answer(&c, &a, true));
    CHECK_CONTAINS(a.head, "\r\nContent-Length: 5\r\n");
    client_expect(&c, GET("/"), 200, "hello");
    client_close(&c);
    site_end(&s);
}

/* The handler of `answering`, which chooses its answer by the path. */
static void answer_as_asked(weft_http_response *w, weft_http_request *r, void *arg)
{
    static char big[100 * 1000];
    const char *path = weft_http_path(r);

    (void)arg;
    if (strcmp(path, "/204") == 0 || strcmp(path, "/304") == 0) {
        CHECK_EQ(weft_http_status_set(w, atoi(path + 1)), 0);
        CHECK(!weft_http_wants_body(w));
        CHECK_EQ(weft_http_write(w, "dropped", 7), 0);
    } else if (strcmp(path, "/599") == 0) {
        weft_http_status_set(w, 599);
    } else if (strcmp(path, "/chunks") == 0) {
        for (int i = 0; i < 1000; i++)
            CHECK_EQ(weft_http_printf(w, "%d,", i), 0);
        CHECK_EQ(weft_http_flush(w), 0);
        CHECK_EQ(weft_http_flush(w), 0);
        CHECK_EQ(weft_http_header_set(w, "A", "b"), WEFT_EINVAL);
        CHECK_EQ(weft_http_status_set(w, 500), WEFT_EINVAL);
        memset(big, 'b', sizeof(big));
        CHECK_EQ(weft_http_write(w, big, sizeof(big)), 0);
        CHECK_EQ(weft_http_printf(w, "%.10000s.", big), 0);
    } else if (strcmp(path, "/length") == 0) {
        CHECK_EQ(weft_http_header_set(w, "Content-Length", "50000"), 0);
        memset(big, 'l', sizeof(big));
        for (int i = 0; i < 50; i++)
            CHECK_EQ(weft_http_write(w, big, 1000), 0);
        CHECK_EQ(weft_http_write(w, "x", 1), WEFT_EINVAL);
    } else if (strcmp(path, "/short") == 0) {
        CHECK_EQ(weft_http_header_set(w, "Content-Length", "10"), 0);
        CHECK_EQ(weft_http_write(w, "abc", 3), 0);
    } else if (strcmp(path, "/close") == 0) {
        CHECK_EQ(weft_http_header_set(w, "connection", "close"), 0);
    } else if (strcmp(path, "/flush") == 0) {
        CHECK_EQ(weft_http_flush(w), 0);
    }
}

static void answering(void)
{
    start("/", answer_as_asked, NULL);
    client_open(&c, &s);
}

static void done(void)
{
    client_close(&c);
    site_end(&s);
}

TEST(answers_without_body_have_none)
{
    answering();
    client_expect(&c, GET("/204"), 204, "");
    client_expect(&c, GET("/304"), 304, "");
    client_expect(&c, GET("/599"), 599, "");
    client_send(&c, GET("/204"));
    check_answer(204);
    CHECK(!strstr(a.head, "Content-Length"));
    done();
}

TEST(a_large_answer_of_unknown_length_is_chunked)
{
    answering();
    client_send(&c, GET("/chunks"));
    check_answer(200);
    CHECK_CONTAINS(a.head, "\r\nTransfer-Encoding: chunked\r\n");
    CHECK_EQ(a.body_len, 3890 + 100000 + 10001);
    CHECK(memcmp(a.body, "0,1,2,", 6) == 0 && memcmp(a.body + 3890 - 4, "999,bbb", 7) == 0);
    client_send(&c, GET("/flush"));
    check_answer(200);
    CHECK_STR(a.body, "");
    client_send(&c, "HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client_answer(&c, &a, true));
    client_expect(&c, GET("/304"), 304, "");
    done();
}

TEST(to_http_1_0_it_ends_with_the_connection)
{
    answering();
    client_send(&c, "GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    check_answer(200);
    CHECK_CONTAINS(a.head, "\r\nConnection: close\r\n");
    CHECK(!strstr(a.head, "chunked"));
    CHECK_EQ(a.body_len, 3890 + 100000 + 10001);
    done();
}

TEST(a_length_that_was_set_is_kept)
{
    answering();
    client_send(&c, GET("/length"));
    check_answer(200);
    CHECK_CONTAINS(a.head, "\r\nContent-Length: 50000\r\n");
    CHECK_EQ(a.body_len, 50000);
    client_send(&c, GET("/short"));
    CHECK(!client_answer(&c, &a, false));
    done();
}

TEST(a_handler_can_end_the_connection)
{
    answering();
    client_send(&c, GET("/close"));
    check_answer(200);
    CHECK_CONTAINS(a.head, "\r\nConnection: close\r\n");
    CHECK(client_is_at_end(&c));
    done();
}

static void set_fields(weft_http_response *w, weft_http_request *r, void *arg)
{
    char name[32], value[2048];

    (void)r;
    (void)arg;
    CHECK_EQ(weft_http_header_set(w, "A", "b\r\nC: d"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "A", "b\nC: d"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "A", "b\x7f"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "A b", "c"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "A:", "c"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "", "c"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "Transfer-Encoding", "chunked"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "Content-Length", "-1"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "Content-Length", "99999999999999999999"), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "Connection", "keep-alive"), WEFT_EINVAL);
    CHECK_EQ(weft_http_status_set(w, 100), WEFT_EINVAL);
    CHECK_EQ(weft_http_status_set(w, 600), WEFT_EINVAL);
    CHECK_EQ(weft_http_header_set(w, "A", "1"), 0);
    CHECK_EQ(weft_http_header_add(w, "B", "2"), 0);
    CHECK_EQ(weft_http_header_add(w, "a", "3"), 0);
    CHECK_EQ(weft_http_header_add(w, "Ab", "4"), 0);
    CHECK_EQ(weft_http_header_set(w, "a", "5"), 0);
    CHECK_EQ(weft_http_header_set(w, "Date", "now"), 0);
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "Long-%d", i);
        CHECK_EQ(weft_http_header_set(w, name, value), 0);
    }
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "Long-%d", i);
        CHECK_EQ(weft_http_header_set(w, name, "gone"), 0);
    }
    weft_http_write(w, "body", 4);
}

TEST(header_fields_are_checked_and_replaced)
{
    start("/", set_fields, NULL);
    client_open(&c, &s);
    client_send(&c, GET("/"));
    check_answer(200);
    CHECK_STR(a.body, "body");
    CHECK_CONTAINS(a.head, "200 OK\r\nContent-Length: 4\r\nB: 2\r\nAb: 4\r\na: 5\r\nDate: now\r\n"
                           "Long-0: gone\r\nLong-1: gone\r\n");
    done();
}

/* Bodies --------------------------------------------------------------------------------------- */

static void echo(weft_http_response *w, weft_http_request *r, void *arg)
{
    char buf[1000];
    ssize_t n;

    (void)arg;
    while ((n = weft_http_read(r, buf, sizeof(buf))) > 0)
        CHECK_EQ(weft_http_write(w, buf, (size_t)n), 0);
}

static void ignore(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    weft_http_write(w, "ignored", 7);
}

static void send_zeros(size_t n)
{
    static const char zeros[10000];

    for (; n > sizeof(zeros); n -= sizeof(zeros))
        client_send_bytes(&c, zeros, sizeof(zeros));
    client_send_bytes(&c, zeros, n);
}

TEST(a_body_goes_both_ways)
{
    start("/", echo, NULL);
    client_open(&c, &s);
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    send_zeros(50000);
    check_answer(200);
    CHECK_EQ(a.body_len, 50000);
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        client_send(&c, "4e20\r\n");
        send_zeros(20000);
        client_send(&c, "\r\n");
    }
    client_send(&c, "0\r\nTrailer: x\r\n\r\n" GET("/"));
    check_answer(200);
    CHECK_EQ(a.body_len, 60000);
    check_answer(200);
    done();
}

TEST(what_is_left_of_a_body_is_passed_over)
{
    start("/", ignore, NULL);
    client_open(&c, &s);
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n");
    send_zeros(65536);
    check_answer(200);
    CHECK_STR(a.body, "ignored");
    client_expect(&c, GET("/"), 200, "ignored");
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n");
    send_zeros(65537);
    check_answer(200);
    CHECK_CONTAINS(a.head, "\r\nConnection: close\r\n");
    CHECK(client_is_at_end(&c));
    done();
}

/* n bytes in chunks of 1000. */
static void send_chunks(size_t n)
{
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t some; n > 0; n -= some) {
        char line[16];

        some = n < 1000 ? n : 1000;
        snprintf(line, sizeof(line), "%zx\r\n", some);
        client_send(&c, line);
        send_zeros(some);
        client_send(&c, "\r\n");
    }
    client_send(&c, "0\r\nA: b\r\n\r\n");
}

TEST(what_is_left_of_a_chunked_body_is_passed_over)
{
    start("/", ignore, NULL);
    client_open(&c, &s);
    send_chunks(65536);
    check_answer(200);
    client_expect(&c, GET("/"), 200, "ignored");
    send_chunks(65537);
    check_answer(200);
    CHECK(client_is_at_end(&c));
    done();
}

TEST(a_body_is_asked_for_when_the_handler_wants_it)
{
    static const char expect[] =
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

    start("/", echo, NULL);
    client_open(&c, &s);
    client_send(&c, expect);
    check_answer(100);
    client_send(&c, "hello");
    check_answer(200);
    CHECK_STR(a.body, "hello");
    done();

    start("/", ignore, NULL);
    client_open(&c, &s);
    client_send(&c, expect);
    check_answer(200);
    CHECK_CONTAINS(a.head, "\r\nConnection: close\r\n");
    CHECK(client_is_at_end(&c));
    done();
}

static void read_all(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *body;
    size_t n;
    int rc = weft_http_read_all(r, &body, &n);

    (void)arg;
    if (rc == 0) {
        CHECK_EQ(strlen(body), n);
        weft_http_printf(w, "%zu", n);
    }
}

TEST(a_body_can_be_had_as_a_whole)
{
    start("/", read_all, NULL);
    client_open(&c, &s);
    client_expect(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "5");
    client_expect(&c, GET("/"), 200, "0");
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 1000; i++)
        client_send(&c, "a\r\n0123456789\r\n");
    client_expect(&c, "0\r\n\r\n", 200, "10000");
    client_expect(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", 400,
                  NULL);
    CHECK(client_is_at_end(&c));
    client_close(&c);
    site_end(&s);
}

TEST(a_body_that_ends_early_is_a_bad_request)
{
    start("/", read_all, NULL);
    client_open(&c, &s);
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell");
    weft_conn_shutdown(c.conn, SHUT_WR);
    check_answer(400);
    CHECK(client_is_at_end(&c));
    done();
}

static void read_in_sips(weft_http_response *w, weft_http_request *r, void *arg)
{
    char buf[100];
    size_t got = 0;
    ssize_t n;

    (void)arg;
    while ((n = weft_http_read(r, buf, sizeof(buf))) > 0)
        got += (size_t)n;
    weft_http_printf(w, "%zu", got);
}

/* The server reads bytes behind a body into more of the buffer than a head may take. */
TEST(requests_behind_a_body_may_fill_the_buffer)
{
    static char text[40 * 1024];
    size_t n = (size_t)sprintf(
        text, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n%05000d", 0);
    int more = 0;

    while (n < sizeof(text) - 100 && ++more)
        n += (size_t)sprintf(text + n, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", more);
    start("/", read_in_sips, NULL);
    client_open(&c, &s);
    client_expect(&c, text, 200, "5000");
    for (; more > 0; more--) {
        check_answer(200);
        CHECK_STR(a.body, "0");
    }
    done();
}

/* The body arrives wherever in the buffer the second head ends, also at its very end. */
TEST(a_head_may_end_where_the_buffer_does)
{
    static char text[12 * 1024];

    start("/", read_in_sips, NULL);
    for (int first = 8000; first < 9000; first++) {
        char want[8];

        sprintf(text,
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%0*d"
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
                first, first, 0);
        sprintf(want, "%d", first);
        client_open(&c, &s);
        client_expect(&c, text, 200, want);
        check_answer(200);
        CHECK_STR(a.body, "5");
        client_close(&c);
    }
    site_end(&s);
}

static void fail_half_way(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    CHECK_EQ(weft_http_write(w, "half", 4), 0);
    CHECK_EQ(weft_http_flush(w), 0);
    weft_http_abort(w);
    CHECK_EQ(weft_http_write(w, "half", 4), WEFT_ECANCELED);
}

TEST(an_answer_can_be_cut_off)
{
    start("/", fail_half_way, NULL);
    client_open(&c, &s);
    client_send(&c, GET("/"));
    CHECK(!client_answer(&c, &a, false));
    CHECK_STR(a.body, "half");
    done();
}

static void route_limits(weft_http_mux *mux)
{
    weft_http_mux_add(mux, "/server", read_all, NULL);
    weft_http_mux_add_with(mux, "/less", &(weft_http_route){.max_body = 5}, read_all, NULL);
    weft_http_mux_add_with(mux, "/more", &(weft_http_route){.max_body = 15}, read_all, NULL);
    weft_http_mux_add_with(mux, "/any", &(weft_http_route){.max_body = -1}, read_all, NULL);
}

TEST(a_route_can_have_its_own_limit)
{
    static const struct {
        const char *path;
        int n, status;
    } tries[] = {{"server", 10, 200}, {"server", 11, 413}, {"less", 5, 200},  {"less", 6, 413},
                 {"more", 15, 200},   {"more", 16, 413},   {"any", 5000, 200}};
    char text[128];

    s.mux = weft_http_mux_new();
    route_limits(s.mux);
    site_start(&s, s.mux, &(weft_http_options){.max_body = 10});
    for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
        client_open(&c, &s);
        snprintf(text, sizeof(text), "POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                 tries[i].path, tries[i].n);
        client_send(&c, text);
        for (int k = 0; k < tries[i].n; k++)
            client_send_bytes(&c, "x", 1);
        check_answer(tries[i].status);
        client_close(&c);
    }
    site_end(&s);
}

/* Large heads ---------------------------------------------------------------------------------- */

static void say_last(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *name, *value;
    size_t i = 0, n = 0;

    (void)arg;
    while (weft_http_header_each(r, &i, &name, &value))
        n += strlen(name) + strlen(value);
    CHECK(weft_http_header(r, "nOBODY") == NULL);
    weft_http_printf(w, "%zu %s %s", n, weft_http_header(r, "LAST"), weft_http_host(r));
}

/* The buffer becomes too small in the middle of the second request. */
TEST(a_head_may_be_larger_than_the_buffer)
{
    static char request[33 * 1024];
    size_t n = 0;

    start("/", say_last, NULL);
    client_open(&c, &s);
    n = (size_t)sprintf(request, GET("/") "GET / HTTP/1.1\r\nHost: abc\r\n");
    while (n < 31 * 1024)
        n += (size_t)sprintf(request + n, "A: %0500d\r\n", 0);
    sprintf(request + n, "Last: word\r\n\r\n" GET("/"));
    client_expect(&c, request, 200, "5 (null) a");
    check_answer(200);
    CHECK_CONTAINS(a.body, " word abc");
    check_answer(200);
    CHECK_STR(a.body, "5 (null) a");
    done();
}

/* Time ----------------------------------------------------------------------------------------- */

enum { SOON = 50 };
#define SHORT (SOON * WEFT_MILLISECOND)

TEST(a_connection_without_a_request_is_closed)
{
    start("/", hello, &(weft_http_options){.idle_time = SHORT});
    client_open(&c, &s);
    CHECK(client_is_at_end(&c));
    client_close(&c);
    site_end(&s);
}

TEST(a_connection_without_another_request_is_closed)
{
    start("/", hello, &(weft_http_options){.idle_time = 20 * SHORT});
    client_open(&c, &s);
    client_expect(&c, GET("/"), 200, "hello");
    CHECK(client_is_at_end(&c));
    client_close(&c);
    site_end(&s);
}

/* Sends a byte now and then, until the answer comes. */
static void check_drip(const char *begin, char more, int status)
{
    weft_time begun = weft_now();

    client_open(&c, &s);
    client_send(&c, begin);
    a.status = 0;
    while (a.status == 0) {
        client_send_bytes(&c, &more, 1);
        weft_conn_set_read_deadline(c.conn, weft_after(10 * WEFT_MILLISECOND));
        client_answer(&c, &a, false);
        CHECK(weft_now() - begun < 20 * WEFT_SECOND);
    }
    CHECK_EQ(a.status, status);
    weft_conn_set_read_deadline(c.conn, WEFT_FOREVER);
    CHECK(client_is_at_end(&c));
    client_close(&c);
}

TEST(what_drips_is_cut_off)
{
    start("/", read_all, &(weft_http_options){.head_time = SHORT, .read_time = SHORT});
    check_drip("\r\n", 'G', 408);
    check_drip("G", 'E', 408);
    check_drip("GET / HTTP/1.1\r\nHost", 't', 408);
    check_drip("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 'x', 408);
    check_drip("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", 'x', 408);
    site_end(&s);
}

TEST(a_body_that_stalls_is_cut_off)
{
    start("/", read_all, &(weft_http_options){.read_time = SHORT});
    client_open(&c, &s);
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell");
    check_answer(408);
    CHECK(client_is_at_end(&c));
    done();
}

static char logged[512];

static void log_once(void *arg, const char *text)
{
    (void)arg;
    snprintf(logged, sizeof(logged), "%s", text);
}

static void flood(weft_http_response *w, weft_http_request *r, void *arg)
{
    static char data[64 * 1024];
    int rc = 0;

    (void)r;
    while (rc == 0)
        rc = weft_http_write(w, data, sizeof(data));
    CHECK_EQ(rc, WEFT_ETIMEDOUT);
    CHECK_EQ(weft_http_write(w, data, 1), WEFT_ETIMEDOUT);
    atomic_store((atomic_int *)arg, 1);
}

TEST(a_peer_that_does_not_read_is_cut_off)
{
    static atomic_int cut;

    s.mux = weft_http_mux_new();
    weft_http_mux_add(s.mux, "/", flood, &cut);
    site_start(&s, s.mux, &(weft_http_options){.write_time = SHORT, .log = log_once});
    client_open(&c, &s);
    client_send(&c, GET("/"));
    wait_for(&cut, 1);
    client_close(&c);
    site_end(&s);
    CHECK_CONTAINS(logged, "does not read the answer for /");
}

static void use_much_stack(weft_http_response *w, weft_http_request *r, void *arg)
{
    volatile char big[600 * 1024];

    (void)r;
    (void)arg;
    for (size_t n = 0; n < sizeof(big); n += 1024)
        big[n] = 1;
    weft_http_printf(w, "%d", big[1024]);
}

TEST(handlers_may_have_larger_stacks)
{
    s.mux = weft_http_mux_new();
    weft_http_mux_add(s.mux, "/", use_much_stack, NULL);
    site_start(&s, s.mux, &(weft_http_options){.stack_size = 2 << 20});
    for (int i = 0; i < 3; i++) {
        client_open(&c, &s);
        client_send(&c, GET("/"));
        check_answer(200);
        client_close(&c);
    }
    site_end(&s);
}

TEST_DIES(stack_of_handlers_beyond_all_bounds_panics, 2, "weft_http_server_new with stack_size")
{
    weft_http_server_new(weft_http_mux_new(), &(weft_http_options){.stack_size = SIZE_MAX});
}

static int serve_there(void *ln)
{
    return weft_http_server_serve(s.server, ln);
}

TEST(end_of_a_listener_is_logged)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_listener *ln;

    s.mux = weft_http_mux_new();
    s.server = weft_http_server_new(s.mux, &(weft_http_options){.log = log_once});
    CHECK_EQ(weft_listen("127.0.0.1:0", &ln), 0);
    weft_listener_shutdown(ln);
    weft_group_go(&g, serve_there, ln);
    CHECK_EQ(weft_group_join(&g), WEFT_ECLOSED);
    CHECK_STR(logged, "http: a listener has ended: closed");
    weft_http_server_free(s.server);
    weft_http_mux_free(s.mux);
}

static atomic_int peers_gone;

static void wait_for_peer(weft_http_response *w, weft_http_request *r, void *arg)
{
    int rc = weft_http_wait_until(r, weft_after(10 * WEFT_MILLISECOND));

    (void)arg;
    weft_http_printf(w, "%d", rc);
    weft_http_flush(w);
    if (weft_http_wait_until(r, WEFT_FOREVER) == WEFT_ECLOSED)
        atomic_fetch_add(&peers_gone, 1);
}

TEST(a_handler_can_wait_for_its_peer_to_go)
{
    start("/", wait_for_peer, NULL);
    client_open(&c, &s);
    client_send(&c, GET("/") GET("/"));
    CHECK(client_sees(&c, "\r\n1\r\n0\r\n"));
    client_close(&c);
    wait_for(&peers_gone, 1);
    site_end(&s);
}

static void look_for_peer(weft_http_response *w, weft_http_request *r, void *arg)
{
    int rc;

    (void)arg;
    CHECK_EQ(weft_http_wait_until(r, WEFT_NOW), 0);
    CHECK_EQ(weft_http_flush(w), 0);
    while ((rc = weft_http_wait_until(r, WEFT_NOW)) == 0)
        weft_yield();
    CHECK_EQ(rc, WEFT_ECLOSED);
    CHECK_EQ(weft_http_printf(w, "bye"), 0);
}

TEST(a_handler_can_look_whether_its_peer_has_gone)
{
    start("/", look_for_peer, NULL);
    client_open(&c, &s);
    client_send(&c, GET("/"));
    CHECK(client_sees(&c, "\r\n\r\n"));
    weft_conn_shutdown(c.conn, SHUT_WR);
    CHECK(client_sees(&c, "3\r\nbye\r\n0\r\n\r\n"));
    done();
}

/* Stopping ------------------------------------------------------------------------------------- */

static atomic_int entered;
static weft_chan *release;

static void wait_for_release(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    atomic_fetch_add(&entered, 1);
    weft_http_printf(w, "%d", weft_chan_recv(release, NULL));
}

static int stop(void *deadline)
{
    return weft_http_server_stop_until(s.server, *(weft_time *)deadline);
}

TEST(stopping_lets_running_requests_finish_and_closes_idle_ones)
{
    static client idle, fresh;
    weft_time forever = WEFT_FOREVER;
    weft_group g = WEFT_GROUP_INIT;
    weft_conn *refused;

    release = weft_chan_new(1, 0);
    start("/", wait_for_release, NULL);
    client_open(&fresh, &s);
    client_open(&idle, &s);
    client_send(&idle, GET("/"));
    wait_for(&entered, 1);
    CHECK_EQ(weft_chan_send(release, "x"), 0);
    CHECK(client_answer(&idle, &a, false));
    client_open(&c, &s);
    client_send(&c, GET("/"));
    wait_for(&entered, 2);
    weft_group_go(&g, stop, &forever);
    CHECK(client_is_at_end(&idle));
    CHECK(client_is_at_end(&fresh));
    CHECK(weft_dial(s.addr, &refused) < 0);
    CHECK_EQ(weft_chan_send(release, "x"), 0);
    check_answer(200);
    CHECK_STR(a.body, "0");
    CHECK_CONTAINS(a.head, "\r\nConnection: close\r\n");
    CHECK(client_is_at_end(&c));
    client_close(&c);
    CHECK_EQ(weft_group_join(&g), 0);
    client_close(&idle);
    client_close(&fresh);
    site_end(&s);
    weft_chan_free(release);
}

/* The request has five seconds from the stop on, not the minute that the server would wait. */
TEST(stopping_does_not_wait_for_half_a_head)
{
    weft_time forever = WEFT_FOREVER, began;
    weft_duration took;

    if (weft_procs() != 2 || under_asan() || under_tsan())
        SKIP("takes its time");
    start("/", hello, &(weft_http_options){.head_time = 60 * WEFT_SECOND});
    client_open(&c, &s);
    client_send(&c, GET("/") "GET / HT");
    check_answer(200);
    began = weft_now();
    CHECK_EQ(stop(&forever), 0);
    took = weft_now() - began;
    CHECK(took > 4 * WEFT_SECOND && took < 30 * WEFT_SECOND);
    check_answer(408);
    client_close(&c);
    site_end(&s);
}

static void stop_with(const char *half, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        weft_time forever = WEFT_FOREVER;

        start("/", hello, NULL);
        client_open(&c, &s);
        client_send(&c, half);
        for (int j = 0; j < i % 7; j++)
            weft_yield();
        if (*half)
            weft_conn_shutdown(c.conn, SHUT_WR);
        CHECK_EQ(stop(&forever), 0);
        client_close(&c);
        site_end(&s);
    }
}

/* The stop may reach the connection at any instant. */
TEST(stopping_ends_the_wait_for_a_request)
{
    stop_with("", 200);
    stop_with("GET / HT", 50);
}

TEST(stopping_cancels_at_its_deadline)
{
    weft_time now = WEFT_NOW;

    release = weft_chan_new(1, 0);
    start("/", wait_for_release, NULL);
    client_open(&c, &s);
    client_send(&c, GET("/"));
    wait_for(&entered, 1);
    CHECK_EQ(stop(&now), WEFT_ETIMEDOUT);
    client_close(&c);
    site_end(&s);
    weft_chan_free(release);
}

static int serve_for_ever(void *mux)
{
    return weft_http_serve(s.addr, mux);
}

TEST(a_server_ends_with_its_group)
{
    weft_http_mux *mux = weft_http_mux_new();
    weft_group g = WEFT_GROUP_INIT;

    weft_http_mux_add(mux, "/", hello, NULL);
    snprintf(s.addr, sizeof(s.addr), "unix:@weft-http-%d", getpid());
    weft_group_go(&g, serve_for_ever, mux);
    while (weft_dial(s.addr, &c.conn) < 0)
        weft_yield();
    client_expect(&c, GET("/"), 200, "hello");
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_join(&g), WEFT_ECANCELED);
    CHECK(client_is_at_end(&c));
    client_close(&c);
    weft_http_mux_free(mux);
}

TEST(connections_beyond_the_cap_wait)
{
    static client second;
    static const char request[] = GET("/");

    release = weft_chan_new(1, 0);
    start("/", wait_for_release, &(weft_http_options){.max_conns = 1});
    client_open(&c, &s);
    client_send(&c, request);
    client_open(&second, &s);
    client_send(&second, request);
    wait_for(&entered, 1);
    CHECK_EQ(weft_chan_send(release, "x"), 0);
    check_answer(200);
    CHECK_EQ(atomic_load(&entered), 1);
    client_close(&c);
    wait_for(&entered, 2);
    CHECK_EQ(weft_chan_send(release, "x"), 0);
    CHECK(client_answer(&second, &a, false));
    client_close(&second);
    site_end(&s);
    weft_chan_free(release);
}

/* Handlers that are canceled ------------------------------------------------------------------- */

static atomic_int canceled;

static void wait_until_canceled(weft_http_response *w, weft_http_request *r, void *arg)
{
    char byte;

    (void)arg;
    if (weft_http_read(r, &byte, 1) == 1 && byte == 'q') { /* does not wait, and is not canceled */
        weft_http_write(w, "quick", 5);
        return;
    }
    atomic_fetch_add(&entered, 1);
    CHECK_EQ(weft_sleep(WEFT_FOREVER / 2), WEFT_ECANCELED);
    CHECK_EQ(weft_chan_recv(release, NULL), WEFT_ECANCELED);
    atomic_fetch_add(&canceled, 1);
}

static void start_watched(void)
{
    weft_http_mux *mux = weft_http_mux_new();

    release = weft_chan_new(1, 0);
    weft_http_mux_add_with(mux, "/", &(weft_http_route){.cancel_when_gone = true},
                           wait_until_canceled, NULL);
    site_start(&s, mux, NULL);
}

/* Also when unread bytes are in the way, and when the peer closed only its side. */
TEST(a_handler_is_canceled_when_its_peer_goes)
{
    start_watched();
    for (int i = 0; i < 20; i++) {
        client_open(&c, &s);
        client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nq");
        check_answer(200);
        CHECK_STR(a.body, "quick");
        client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nw and more");
        wait_for(&entered, i + 1);
        if (i % 2)
            weft_conn_shutdown(c.conn, SHUT_WR);
        else
            client_close(&c);
        wait_for(&canceled, i + 1);
        if (i % 2)
            client_close(&c);
    }
    site_end(&s);
    weft_chan_free(release);
}

TEST(a_stop_cancels_a_watched_handler)
{
    start_watched();
    client_open(&c, &s);
    client_send(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nw");
    wait_for(&entered, 1);
    CHECK_EQ(weft_http_server_stop_until(s.server, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(atomic_load(&canceled), 1);
    client_close(&c);
    site_end(&s);
    weft_chan_free(release);
}

/* Taking the connection over ------------------------------------------------------------------- */

static void echo_back(void *conn)
{
    char buf[100];
    ssize_t n;

    while ((n = weft_conn_read(conn, buf, sizeof(buf))) > 0)
        CHECK_EQ(weft_conn_write(conn, buf, (size_t)n), 0);
    weft_conn_close(conn);
}

/* The connection outlives the handler. */
static void upgrade_to_echo(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *protocol = weft_http_query(r), *rest;
    weft_conn *conn;
    size_t n;
    int rc;

    (void)arg;
    weft_http_header_set(w, "X-Mine", "yes");
    rc = weft_http_upgrade(w, *protocol ? protocol : NULL, &conn, &rest, &n);
    if (rc < 0) {
        CHECK_EQ(rc, WEFT_EINVAL);
        weft_http_error(w, 426, "no");
        return;
    }
    CHECK_EQ(weft_http_write(w, "x", 1), WEFT_ECLOSED);
    CHECK_EQ(weft_http_read(r, (char[1]){0}, 1), WEFT_ECLOSED);
    CHECK_EQ(weft_http_wait_until(r, WEFT_NOW), WEFT_ECLOSED);
    CHECK_EQ(weft_conn_write(conn, rest, n), 0);
    weft_go(echo_back, conn);
}

static void expect_bytes(const char *text)
{
    CHECK(client_sees(&c, text));
    c.at += strlen(text);
}

TEST(a_handler_can_take_the_connection_over)
{
    start("/", upgrade_to_echo, &(weft_http_options){.max_conns = 1});
    client_open(&c, &s);
    client_send(&c, "GET /?echo/1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\n"
                    "Upgrade: other, Echo/1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    expect_bytes("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n"
                 "X-Mine: yes\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    client_send(&c, "more");
    expect_bytes("more");
    site_end(&s); /* which does not wait for it, nor end it */
    client_send(&c, "still there");
    expect_bytes("still there");
    client_close(&c);
}

TEST(a_handler_can_answer_by_itself)
{
    start("/", upgrade_to_echo, NULL);
    client_open(&c, &s);
    client_send(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\nraw");
    expect_bytes("raw");
    done();
}

TEST(what_was_not_offered_is_not_taken_over)
{
    static const char *const requests[] = {
        "GET /?echo HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?echo HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n",
        "GET /?echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echoo, xecho, e\r\n\r\n",
        "GET /?a%0d%0ab HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a%0d%0ab\r\n\r\n",
    };

    start("/", upgrade_to_echo, NULL);
    client_open(&c, &s);
    for (size_t i = 0; i < 3; i++)
        client_expect(&c, requests[i], 426, "no\n");
    client_expect(&c,
                  "POST /?echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
                  "Content-Length: 4\r\n\r\nbody",
                  426, "no\n");
    client_send(&c, "GET /?echo HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    check_answer(426);
    done();
}
