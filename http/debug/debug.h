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

/* debug/answer.c */

/* Answers with an error in the form that go tool pprof prints: it looks for X-Go-Pprof and
 * text/plain. */
void weft__debug_error(weft_http_response *w, int status, const char *text);
/* Sets the header of an answer that is a file, or text if filename is NULL. */
void weft__answer_head(weft_http_response *w, const char *filename);
/* Sets the header of an answer that is a page. Its script runs by its nonce; NULL: it has none. */
void weft__answer_page_head(weft_http_response *w, const char *nonce);

enum { WEFT__FILENAME_SIZE = 160 };

/* An answer in pieces. All fields below nonce begin as 0. */
struct weft__answer {
    weft_http_response *w;
    const char *filename; /* NULL: the answer is text, or a page */
    const char *nonce;    /* of the page's script; NULL: the answer is no page */
    bool begun;           /* the header is set */
    char *piece;          /* NULL: not needed yet, or there is no memory for it */
    size_t n, room;       /* used and allocated bytes of piece */
    bool aside;           /* weft__stand_aside has declared a blocking call, which must be ended */
};

/* Sets the header, unless it is set. */
void weft__answer_begin(struct weft__answer *a);
/* Puts data into the answer. It has the form of a sink (snapshot.h). */
int weft__answer_put(void *answer, const void *data, size_t n);
/* Writes the last piece if rc is 0, and frees it. Returns the first negative code. */
int weft__answer_end(struct weft__answer *a, int rc);

/* debug/pprof.c */
weft__debug_fn weft__debug_profile; /* /debug/pprof/{name...}, and the profiles' own paths */
weft__debug_fn weft__debug_cmdline;
weft__debug_fn weft__debug_symbol;
/* debug/trace.c */
weft__debug_fn weft__debug_trace;
/* debug/flight.c */
weft__debug_fn weft__debug_flight;
/* debug/page.c */
weft__debug_fn weft__debug_page;
/* debug/vars.c */
weft__debug_fn weft__debug_vars;

#endif
