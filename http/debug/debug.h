/* SPDX-License-Identifier: MIT */
/* debug.h - what the files of the debug endpoints share. */
#ifndef WEFT_DEBUG_INTERNAL_H
#define WEFT_DEBUG_INTERNAL_H

#include <weft/debug.h>

/* A copy of a mount's options, and its count of requests. Never freed: muxes have no end that
 * would tell. */
struct weft__debug {
    weft_debug_options options;
    uint32_t requests; /* atomic: under way */
};

/* One endpoint. Called with the request let in and counted. */
typedef void weft__debug_fn(struct weft__debug *d, weft_http_response *w, weft_http_request *r);

/* debug/pprof.c */
/* An error as go tool pprof prints it: it wants X-Go-Pprof and text/plain. */
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
