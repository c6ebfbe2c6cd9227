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

/* An error as go tool pprof prints it: it wants X-Go-Pprof and text/plain. debug_mount.c */
void weft__debug_error(weft_http_response *w, int status, const char *text);

/* What requests for profiles have in common. debug_pprof.c */
struct weft__debug_asked {
    int debug;
    int seconds; /* 0: not asked for, < 0: malformed */
};
/* False: it was answered. */
bool weft__debug_parameters(struct weft__debug_asked *a, const struct weft__debug *d,
                            weft_http_response *w, weft_http_request *r);
/* "0" or "1"; otherwise if it is not there. False: it was answered. */
bool weft__debug_flag(bool *flag, bool otherwise, const char *name, weft_http_response *w,
                      weft_http_request *r);
void weft__debug_begin(weft_http_response *w, const char *name, bool binary, bool delta);
int weft__debug_write(void *response, const void *data, size_t n); /* of a sink */

/* debug_waits.c */
weft__debug_fn weft__debug_block;
weft__debug_fn weft__debug_mutex;
weft__debug_fn weft__debug_contention;
int weft__debug_block_count(void); /* places */
int weft__debug_mutex_count(void);
int weft__debug_contention_count(void);
/* debug_pprof.c */
weft__debug_fn weft__debug_profile; /* /debug/pprof/{name...} */
weft__debug_fn weft__debug_cmdline;
weft__debug_fn weft__debug_symbol;
/* debug_page.c */
weft__debug_fn weft__debug_page;
/* debug_vars.c */
weft__debug_fn weft__debug_vars;

/* The profiles, by name; the list ends with a NULL name. debug_pprof.c */
struct weft__debug_profile {
    const char *name, *about;
    int (*count)(void); /* NULL: it has none */
    weft__debug_fn *serve;
};
extern const struct weft__debug_profile weft__debug_profiles[];

#endif
