/* SPDX-License-Identifier: MIT */
/* mux.h - which handler a request is for. */
#ifndef WEFT_HTTP_MUX_H
#define WEFT_HTTP_MUX_H

#include "runtime/base/base.h"

#include <weft/http.h>

enum { WEFT__WILDCARDS_MAX = 16, WEFT__METHODS_MAX = 64 };

typedef struct weft__pattern weft__pattern;

/* Where in the path a wildcard's text stands, undecoded. */
typedef struct weft__span {
    const char *at;
    size_t n;
} weft__span;

typedef struct weft__match {
    const weft__pattern *pattern; /* NULL: none */
    bool add_slash;               /* no match as it is, but one with a slash behind it */
    uint32_t nvalues;
    weft__span values[WEFT__WILDCARDS_MAX];
} weft__match;

/* Finds the pattern for a path, which begins with a slash and is undecoded. method: llhttp's
 * number.
 */
void weft__mux_match(const weft_http_mux *m, unsigned method, const char *path, weft__match *out);
/* Returns the methods for which the path has a pattern: a bit each. 0: none. */
uint64_t weft__mux_methods(const weft_http_mux *m, const char *path);
/* Keeps m from being changed until release. Each server holds it once. */
void weft__mux_hold(weft_http_mux *m);
void weft__mux_release(weft_http_mux *m);

struct weft__pattern {
    weft_http_fn *fn;
    void *arg;
    int64_t max_body; /* 0: the server's */
    bool watched;     /* the handler is canceled when its peer goes */
    char *text;       /* as it was given */
    int method;       /* -1: all */
    uint32_t nsegments;
    struct weft__segment {
        enum { WEFT__LITERAL, WEFT__ONE, WEFT__REST } kind;
        char *text; /* the literal, or the wildcard's name, "" for none */
    } * segments;
    weft__pattern *next; /* all of the mux, latest first */
};

#endif
