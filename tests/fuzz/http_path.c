/* SPDX-License-Identifier: MIT */
/* http_path.c - paths, queries and hosts from arbitrary text, and the mux that they are matched
 * by. The text before the first '?' is the path, "NAME=" before the next '?' is looked up in the
 * rest. */
#include "http/server/mux.h"
#include "http/wire/path.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool so)
{
    if (!so)
        abort();
}

/* The functions of the runtime that mux.c calls. */
void weft__panic(const char *format, ...)
{
    (void)format;
    abort();
}

void *weft__alloc(size_t n, size_t size)
{
    return calloc(n, size);
}

void weft__free(void *p)
{
    free(p);
}

static void nothing(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)w;
    (void)r;
    (void)arg;
}

static const weft_http_mux *make_mux(void)
{
    static const char *const patterns[] = {
        "/{$}",         "/a/",      "/a/{x}/b",          "GET /a/{x}", "/a/b/c",
        "/f/{rest...}", "/f/{x}/g", "POST /p/{x}/{y}/d", "/.well"};
    weft_http_mux *m = weft_http_mux_new();

    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++)
        weft_http_mux_add(m, patterns[i], nothing, NULL);
    return m;
}

static void check_match(const char *path)
{
    static const weft_http_mux *m;
    const char *end = path + strlen(path);
    weft__match match;

    m = m ? m : make_mux();
    for (unsigned method = 0; method < 4; method++) {
        weft__mux_match(m, method, path, &match);
        check(match.nvalues <= WEFT__WILDCARDS_MAX);
        for (uint32_t i = 0; match.pattern && i < match.nvalues; i++)
            check(match.values[i].at >= path && match.values[i].at + match.values[i].n <= end);
        check(!match.pattern || weft__mux_methods(m, path) || match.pattern->method < 0);
    }
}

static void check_path(const char *path)
{
    size_t n = strlen(path);
    char *clean = malloc(n + 2), *again = malloc(n + 3), *text = malloc(n + 1);

    if (weft__path_is_valid(path)) {
        check(weft__decode(text, path, n, false) >= 0);
        weft__path_clean(clean, path);
        check(weft__path_is_clean(clean));
        weft__path_clean(again, clean);
        check(strcmp(clean, again) == 0);
        check(!weft__path_is_clean(path) || strcmp(clean, path) == 0);
        check_match(clean);
    }
    weft__host_is_valid(path, n);
    free(clean);
    free(again);
    free(text);
}

static void check_query(const char *query, const char *name)
{
    const char *value = NULL, *end = query + strlen(query);
    size_t n = 0;
    char *text;

    if (!weft__query_find(query, name, &value, &n))
        return;
    check(value >= query && value + n <= end && !memchr(value, '&', n));
    text = malloc(n + 1);
    check(weft__decode(text, value, n, true) <= (ssize_t)n);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = malloc(size + 1), *name, *query;

    memcpy(path, data, size);
    path[size] = 0;
    if ((name = strchr(path, '?')) != NULL)
        *name++ = 0;
    check_path(path);
    if (name && (query = strchr(name, '?')) != NULL) {
        *query++ = 0;
        check_query(query, name);
    }
    free(path);
    return 0;
}
