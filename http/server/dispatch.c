/* SPDX-License-Identifier: MIT */
/* dispatch.c - finds the handler of a request and runs it, or gives the server's own answer: 404,
 * 405, a redirect, or a refusal of a body that is too long.
 *
 * Owns no state. The connection's task calls weft__dispatch once a head is complete, and the
 * handler runs inside that call. */
#include "http/server/exchange.h"
#include "http/wire/path.h"

#include <stdio.h>
#include <string.h>
#include <weft/trace.h>

/* Redirects the peer to path, with a slash added if the request lacks one. Escapes the bytes that
 * browsers read differently: to them a backslash is a slash, so "/\host" would name another
 * server. */
static void redirect(weft__exchange *x, const char *path, bool slash)
{
    weft_http_request *r = &x->r;
    bool read = r->parse.ll.method == HTTP_GET || r->parse.ll.method == HTTP_HEAD;
    size_t n = strlen(path), query = r->parse.query ? strlen(r->parse.query) : 0;
    char *location = weft__request_alloc(r, 3 * n + query + 3), *to = location;

    if (!location) {
        weft_http_error(&x->w, 503, "out of memory");
        return;
    }
    for (; *path; path++) {
        if (strchr("\\\"<>^`{|}", *path))
            to += sprintf(to, "%%%02X", (unsigned)(unsigned char)*path);
        else
            *to++ = *path;
    }
    if (slash)
        *to++ = '/';
    *to = 0;
    if (r->parse.query) {
        *to++ = '?';
        memcpy(to, r->parse.query, query + 1);
    }
    weft_http_redirect(&x->w, read ? 301 : 308, location);
}

/* Answers 405 with the allowed methods, in alphabetical order as Go has them. */
static void refuse_method(weft__exchange *x, uint64_t methods)
{
    static const char names[][16] = {
#define XX(number, id, text) [number] = #text,
        HTTP_METHOD_MAP(XX)
#undef XX
    };
    char allow[256];
    size_t n = 0;

    while (methods) {
        int first = -1;

        for (int i = 0; i < (int)(sizeof(names) / sizeof(*names)); i++) {
            if ((methods >> i & 1) && (first < 0 || strcmp(names[i], names[first]) < 0))
                first = i;
        }
        methods &= ~((uint64_t)1 << first);
        n +=
            (size_t)snprintf(allow + n, sizeof(allow) - n, "%s%s", n > 0 ? ", " : "", names[first]);
    }
    weft_http_header_set(&x->w, "Allow", allow);
    weft_http_error(&x->w, 405, "Method Not Allowed");
}

/* Answers a path that is not clean ("//", "/../"): a redirect if its clean form has a pattern, else
 * 404. A pattern is never matched with an unclean path, so no handler has to think of them. */
static void answer_unclean(weft__exchange *x)
{
    const char *path = x->r.parse.path;
    char *clean = weft__request_alloc(&x->r, strlen(path) + 2);
    weft__match match;

    if (!clean) {
        weft_http_error(&x->w, 503, "out of memory");
        return;
    }
    weft__path_clean(clean, path);
    weft__mux_match(x->conn->server->mux, x->r.parse.ll.method, clean, &match);
    if (match.pattern || match.add_slash)
        redirect(x, clean, match.add_slash);
    else
        weft_http_error(&x->w, 404, "404 page not found");
}

/* Runs the handler of the match, as a traced task. A body that is known to be too long is refused
 * before. */
static void run(weft__exchange *x)
{
    const weft__pattern *p = x->r.match.pattern;
    weft__parse *parse = &x->r.parse;
    int64_t most = p->max_body ? p->max_body : x->conn->server->options.max_body;
    uint64_t task;
    int rc;

    parse->max_body = most < 0 ? INT64_MAX : most;
    rc = weft__parse_limit(parse);
    task = weft_trace_task_begin(p->text, 0);
    if (rc < 0)
        weft__response_refuse(x, -rc, parse->why);
    else if (p->watched)
        weft__run_watched(x);
    else
        p->fn(&x->w, &x->r, p->arg);
    weft_trace_task_end(task);
}

void weft__dispatch(weft__exchange *x)
{
    const weft_http_mux *mux = x->conn->server->mux;
    const char *path = x->r.parse.path;
    uint64_t methods;

    if (*path == '*') /* OPTIONS *, which asks about the server itself: an empty 200 */
        return;
    if (!x->conn->server->options.raw_paths && !weft__path_is_clean(path)) {
        answer_unclean(x);
        return;
    }
    weft__mux_match(mux, x->r.parse.ll.method, path, &x->r.match);
    if (x->r.match.add_slash)
        redirect(x, path, true);
    else if (x->r.match.pattern)
        run(x);
    else if ((methods = weft__mux_methods(mux, path)) != 0)
        refuse_method(x, methods);
    else
        weft_http_error(&x->w, 404, "404 page not found");
}
