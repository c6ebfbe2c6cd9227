/* SPDX-License-Identifier: MIT */
/* test_http_parse.c - heads and bodies from bytes, whole and cut in every way. */
#include "../http/parse.h"
#include "../http/path.h"
#include "check.h"
#include "http_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const weft__limits limits = {CASE_LINE, CASE_HEAD, CASE_FIELDS};

/* A server without sockets: what it says to bytes that come in pieces. */
struct peer {
    weft__parse parse;
    weft__field fields[CASE_FIELDS];
    char *in;      /* from the first byte of the current request on */
    size_t n;      /* bytes there */
    size_t head;   /* of the current request; 0: incomplete */
    bool ended;    /* the connection is to be closed */
    char says[64]; /* statuses */
    char body[256];
    size_t body_len;
};

static void peer_begin(struct peer *s, size_t room)
{
    memset(s, 0, sizeof(*s));
    s->in = malloc(room + 1);
    weft__parse_init(&s->parse, &limits, s->fields);
}

static void peer_says(struct peer *s, int status, bool lives)
{
    size_t n = strlen(s->says);

    snprintf(s->says + n, sizeof(s->says) - n, "%s%d", n > 0 ? " " : "", status);
    s->ended = !lives;
}

/* One step; false: it needs more bytes. */
static bool peer_head(struct peer *s)
{
    ssize_t rc = weft__parse_head(&s->parse, s->in, s->n);

    if (rc == 0)
        return false;
    if (rc > 0) {
        s->head = (size_t)rc;
        s->parse.max_body = CASE_BODY;
        rc = weft__parse_limit(&s->parse);
    }
    if (rc < 0)
        peer_says(s, (int)-rc, false);
    return true;
}

static bool peer_body(struct peer *s)
{
    char out[7];
    size_t used = 0;
    ssize_t rc =
        weft__parse_body(&s->parse, s->in + s->head, s->n - s->head, out, sizeof(out), &used);

    if (rc < 0) {
        peer_says(s, (int)-rc, false);
        return true;
    }
    CHECK(s->body_len + (size_t)rc <= sizeof(s->body));
    memcpy(s->body + s->body_len, out, (size_t)rc);
    s->body_len += (size_t)rc;
    memmove(s->in + s->head, s->in + s->head + used, s->n - s->head - used);
    s->n -= used;
    if (!s->parse.done)
        return used > 0 && s->n > s->head;
    peer_says(s, 200, s->parse.keep_alive);
    memmove(s->in, s->in + s->head, s->n - s->head);
    s->n -= s->head;
    s->head = 0;
    weft__parse_init(&s->parse, &limits, s->fields);
    return s->n > 0;
}

static void peer_feed(struct peer *s, const char *bytes, size_t n)
{
    memcpy(s->in + s->n, bytes, n);
    s->n += n;
    while (!s->ended && (s->head ? peer_body(s) : peer_head(s)))
        ;
}

static void check_case(const http_case *c, const struct peer *s, const char *how)
{
    if (strcmp(s->says, c->answers) != 0 || s->ended == c->lives)
        FAIL("case \"%s\", %s: \"%s\" and %s; expected \"%s\" and %s", c->name, how, s->says,
             s->ended ? "ends" : "lives", c->answers, c->lives ? "lives" : "ends");
}

TEST_PLAIN(each_case_sent_whole)
{
    struct peer s;

    for (int i = 0; i < HTTP_CASES; i++) {
        peer_begin(&s, http_cases[i].len);
        peer_feed(&s, http_cases[i].raw, http_cases[i].len);
        check_case(&http_cases[i], &s, "whole");
        free(s.in);
    }
}

TEST_PLAIN(each_case_sent_byte_by_byte)
{
    struct peer s;

    for (int i = 0; i < HTTP_CASES; i++) {
        peer_begin(&s, http_cases[i].len);
        for (size_t at = 0; at < http_cases[i].len && !s.ended; at++)
            peer_feed(&s, http_cases[i].raw + at, 1);
        check_case(&http_cases[i], &s, "byte by byte");
        free(s.in);
    }
}

TEST_PLAIN(each_case_cut_in_two)
{
    struct peer s;

    for (int i = 0; i < HTTP_CASES; i++) {
        const http_case *c = &http_cases[i];

        for (size_t at = 1; at < c->len && at < 300; at++) {
            peer_begin(&s, c->len);
            peer_feed(&s, c->raw, at);
            if (!s.ended)
                peer_feed(&s, c->raw + at, c->len - at);
            check_case(c, &s, "in two");
            free(s.in);
        }
    }
}

/* What a peer may go on sending for ever is cut off. */
static void check_endless(const char *begin, char more)
{
    struct peer s;
    int bytes = 0;

    peer_begin(&s, strlen(begin) + 1);
    peer_feed(&s, begin, strlen(begin));
    while (!s.ended && bytes++ < 20000)
        peer_feed(&s, &more, 1);
    CHECK_STR(s.says, "400");
    free(s.in);
}

TEST_PLAIN(chunk_lines_without_end_are_refused)
{
    check_endless(CHUNKED "0", '0');
    check_endless(CHUNKED "1;", 'a');
    check_endless(CHUNKED "1;a=", 'a');
    check_endless(CHUNKED "1;a=\"", ' ');
}
