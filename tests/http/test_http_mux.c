/* SPDX-License-Identifier: MIT */
/* test_http_mux.c - paths, queries, patterns. */
#include "http/server/mux.h"
#include "http/wire/path.h"
#include "http_client.h"

#include <llhttp.h>
#include <stdio.h>
#include <string.h>

/* Paths and queries ---------------------------------------------------------------------------- */

TEST_PLAIN(clean_paths_are_told_from_others)
{
    static const struct {
        const char *path, *clean;
    } paths[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a/b", "/a/b"},
        {"/a.b", "/a.b"},
        {"/...", "/..."},
        {"/.a", "/.a"},
        {"/a%2Fb", "/a%2Fb"},
        {"//", "/"},
        {"//a", "/a"},
        {"/a//b", "/a/b"},
        {"/a//", "/a/"},
        {"/.", "/"},
        {"/..", "/"},
        {"/./a", "/a"},
        {"/a/.", "/a/"},
        {"/a/./b", "/a/b"},
        {"/a/..", "/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../", "/a/"},
        {"/a/../b", "/b"},
        {"/../../a", "/a"},
        {"/%2e", "/"},
        {"/a/%2E%2e/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"///..//./a///", "/a/"},
        {"/a/b/../../..", "/"},
        {"/%2e%2e%2fa", "/%2e%2e%2fa"},
    };
    char out[64];

    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        weft__path_clean(out, paths[i].path);
        CHECK_STR(out, paths[i].clean);
        CHECK_EQ(weft__path_is_clean(paths[i].path), strcmp(out, paths[i].path) == 0);
        CHECK(weft__path_is_clean(out));
    }
}

static void check_decoded(const char *text, bool form, const char *expected)
{
    char out[64];
    ssize_t n = weft__decode(out, text, strlen(text), form);

    if (!expected)
        CHECK_EQ(n, -1);
    else
        CHECK_STR(out, expected);
}

TEST_PLAIN(escapes_are_resolved)
{
    check_decoded("a%20b", false, "a b");
    check_decoded("a+b", false, "a+b");
    check_decoded("a+b%2B", true, "a b+");
    check_decoded("%e2%82%AC", false, "\xe2\x82\xac");
    check_decoded("", false, "");
    check_decoded("%", false, NULL);
    check_decoded("%4", false, NULL);
    check_decoded("%4g", false, NULL);
    check_decoded("%00", false, NULL);
}

static const char *value_of(const char *query, const char *name)
{
    static char out[64];
    const char *at;
    size_t n;

    if (!weft__query_find(query, name, &at, &n))
        return "(none)";
    snprintf(out, sizeof(out), "%.*s", (int)n, at);
    return out;
}

TEST_PLAIN(the_first_parameter_of_a_name_is_found)
{
    CHECK_STR(value_of("a=1&b=2&a=3", "a"), "1");
    CHECK_STR(value_of("a=1&b=2&a=3", "b"), "2");
    CHECK_STR(value_of("a=1&b=2", "c"), "(none)");
    CHECK_STR(value_of("aa=1&a=2", "a"), "2");
    CHECK_STR(value_of("a", "a"), "");
    CHECK_STR(value_of("a=", "a"), "");
    CHECK_STR(value_of("a=b=c", "a"), "b=c");
    CHECK_STR(value_of("&&a=1", "a"), "1");
    CHECK_STR(value_of("&", ""), "(none)");
    CHECK_STR(value_of("", "a"), "(none)");
    CHECK_STR(value_of(NULL, "a"), "(none)");
    CHECK_STR(value_of("%61+b=1", "a b"), "1");
    CHECK_STR(value_of("a%=1&a%=2&b=3", "b"), "3");
    CHECK_STR(value_of("a=%zz", "a"), "%zz");
}

/* Patterns ------------------------------------------------------------------------------------- */

static void nothing(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)w;
    (void)r;
    (void)arg;
}

static weft_http_mux *mux_of(const char *const *patterns)
{
    weft_http_mux *m = weft_http_mux_new();

    for (; *patterns; patterns++)
        weft_http_mux_add(m, *patterns, nothing, NULL);
    return m;
}

/* Returns "PATTERN name=value ..." of the match; with "+" in front if only a slash is missing. */
static const char *found(const weft_http_mux *m, unsigned method, const char *path)
{
    static char out[256];
    weft__match match;
    uint32_t k = 0;
    size_t n;

    weft__mux_match(m, method, path, &match);
    n = (size_t)snprintf(out, sizeof(out), "%s%s", match.add_slash ? "+" : "",
                         match.pattern ? match.pattern->text : "");
    for (uint32_t i = 0; match.pattern && i < match.pattern->nsegments; i++) {
        const struct weft__segment *g = &match.pattern->segments[i];

        if (g->kind == WEFT__LITERAL)
            continue;
        if (*g->text)
            n += (size_t)snprintf(out + n, sizeof(out) - n, " %s=%.*s", g->text,
                                  (int)match.values[k].n, match.values[k].at);
        k++;
    }
    return out;
}

TEST_PLAIN(the_narrowest_pattern_wins)
{
    static const char *const patterns[] = {
        "/{$}",
        "/orders/",
        "/orders/{id}",
        "GET /orders/{id}",
        "POST /orders/new",
        "/orders/{id}/items/{item}",
        "/files/{path...}",
        "/files/{a}/x",
        "/docs/{page...}",
        "/docs/static/",
        "POST /only",
        "HEAD /both",
        "GET /both",
        "/a b",
        "/q/{x}/deep/{$}",
        NULL,
    };
    static const struct {
        unsigned method;
        const char *path, *found;
    } tries[] = {
        {HTTP_GET, "/", "/{$}"},
        {HTTP_GET, "/nope", ""},
        {HTTP_GET, "/orders", "+"},
        {HTTP_GET, "/orders/", "/orders/"},
        {HTTP_GET, "/orders/7", "GET /orders/{id} id=7"},
        {HTTP_HEAD, "/orders/7", "GET /orders/{id} id=7"},
        {HTTP_POST, "/orders/7", "/orders/{id} id=7"},
        {HTTP_POST, "/orders/new", "POST /orders/new"},
        {HTTP_POST, "/orders/n%65w", "POST /orders/new"},
        {HTTP_POST, "/orders/a%2Fb", "/orders/{id} id=a%2Fb"},
        {HTTP_GET, "/orders/7/", "/orders/"},
        {HTTP_GET, "/orders/7/items/8", "/orders/{id}/items/{item} id=7 item=8"},
        {HTTP_GET, "/orders/7/items/8/9", "/orders/"},
        {HTTP_GET, "/orders/new/items/8", "/orders/{id}/items/{item} id=new item=8"},
        {HTTP_GET, "/files", "+"},
        {HTTP_GET, "/files/", "/files/{path...} path="},
        {HTTP_GET, "/files/a/b", "/files/{path...} path=a/b"},
        {HTTP_GET, "/files/a/x", "/files/{a}/x a=a"},
        {HTTP_GET, "/docs/static", "+/docs/{page...} page=static"},
        {HTTP_GET, "/docs/static/", "/docs/static/"},
        {HTTP_GET, "/only", ""},
        {HTTP_POST, "/only", "POST /only"},
        {HTTP_HEAD, "/both", "HEAD /both"},
        {HTTP_GET, "/both", "GET /both"},
        {HTTP_GET, "/a%20b", "/a b"},
        {HTTP_GET, "/q/r/deep/", "/q/{x}/deep/{$} x=r"},
        {HTTP_GET, "/q/r/deep", "+"},
        {HTTP_GET, "/q/r/deep/s", ""},
    };
    weft_http_mux *m = mux_of(patterns);

    for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++)
        CHECK_STR(found(m, tries[i].method, tries[i].path), tries[i].found);
    weft_http_mux_free(m);
}

TEST_PLAIN(patterns_in_disjoint_sets_do_not_conflict)
{
    static const char *const patterns[] = {
        "/a/{x}",       "/a/{x}/",     "/a/{$}",   "GET /b",     "POST /b",
        "GET /f/{x}/c", "POST /d/{y}", "/e/{x}/f", "/e/g/{y}/h", NULL};

    weft_http_mux_free(mux_of(patterns));
}

/* The two patterns of each pair cannot be in one mux. */
#define CONFLICT(name, a, b)                                                                       \
    TEST_DIES_PLAIN(name, 2, "conflicts with pattern")                                             \
    {                                                                                              \
        static const char *const patterns[] = {a, b, NULL};                                        \
                                                                                                   \
        mux_of(patterns);                                                                          \
    }
#define MALFORMED(name, pattern, why)                                                              \
    TEST_DIES_PLAIN(name, 2, why)                                                                  \
    {                                                                                              \
        weft_http_mux_add(weft_http_mux_new(), pattern, nothing, NULL);                            \
    }

CONFLICT(the_same_pattern_twice_conflicts, "/a/{x}", "/a/{y}")
CONFLICT(a_subtree_and_a_named_rest_conflict, "/a/", "/a/{y...}")
CONFLICT(crossing_patterns_conflict, "/a/{x}", "/{y}/b")
CONFLICT(crossing_rests_conflict, "/{x}/b/", "/a/{y}/c")
CONFLICT(a_narrower_method_with_a_wider_path_conflicts, "GET /{x}", "/a")
CONFLICT(head_crosses_get, "HEAD /{x}", "GET /a")
MALFORMED(a_pattern_needs_a_path, "GET", "no path")
MALFORMED(a_pattern_begins_with_a_slash, "a/b", "no path")
MALFORMED(a_pattern_has_a_known_method, "FOO /", "unknown method")
MALFORMED(a_pattern_is_clean, "/a//b", "unclean path")
MALFORMED(a_pattern_has_no_dots, "/a/../b", "unclean path")
MALFORMED(a_wildcard_is_a_segment, "/a{b}", "whole segment")
MALFORMED(a_wildcard_has_a_name, "/{}", "bad wildcard name")
MALFORMED(a_wildcard_name_is_a_word, "/{a b}", "bad wildcard name")
MALFORMED(a_wildcard_name_is_unique, "/{a}/{a}", "duplicate wildcard")
MALFORMED(a_rest_is_last, "/{a...}/b", "not at the end")
MALFORMED(an_end_is_last, "/{$}/b", "not at the end")

/* Over the wire -------------------------------------------------------------------------------- */

static site s;
static client c;
static answer a;

static void say_params(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *q = "", *id = weft_http_param(r, "id");
    int rc = weft_http_query_value(r, "q", &q);

    (void)arg;
    CHECK(weft_http_param(r, "nope") == NULL);
    weft_http_printf(w, "%s %s id=%s q=%s %d", weft_http_method(r), weft_http_path(r),
                     id ? id : "(none)", rc == 0 && q ? q : "(none)", rc);
}

static void start(void)
{
    s.mux = weft_http_mux_new();
    weft_http_mux_add(s.mux, "GET /orders/{id}", say_params, NULL);
    weft_http_mux_add(s.mux, "POST /orders/{id}", say_params, NULL);
    weft_http_mux_add(s.mux, "DELETE /orders/{id}", say_params, NULL);
    weft_http_mux_add(s.mux, "/tree/", say_params, NULL);
    weft_http_mux_add(s.mux, "/x/{id}/", say_params, NULL);
    site_start(&s, s.mux, NULL);
    client_open(&c, &s);
}

static void end(void)
{
    client_close(&c);
    site_end(&s);
}

static void expect_answer(const char *line, int status, const char *field, const char *body)
{
    char request[256];

    snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: a\r\n\r\n", line);
    client_send(&c, request);
    CHECK(client_answer(&c, &a, strncmp(line, "HEAD", 4) == 0));
    CHECK_EQ(a.status, status);
    CHECK_CONTAINS(a.head, field);
    CHECK_STR(a.body, body);
}

TEST(handlers_get_their_parameters)
{
    start();
    expect_answer("GET /orders/7", 200, "", "GET /orders/7 id=7 q=(none) 0");
    expect_answer("GET /orders/a%2Fb?q=c+d&q=e", 200, "", "GET /orders/a/b id=a/b q=c d 0");
    expect_answer("POST /orders/%C3%A9?q=%", 200, "",
                  "POST /orders/\xc3\xa9 id=\xc3\xa9 q=(none) -22");
    expect_answer("GET http://a/orders/1?q", 200, "", "GET /orders/1 id=1 q= 0");
    expect_answer("PUT /tree/x/y", 200, "", "PUT /tree/x/y id=(none) q=(none) 0");
    end();
}

TEST(what_has_no_handler_is_not_found)
{
    start();
    expect_answer("GET /", 404, "\r\nX-Content-Type-Options: nosniff\r\n", "404 page not found\n");
    expect_answer("GET /orders/", 404, "text/plain; charset=utf-8", "404 page not found\n");
    expect_answer("GET //nope", 404, "", "404 page not found\n");
    expect_answer("PUT /orders/7", 405, "\r\nAllow: DELETE, GET, HEAD, POST\r\n",
                  "Method Not Allowed\n");
    expect_answer("OPTIONS *", 200, "\r\nContent-Length: 0\r\n", "");
    end();
}

static void show_target(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *rest = weft_http_param(r, "rest");

    (void)arg;
    weft_http_printf(w, "%s %s", weft_http_target(r), rest ? rest : "-");
}

/* A proxy must hand on the bytes that were sent. */
TEST(target_is_what_was_sent)
{
    static const char *const cases[][2] = {
        {"/p/a%2Fb/c", "a/b/c"},  {"/p/a%2fb?c=d%20e?f", "a/b"}, {"/p//a/../b/./", "/a/../b/./"},
        {"/p/%2e%2E/x?", "../x"}, {"http://a/p/x?y=//", "x"},
    };
    weft_http_mux *mux = weft_http_mux_new();

    weft_http_mux_add(mux, "/p/{rest...}", show_target, NULL);
    weft_http_mux_add(mux, "/{$}", show_target, NULL);
    site_start(&s, mux, &(weft_http_options){.raw_paths = true});
    client_open(&c, &s);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char request[200], expected[200];

        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i][0]);
        snprintf(expected, sizeof(expected), "%s %s", cases[i][0], cases[i][1]);
        client_expect(&c, request, 200, expected);
    }
    client_expect(&c, "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n", 200, "http://a?q -");
    client_expect(&c, "GET //p/x HTTP/1.1\r\nHost: a\r\n\r\n", 404, "404 page not found\n");
    client_close(&c);
    site_end(&s);
}

TEST(paths_are_redirected_to_what_they_mean)
{
    start();
    expect_answer("GET /tree", 301, "\r\nLocation: /tree/\r\n",
                  "<a href=\"/tree/\">Moved Permanently</a>.\n\n");
    expect_answer("HEAD /tree", 301, "\r\nLocation: /tree/\r\n", "");
    expect_answer("POST /tree?a=b&c", 308, "\r\nLocation: /tree/?a=b&c\r\n", "");
    expect_answer("GET /tree?a=b&c", 301, "\r\nLocation: /tree/?a=b&c\r\n",
                  "<a href=\"/tree/?a=b&amp;c\">Moved Permanently</a>.\n\n");
    expect_answer("GET //orders/../orders/./7?x", 301, "\r\nLocation: /orders/7?x\r\n",
                  "<a href=\"/orders/7?x\">Moved Permanently</a>.\n\n");
    expect_answer("GET /orders/%2e%2e/tree/a%20b", 301, "\r\nLocation: /tree/a%20b\r\n",
                  "<a href=\"/tree/a%20b\">Moved Permanently</a>.\n\n");
    expect_answer("GET //x/\\evil.com", 301, "\r\nLocation: /x/%5Cevil.com/\r\n",
                  "<a href=\"/x/%5Cevil.com/\">Moved Permanently</a>.\n\n");
    end();
}

TEST_DIES(a_mux_with_a_server_is_complete, 2, "added to a mux that a server has")
{
    start();
    weft_http_mux_add(s.mux, "/new", nothing, NULL);
}

TEST_DIES(a_mux_with_a_server_stays, 2, "a mux is freed that a server has")
{
    start();
    weft_http_mux_free(s.mux);
}

TEST_DIES(a_server_that_serves_stays, 2, "a server is freed that still serves")
{
    start();
    expect_answer("GET /", 404, "", "404 page not found\n");
    weft_http_server_free(s.server);
}
