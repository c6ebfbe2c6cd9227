/* SPDX-License-Identifier: MIT */
/* http_peer.h - a server without sockets: its answers to bytes that come in pieces. */
#ifndef WEFT_TESTS_HTTP_PEER_H
#define WEFT_TESTS_HTTP_PEER_H

#include "http/wire/parse.h"
#include "http_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const weft__limits peer_limits = {CASE_LINE, CASE_HEAD, CASE_FIELDS};

struct peer {
    weft__parse parse;
    weft__field fields[CASE_FIELDS];
    char *in;       /* from the first byte of the current request on */
    size_t n;       /* bytes there */
    size_t head;    /* of the current request; 0: incomplete */
    bool ended;     /* the connection is to be closed */
    char says[64];  /* the first statuses */
    uint64_t print; /* of all statuses, heads and bodies */
    void (*on_head)(const struct peer *p);
};

static void peer_begin(struct peer *s, size_t room)
{
    memset(s, 0, sizeof(*s));
    s->in = malloc(room + 1);
    weft__parse_init(&s->parse, &peer_limits, s->fields);
}

static void peer_note(struct peer *s, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->print = (s->print ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
}

static void peer_says(struct peer *s, int status, bool lives)
{
    size_t n = strlen(s->says);

    peer_note(s, (const char *)&status, sizeof(status));
    if (n < sizeof(s->says) - 8)
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
        peer_note(s, s->in, s->head);
        if (s->on_head)
            s->on_head(s);
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
    peer_note(s, out, (size_t)rc);
    memmove(s->in + s->head, s->in + s->head + used, s->n - s->head - used);
    s->n -= used;
    if (!s->parse.done)
        return used > 0 && s->n > s->head;
    peer_says(s, 200, s->parse.keep_alive);
    memmove(s->in, s->in + s->head, s->n - s->head);
    s->n -= s->head;
    s->head = 0;
    weft__parse_init(&s->parse, &peer_limits, s->fields);
    return s->n > 0;
}

static void peer_feed(struct peer *s, const char *bytes, size_t n)
{
    memcpy(s->in + s->n, bytes, n);
    s->n += n;
    while (!s->ended && (s->head ? peer_body(s) : peer_head(s)))
        ;
}

#endif
