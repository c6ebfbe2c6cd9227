/* SPDX-License-Identifier: MIT */
/* framing.c - finds the end of a body: counts its bytes, and reads the lines of chunks and
 * trailers.
 *
 * Owns no state: a weft__parse belongs to its exchange, and one task works on it. weft__parse_body
 * may be called once weft__parse_head has returned the length of the head.
 *
 * Bytes of a body are counted and copied, nothing more. Lines of chunks are read here, byte by
 * byte, since llhttp refuses extensions that RFC 9112 allows. Extensions mean nothing to us and are
 * ignored, but only if they fit the grammar: a proxy in front of us must see the same end of the
 * line. A peer could send any number of such lines, so their bytes are bounded by the data that
 * they carry. Trailers are checked like header fields, by llhttp and line by line, and then
 * dropped: RFC 9110 allows that, and no handler can ask for them. */
#include "http/wire/parse.h"

#include "http/wire/path.h"
#include "runtime/base/check.h"

#include <string.h>

/* The bytes of chunk lines that a body may have: this many in any case, and this many for each byte
 * of data. A chunk of one byte needs six of framing, so honest peers stay below. */
enum { FRAMING_FREE = 16 * 1024, FRAMING_PER_BYTE = 8 };

int weft__parse_limit(weft__parse *p)
{
    if (p->left <= p->max_body - p->got)
        return 0;
    return weft__parse_refuse(p, 413, "body too large");
}

static int refuse_framing(weft__parse *p)
{
    return weft__parse_refuse(p, 400, "malformed chunked body");
}

/* Gives llhttp in[0..n). Returns how many bytes it took, or a refusal. */
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

/* Lines of chunks ------------------------------------------------------------------------------ */

/* The state of a chunk's line, which says how to read the next byte. The grammar, with optional
 * parts in brackets: size *([blanks] ";" [blanks] name [[blanks] "=" [blanks] (token or quoted)])
 * CR LF In front of every line but the first stands the CR LF that ends the data before it. */
enum chunk {
    SIZE_FIRST, /* is zero, so a zeroed weft__parse begins here */
    SIZE,
    BLANKS, /* behind a size or a value; a semicolon must follow */
    NAME_FIRST,
    NAME,
    NAME_BLANKS,
    VALUE_FIRST,
    TOKEN,
    QUOTED,
    ESCAPED,
    QUOTED_END,
    LINE_LF,
    DATA_CR,
    DATA_LF,
    BAD,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_token(char c)
{
    return weft__is_token((unsigned char)c);
}

/* Returns whether c may stand in a quoted string, or behind a backslash there. */
static bool is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* Returns the value of a hex digit, or -1. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the state after c, which ends a size, name or value. */
static enum chunk behind(char c)
{
    return is_blank(c) ? BLANKS : c == ';' ? NAME_FIRST : c == '\r' ? LINE_LF : BAD;
}

/* Adds a digit to the size. Refuses a 17th: the size would not fit. */
static enum chunk take_digit(weft__parse *p, char c)
{
    if (p->size >> 60)
        return BAD;
    p->size = p->size << 4 | (unsigned)digit_of(c);
    return SIZE;
}

/* Returns the state after the byte c. */
static enum chunk take_byte(weft__parse *p, char c)
{
    switch ((enum chunk)p->chunk) {
    case SIZE_FIRST:
        p->size = 0;
        return digit_of(c) < 0 ? BAD : take_digit(p, c);
    case SIZE:
        return digit_of(c) < 0 ? behind(c) : take_digit(p, c);
    case BLANKS:
        return is_blank(c) ? BLANKS : c == ';' ? NAME_FIRST : BAD;
    case NAME_FIRST:
        return is_blank(c) ? NAME_FIRST : is_token(c) ? NAME : BAD;
    case NAME:
        return is_token(c) ? NAME : c == '=' ? VALUE_FIRST : is_blank(c) ? NAME_BLANKS : behind(c);
    case NAME_BLANKS:
        return is_blank(c) ? NAME_BLANKS : c == '=' ? VALUE_FIRST : c == ';' ? NAME_FIRST : BAD;
    case VALUE_FIRST:
        return is_blank(c) ? VALUE_FIRST : c == '"' ? QUOTED : is_token(c) ? TOKEN : BAD;
    case TOKEN:
        return is_token(c) ? TOKEN : behind(c);
    case QUOTED:
        return c == '"' ? QUOTED_END : c == '\\' ? ESCAPED : is_text(c) ? QUOTED : BAD;
    case ESCAPED:
        return is_text(c) ? QUOTED : BAD;
    case QUOTED_END:
        return behind(c);
    case DATA_CR:
        return c == '\r' ? DATA_LF : BAD;
    default: /* DATA_LF, LINE_LF */
        return c == '\n' ? SIZE_FIRST : BAD;
    }
}

/* Handles the end of a chunk's line. Returns 0 or a refusal. After the last chunk llhttp reads the
 * trailers. It has seen none of the chunks, so it gets a last chunk from here. */
static int end_line(weft__parse *p)
{
    static const char last[] = "0\r\n";

    if (p->size > (uint64_t)(INT64_MAX - p->got))
        return weft__parse_refuse(p, 413, "body too large");
    p->left = (int64_t)p->size;
    if (p->left > 0)
        return weft__parse_limit(p);
    p->in_trailers = p->line_start = true;
    llhttp_resume(&p->ll);
    return feed(p, last, sizeof(last) - 1) < 0 ? -p->status : 0;
}

/* Takes the bytes of in[0..n) up to the end of a line with a size. Returns how many it took, or a
 * refusal. */
static ssize_t take_chunk_line(weft__parse *p, const char *in, size_t n)
{
    bool ends = false;
    size_t i = 0;
    int rc;

    while (i < n && !ends) {
        enum chunk next = take_byte(p, in[i++]);

        if (next == BAD)
            return refuse_framing(p);
        ends = p->chunk == LINE_LF;
        p->chunk = (uint8_t)next;
    }
    p->framing += (int64_t)i;
    if (p->framing > FRAMING_FREE + FRAMING_PER_BYTE * p->got)
        return weft__parse_refuse(p, 400, "more framing than body");
    if (ends && (rc = end_line(p)) < 0)
        return rc;
    return (ssize_t)i;
}

/* Trailers and data ---------------------------------------------------------------------------- */

/* Refuses trailers that llhttp would accept: lines that end in a bare LF, lines that continue the
 * line before, and too many lines. */
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

/* Gives llhttp a line of the trailers, or as much of it as there is. Returns how many bytes it
 * took, or a refusal. */
static ssize_t take_trailers(weft__parse *p, const char *in, size_t n)
{
    size_t most = p->limits->head + 2 - p->trailer_bytes, len = n < most ? n : most;
    const char *lf = memchr(in, '\n', len);
    ssize_t used;
    int rc;

    len = lf ? (size_t)(lf + 1 - in) : len;
    if (len == 0)
        return weft__parse_refuse(p, 431, "trailers too large");
    if ((rc = check_trailers(p, in, len)) < 0)
        return rc;
    p->trailer_bytes += (uint32_t)len;
    used = feed(p, in, len);
    weft__assert(used < 0 || used == (ssize_t)len);
    return used;
}

/* Copies data of the body to out, at most cap bytes. Returns how many. */
static size_t take_data(weft__parse *p, const char *in, size_t n, char *out, size_t cap)
{
    if (n > cap)
        n = cap;
    if ((int64_t)n > p->left)
        n = (size_t)p->left;
    if (out != in)
        memmove(out, in, n);
    p->got += (int64_t)n;
    p->left -= (int64_t)n;
    if (p->left == 0) {
        p->done = p->body == WEFT__BODY_LENGTH;
        p->chunk = DATA_CR;
    }
    return n;
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
            rc = (ssize_t)take_data(p, in + at, n - at, out + made, cap - made);
            made += (size_t)rc;
        } else if (p->in_trailers) {
            rc = take_trailers(p, in + at, n - at);
        } else {
            rc = take_chunk_line(p, in + at, n - at);
        }
        if (rc < 0 && made == 0)
            return rc;
        if (rc < 0) /* the caller gets the data first; the next call returns the refusal */
            break;
        at += (size_t)rc;
    }
    *used = at;
    return (ssize_t)made;
}
