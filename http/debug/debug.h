/* SPDX-License-Identifier: MIT */
/* debug.h - a mount of the debug endpoints, and the endpoints: the types that the files here share.
 *
 * Handlers of the debug endpoints call everything here, on the task of their connection and with no
 * lock held. mount.c has let the request in before. */
#ifndef WEFT_DEBUG_INTERNAL_H
#define WEFT_DEBUG_INTERNAL_H

#include <weft/debug.h>

/* A mount: a copy of its options, and its count of requests. It is never freed, since a mux does
 * not say when it ends. */
struct weft__debug {
    weft_debug_options options; /* constant */
    uint32_t requests;          /* under way; atomic */
};

/* The handler of one endpoint. */
typedef void weft__debug_fn(struct weft__debug *d, weft_http_response *w, weft_http_request *r);

/* debug/pprof.c */

/* Answers with an error in the form that go tool pprof prints: it looks for X-Go-Pprof and
 * text/plain. */
void weft__debug_error(weft_http_response *w, int status, const char *text);
weft__debug_fn weft__debug_profile; /* /debug/pprof/{name...} */
weft__debug_fn weft__debug_fgprof;
weft__debug_fn weft__debug_cmdline;
weft__debug_fn weft__debug_symbol;
/* debug/page.c */
weft__debug_fn weft__debug_page;
/* debug/vars.c */
weft__debug_fn weft__debug_vars;

#endif
