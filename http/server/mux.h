/* SPDX-License-Identifier: MIT */
/* mux.h - finds the pattern, and with it the handler, of a request.
 *
 * A mux is built by one task before a server gets it, and is constant from then on. So matching
 * needs no lock: any task of the server may call. */
#ifndef WEFT_HTTP_MUX_H
#define WEFT_HTTP_MUX_H

#include "runtime/base/base.h"

#include <weft/http.h>

enum { WEFT__WILDCARDS_MAX = 16, WEFT__METHODS_MAX = 64 };

typedef struct weft__pattern weft__pattern;

/* The text of a wildcard, undecoded: a part of the path. */
typedef struct weft__span {
    const char *at;
    size_t n;
} weft__span;

/* The result of a match. The spans point into the path. */
typedef struct weft__match {
    const weft__pattern *pattern; /* NULL: none */
    bool add_slash;               /* the path matches only with a slash behind it */
    uint32_t nvalues;
    weft__span values[WEFT__WILDCARDS_MAX];
} weft__match;

/* Finds the pattern for a path, which is undecoded and begins with a slash. method: the number that
 * llhttp gives it. */
void weft__mux_match(const weft_http_mux *m, unsigned method, const char *path, weft__match *out);
/* Returns the methods for which the path has a pattern, as a set of bits. */
uint64_t weft__mux_methods(const weft_http_mux *m, const char *path);
/* Keeps m from being changed until release. Each server holds it once. */
void weft__mux_hold(weft_http_mux *m);
void weft__mux_release(weft_http_mux *m);

struct weft__pattern {
    weft_http_fn *fn;
    void *arg;
    int64_t max_body; /* of the route; 0: the server's applies */
    bool watched;     /* the handler is canceled when its peer closes the connection */
    char *text;       /* the pattern as the program gave it */
    int method;       /* llhttp's number; -1: all methods */
    uint32_t nsegments;
    struct weft__segment {
        enum { WEFT__LITERAL, WEFT__ONE, WEFT__REST } kind;
        char *text; /* the literal, or the wildcard's name; "" for none */
    } * segments;
    weft__pattern *next; /* in the mux; the latest first */
};

#endif
