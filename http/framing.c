/* SPDX-License-Identifier: MIT */
/* framing.c - where a body ends.
 *
 * A body with a length is counted here; llhttp takes chunks apart. It stops after each chunk's
 * line (on_chunk_header) and at the end, so data and lines are told apart before they are given
 * to it: left > 0 says that the next bytes are data. Lines, of which a peer could make any number,
 * are held against the data they carry. Trailers are checked like header fields, line for line,
 * and dropped: RFC 9110 allows that, and nothing here asks for any. */
#include "parse.h"

#include <string.h>

/* Bytes of lines that a body may have for nothing, and for each byte of data: a chunk of one byte
 * needs six of framing. */
enum { FRAMING_FREE = 16 * 1024, FRAMING_PER_BYTE = 8 };

static weft__parse *parse_of(llhttp_t *ll)
{
    return weft__container_of(ll, weft__parse, ll);
}

int weft__parse_limit(weft__parse *p)
{
    if (p->left <= p->max_body - p->got)
        return 0;
    return weft__parse_refuse(p, 413, "body too large");
}

int weft__parse_chunk_header(llhttp_t *ll)
{
    weft__parse *p = parse_of(ll);

    if (ll->content_length > (uint64_t)(INT64_MAX - p->got)) {
        weft__parse_refuse(p, 413, "body too large");
        return HPE_USER;
    }
    p->left = (int64_t)ll->content_length;
    p->in_trailers = p->line_start = p->left == 0;
    return weft__parse_limit(p) < 0 ? HPE_USER : HPE_PAUSED;
}

int weft__parse_on_body(llhttp_t *ll, const char *at, size_t n)
{
    weft__parse *p = parse_of(ll);

    if (p->out + p->produced != at)
        memmove(p->out + p->produced, at, n);
    p->produced += n;
    return 0;
}

static int refuse_framing(weft__parse *p)
{
    return p->status ? -p->status : weft__parse_refuse(p, 400, "malformed chunked body");
}

/* Gives llhttp in[0..n). The bytes it took, or a refusal. */
static ssize_t feed(weft__parse *p, const char *in, size_t n)
{
    int rc = (int)llhttp_execute(&p->ll, in, n);

    if (rc == HPE_OK)
        return (ssize_t)n;
    if (rc != HPE_PAUSED)
        return refuse_framing(p);
    llhttp_resume(&p->ll);
    return llhttp_get_error_pos(&p->ll) - in;
}

/* The chunk lines at in[0..n), up to the end of one, and the CRLF behind the data before. */
static ssize_t take_chunk_line(weft__parse *p, const char *in, size_t n)
{
    ssize_t used = feed(p, in, n);

    if (used < 0)
        return used;
    p->framing += used;
    if (p->framing > FRAMING_FREE + FRAMING_PER_BYTE * p->got)
        return weft__parse_refuse(p, 400, "more framing than body");
    return used;
}

/* What llhttp lets pass: lines that end in a bare LF, lines that go on in the next. */
static int check_trailers(weft__parse *p, const char *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = in[i];

        if (p->line_start && (c == ' ' || c == '\t' || c == ':'))
            return weft__parse_refuse(p, 400, "malformed trailer");
        if (c == '\n' && p->last != '\r')
            return weft__parse_refuse(p, 400, "malformed trailer");
        if (p->line_start && c != '\r' && ++p->trailers > p->limits->fields)
            return weft__parse_refuse(p, 431, "trailers too large");
        p->line_start = c == '\n';
        p->last = c;
    }
    return 0;
}

/* Trailers go to llhttp line by line, or as much of one as there is. */
static ssize_t take_trailers(weft__parse *p, const char *in, size_t n)
{
    const char *lf = memchr(in, '\n', n);
    size_t len = lf ? (size_t)(lf + 1 - in) : n;
    ssize_t used;
    int rc;

    if (len > p->limits->head + 2 - p->trailer_bytes)
        return weft__parse_refuse(p, 431, "trailers too large");
    if ((rc = check_trailers(p, in, len)) < 0)
        return rc;
    p->trailer_bytes += (uint32_t)len;
    used = feed(p, in, len);
    weft__assert(used < 0 || used == (ssize_t)len);
    return used;
}

static ssize_t take_data(weft__parse *p, const char *in, size_t n, char *out, size_t cap)
{
    ssize_t used = (ssize_t)n;

    if (n > cap)
        n = cap;
    if ((int64_t)n > p->left)
        n = (size_t)p->left;
    p->out = out;
    p->produced = 0;
    if (p->body == WEFT__BODY_LENGTH) {
        weft__parse_on_body(&p->ll, in, n);
        used = (ssize_t)n;
    } else {
        used = feed(p, in, n);
    }
    p->got += (int64_t)n;
    p->left -= (int64_t)n;
    return used;
}

ssize_t weft__parse_body(weft__parse *p, const char *in, size_t n, char *out, size_t cap,
                         size_t *used)
{
    size_t at = 0, made = 0;

    if (p->status)
        return -p->status;
    while (at < n && !p->done) {
        ssize_t rc;

        if (p->left > 0) {
            if (made == cap)
                break;
            rc = take_data(p, in + at, n - at, out + made, cap - made);
            made += p->produced;
            p->done = p->left == 0 && p->body == WEFT__BODY_LENGTH;
        } else if (p->in_trailers) {
            rc = take_trailers(p, in + at, n - at);
        } else {
            rc = take_chunk_line(p, in + at, n - at);
        }
        if (rc < 0 && made == 0)
            return rc;
        if (rc < 0) /* the next call says it */
            break;
        at += (size_t)rc;
    }
    *used = at;
    return (ssize_t)made;
}
