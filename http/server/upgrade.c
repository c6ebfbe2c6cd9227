/* SPDX-License-Identifier: MIT */
/* upgrade.c - lets a handler take its connection over, for another protocol.
 *
 * Owns no state. The handler's task calls weft_http_upgrade, before it has written an answer.
 *
 * The connection's task continues until the handler returns. Then it gives back the exchange, the
 * connection's place in the server's list and its slot below the limit; the socket is the
 * handler's. The handler may switch only to a protocol that the request offers (RFC 9110, 7.8), and
 * only after it has read the whole request. The bytes that follow belong to the other protocol, and
 * are never parsed as a request. */
#include "http/server/exchange.h"
#include "http/wire/path.h"

#include <stdio.h>
#include <string.h>

/* Returns whether text is a protocol's name, which may have a version behind a slash. */
static bool is_protocol(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (!weft__is_token((unsigned char)*c) && *c != '/')
            return false;
    }
    return *text != 0;
}

/* Returns whether an element of the list is this word, in any case. */
static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);

    while (*list) {
        size_t len;

        list += strspn(list, " \t,");
        len = strcspn(list, " \t,");
        if (len == n && weft__same_word(list, word, n))
            return true;
        list += len;
    }
    return false;
}

/* Returns whether a field of that name has the word. */
static bool field_has(const weft_http_request *r, const char *field, const char *word)
{
    const char *name, *value;
    size_t n = strlen(field), i = 0;

    while (weft_http_header_each(r, &i, &name, &value)) {
        if (strlen(name) == n && weft__same_word(name, field, n) && list_has(value, word))
            return true;
    }
    return false;
}

/* Returns whether the request offers to switch to the protocol. */
static bool offers(const weft_http_request *r, const char *protocol)
{
    return is_protocol(protocol) && r->parse.minor == 1 && field_has(r, "Connection", "upgrade") &&
           field_has(r, "Upgrade", protocol);
}

/* Sends the status line and its fields, then the handler's fields. */
static int send_101(weft__exchange *x, const char *protocol)
{
    weft_http_response *w = &x->w;
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n",
                     protocol);
    struct iovec iov[] = {
        {head, (size_t)n},
        {w->out + WEFT__FRONT_SIZE, w->filled - WEFT__FRONT_SIZE},
        {(void *)(uintptr_t) "\r\n", 2},
    };

    if (n >= (int)sizeof(head))
        return WEFT_EINVAL;
    return w->error = weft__http_send(x->conn->net, iov, 3, &w->budget,
                                      x->conn->server->options.write_time);
}

int weft_http_upgrade(weft_http_response *w, const char *protocol, weft_conn **conn,
                      const char **rest, size_t *n)
{
    weft__exchange *x = weft__exchange_of_response(w);
    weft_http_request *r = &x->r;
    int rc;

    if (w->error)
        return w->error;
    if (w->stage != WEFT__OPEN || r->error || !r->parse.done || (protocol && !offers(r, protocol)))
        return WEFT_EINVAL;
    rc = protocol ? send_101(x, protocol) : 0;
    if (rc < 0)
        return rc;
    x->conn->taken = true;
    w->stage = WEFT__OVER;
    w->error = r->error = WEFT_ECLOSED;
    *conn = x->conn->net;
    *rest = r->in + r->rest;
    *n = r->filled - r->rest;
    return 0;
}
