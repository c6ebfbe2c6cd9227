/* SPDX-License-Identifier: MIT */
/* test_http_parse.c - heads and bodies, given whole and cut into pieces in every way. */
#include "check.h"
#include "http_cases.h"
#include "http_peer.h"

#include "http/wire/path.h"

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

/* Input that a peer could send without end is cut off. */
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

TEST_PLAIN(bytes_of_tokens_and_hosts_are_those_of_the_rfcs)
{
    static const char alnum[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (int c = 0; c < 256; c++) {
        bool plain = c != 0 && strchr(alnum, c), token = c != 0 && strchr("!#$%&'*+-.^_`|~", c);
        bool host = c != 0 && strchr("-._~!$&'()*+,;=:", c); /* a port may be empty */
        const char name[] = {'a', (char)c};

        CHECK_EQ(weft__is_token((unsigned char)c), plain || token);
        CHECK_EQ(weft__host_is_valid(name, sizeof(name)), plain || host);
    }
}
