/* SPDX-License-Identifier: MIT */
/* http_client.c - see http_client.h. */
#include "http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int serve(void *arg)
{
    site *s = arg;

    return weft_http_server_serve(s->server, s->ln);
}

void site_start(site *s, weft_http_mux *mux, const weft_http_options *options)
{
    weft_addr addr;

    memset(s, 0, sizeof(*s));
    CHECK_EQ(weft_listen("127.0.0.1:0", &s->ln), 0);
    addr = weft_listener_addr(s->ln);
    weft_addr_name(&addr, s->addr, sizeof(s->addr));
    s->mux = mux;
    s->server = weft_http_server_new(mux, options);
    weft_group_go(&s->group, serve, s);
}

void site_end(site *s)
{
    weft_http_server_stop_until(s->server, weft_after(5 * WEFT_SECOND));
    CHECK_EQ(weft_group_join(&s->group), 0);
    weft_http_server_free(s->server);
    weft_http_mux_free(s->mux);
}

void client_open(client *c, const site *s)
{
    c->at = c->filled = 0;
    CHECK_EQ(weft_dial(s->addr, &c->conn), 0);
}

void client_close(client *c)
{
    weft_conn_close(c->conn);
}

void client_send_bytes(client *c, const void *bytes, size_t n)
{
    weft_conn_write(c->conn, bytes, n);
}

void client_send(client *c, const char *text)
{
    client_send_bytes(c, text, strlen(text));
}

static bool more(client *c)
{
    ssize_t n;

    memmove(c->buf, c->buf + c->at, c->filled - c->at);
    c->filled -= c->at;
    c->at = 0;
    CHECK(c->filled < sizeof(c->buf));
    n = weft_conn_read(c->conn, c->buf + c->filled, sizeof(c->buf) - c->filled);
    if (n > 0)
        c->filled += (size_t)n;
    return n > 0;
}

bool client_is_at_end(client *c)
{
    return c->at == c->filled && !more(c);
}

/* Returns the number of bytes up to the end of the text; 0 if the connection ended before it. */
static size_t up_to(client *c, const char *text)
{
    char *found;

    while (!(found = memmem(c->buf + c->at, c->filled - c->at, text, strlen(text)))) {
        if (!more(c))
            return 0;
    }
    return (size_t)(found - (c->buf + c->at)) + strlen(text);
}

bool client_sees(client *c, const char *text)
{
    return up_to(c, text) > 0;
}

static void append(answer *a, const char *bytes, size_t n)
{
    a->body = realloc(a->body, a->body_len + n + 1);
    memcpy(a->body + a->body_len, bytes, n);
    a->body_len += n;
    a->body[a->body_len] = 0;
}

static bool take_body(client *c, answer *a, size_t n)
{
    while (n > 0) {
        size_t some = c->filled - c->at < n ? c->filled - c->at : n;

        append(a, c->buf + c->at, some);
        c->at += some;
        n -= some;
        if (n > 0 && c->at == c->filled && !more(c))
            return false;
    }
    return true;
}

static bool take_chunks(client *c, answer *a)
{
    size_t line, n;

    do {
        line = up_to(c, "\r\n");
        if (line == 0)
            return false;
        n = strtoul(c->buf + c->at, NULL, 16);
        c->at += line;
        if (!take_body(c, a, n) || up_to(c, "\r\n") != 2)
            return false;
        c->at += 2;
    } while (n > 0);
    return true;
}

bool client_answer(client *c, answer *a, bool head_only)
{
    size_t head = up_to(c, "\r\n\r\n");
    const char *length;

    a->body_len = 0;
    append(a, "", 0);
    if (head == 0)
        return false;
    CHECK(head < sizeof(a->head));
    memcpy(a->head, c->buf + c->at, head);
    c->at += head;
    CHECK(sscanf(a->head, "HTTP/1.1 %3d ", &a->status) == 1);
    if (head_only || a->status < 200 || a->status == 204 || a->status == 304)
        return true;
    length = strcasestr(a->head, "\r\nContent-Length: ");
    if (length)
        return take_body(c, a, strtoul(length + strlen("\r\nContent-Length: "), NULL, 10));
    if (strcasestr(a->head, "\r\nTransfer-Encoding: chunked\r\n"))
        return take_chunks(c, a);
    while (c->at < c->filled || more(c)) {
        append(a, c->buf + c->at, c->filled - c->at);
        c->at = c->filled;
    }
    return true;
}

void client_expect(client *c, const char *request, int status, const char *body)
{
    answer a = {0};

    client_send(c, request);
    CHECK(client_answer(c, &a, strncmp(request, "HEAD", 4) == 0));
    CHECK_EQ(a.status, status);
    if (body)
        CHECK_STR(a.body, body);
    free(a.body);
}
