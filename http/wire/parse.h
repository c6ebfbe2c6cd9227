/* SPDX-License-Identifier: MIT */
/* parse.h - parses one request from bytes: first its head, in place, then the framing of its body.
 *
 * Calls come in this order: weft__parse_init, then weft__parse_head until it returns other than 0,
 * then weft__parse_body until p->done. One task works on a request; there is no lock, and nothing
 * here reads or allocates.
 *
 * The caller keeps the head's bytes together and in order, from the request's first byte on. It may
 * move them between calls until the head is complete; then they stay until the request is done. The
 * results do not depend on how the bytes were cut into calls, so an attacker gains nothing by
 * cutting them. A refusal is a negative HTTP status; after it the connection cannot be used for
 * another request, since the place of the next one is unknown. */
#ifndef WEFT_HTTP_PARSE_H
#define WEFT_HTTP_PARSE_H

#include "runtime/base/base.h"

#include <llhttp.h>
#include <sys/types.h>

typedef struct weft__limits {
    uint32_t line;   /* bytes of the request line without its CRLF */
    uint32_t head;   /* bytes of the header fields' lines; again for the trailers' */
    uint32_t fields; /* header fields; again for the trailers */
} weft__limits;

/* A header field, as offsets from the request's first byte: pointers would not survive a move of
 * the bytes. Once the head is complete, name and value end with a NUL. */
typedef struct weft__field {
    uint32_t name, name_len;
    uint32_t value, value_len;
} weft__field;

enum weft__body_kind { WEFT__BODY_NONE, WEFT__BODY_LENGTH, WEFT__BODY_CHUNKED };

typedef struct weft__parse {
    llhttp_t ll;
    const weft__limits *limits; /* constant */
    weft__field *fields;        /* limits->fields of them; constant */
    const char *base;           /* the request's first byte, as of the latest call */
    uint32_t line;              /* the offset of the line that is being collected */
    uint32_t seen;              /* its end was searched for up to here */
    uint32_t first;             /* the offset of the first field's line; 0: not reached yet */
    uint32_t target, target_len;
    uint32_t lines;   /* lines of fields that llhttp has got */
    uint32_t nfields; /* lines, or one less: llhttp ends a value when it sees the next line */
    uint8_t stage;    /* of parse.c */

    /* From the head; valid once it is complete. */
    uint8_t minor; /* HTTP/1.minor */
    uint8_t body;  /* enum weft__body_kind */
    bool keep_alive;
    bool expects_continue;
    int64_t length;    /* of the body; -1 if it is chunked */
    const char *path;  /* as sent, percent signs and all; never empty, ends with a NUL */
    const char *query; /* what follows '?', ends with a NUL; NULL without one */
    const char *host;  /* NULL: HTTP/1.0 without it */

    /* The body. */
    bool done;        /* the request ends here: the next byte belongs to another */
    bool in_trailers; /* the last chunk is over */
    bool line_start;  /* in trailers: the last byte ended a line */
    char last;        /* in trailers: the last byte */
    int64_t max_body; /* bytes; the caller sets it before the first call of weft__parse_body */
    int64_t got;      /* bytes of body so far */
    int64_t left;     /* bytes until the end of the body or of this chunk */
    int64_t framing;  /* bytes of chunk lines so far */
    uint32_t trailers, trailer_bytes; /* lines and bytes of trailers so far */
    uint64_t size;                    /* of the chunk whose line is being read */
    uint8_t chunk;                    /* the state in such a line: enum chunk of framing.c */

    int status;      /* of a refusal, positive */
    const char *why; /* the reason of a refusal, for people */
} weft__parse;

/* parse.c */

/* Prepares p for a request. limits and fields stay the caller's, and in place. */
void weft__parse_init(weft__parse *p, const weft__limits *limits, weft__field *fields);
/* Parses the head; buf has all bytes of the request so far. Returns the length of the head once it
 * is complete, with NULs in place of the separators; 0 if more bytes are needed; a refusal. */
ssize_t weft__parse_head(weft__parse *p, char *buf, size_t n);
/* Returns the name of the method. Valid once the head is complete. */
const char *weft__parse_method(const weft__parse *p);

/* framing.c */

/* Takes bytes of in[0..n): lines of chunks and trailers, and at most cap bytes of body, which it
 * copies to out (out may be in). Returns the number of body bytes, or a refusal; sets *used to the
 * bytes of `in` that it took. With cap > 0 it takes them all, unless out is full or the body ends
 * (p->done). */
ssize_t weft__parse_body(weft__parse *p, const char *in, size_t n, char *out, size_t cap,
                         size_t *used);
/* Returns how many of the next bytes are body and nothing else. The caller may read that many
 * straight to their destination. */
static inline int64_t weft__parse_plain(const weft__parse *p)
{
    return p->done ? 0 : p->left;
}
/* Refuses a body whose known part is longer than max_body. Returns 0 or a refusal. */
int weft__parse_limit(weft__parse *p);

/* Marks the request as refused. Returns the negative status. */
static inline int weft__parse_refuse(weft__parse *p, int status, const char *why)
{
    p->status = status;
    p->why = why;
    return -status;
}

#endif
