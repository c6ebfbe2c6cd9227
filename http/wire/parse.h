/* SPDX-License-Identifier: MIT */
/* parse.h - one request from bytes: its head in place, then the framing of its body.
 *
 * The caller keeps the head's bytes together and in order, from the request's first byte on; they
 * may move between calls until the head is complete, then they stay until the request is done.
 * The results do not depend on how the bytes were cut into calls. A refusal is a negative HTTP
 * status; the connection cannot be used for another request after it. */
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

/* Offsets from the request's first byte. Once the head is complete, name and value end with a
 * NUL. */
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
    uint32_t line;              /* where the line begins that is being collected */
    uint32_t seen;              /* how far its end was looked for */
    uint32_t first;             /* where the first field's line begins; 0: not reached */
    uint32_t target, target_len;
    uint32_t lines;   /* of fields, given to llhttp */
    uint32_t nfields; /* lines or one less: llhttp ends a value when it sees the next line */
    uint8_t stage;

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
    bool in_trailers; /* behind the last chunk */
    bool line_start;  /* trailers: the last byte ended a line */
    char last;        /* trailers: the last byte */
    int64_t max_body; /* bytes; the caller lowers or raises it before the first call */
    int64_t got;      /* bytes of body so far */
    int64_t left;     /* bytes until the end of the body or of this chunk */
    int64_t framing;  /* bytes of chunk lines so far */
    uint32_t trailers, trailer_bytes;
    uint64_t size; /* of the chunk whose line is being read */
    uint8_t chunk; /* where in such a line we are: framing.c */

    int status;      /* of a refusal, positive */
    const char *why; /* the same for people */
} weft__parse;

/* parse.c. Prepares p for a request; limits and fields stay the caller's. */
void weft__parse_init(weft__parse *p, const weft__limits *limits, weft__field *fields);
/* buf: all bytes of the request so far. Above 0: the head is complete and so long, and separators
 * in it were overwritten with NULs; 0: there is more to come; below 0: refused. */
ssize_t weft__parse_head(weft__parse *p, char *buf, size_t n);
const char *weft__parse_method(const weft__parse *p);

/* framing.c. Takes what it can of in[0..n), at most cap bytes of body go to out, which may be in.
 * The number of these, or a refusal; *used bytes of in were taken. With cap > 0 it takes all, but
 * for a full out or the body's end (p->done). */
ssize_t weft__parse_body(weft__parse *p, const char *in, size_t n, char *out, size_t cap,
                         size_t *used);
/* Bytes that are body and nothing else from here on: a read of so many may go where they belong. */
static inline int64_t weft__parse_plain(const weft__parse *p)
{
    return p->done ? 0 : p->left;
}
/* Refuses a body that is known to be too long. 0 or a refusal. */
int weft__parse_limit(weft__parse *p);

static inline int weft__parse_refuse(weft__parse *p, int status, const char *why)
{
    p->status = status;
    p->why = why;
    return -status;
}

#endif
