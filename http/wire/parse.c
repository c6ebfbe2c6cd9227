/* SPDX-License-Identifier: MIT */
/* parse.c - parses the head of a request with llhttp, and checks the rules that llhttp does not.
 *
 * Owns no state: a weft__parse belongs to its exchange, and one task works on it. parse.h has the
 * order of the calls.
 *
 * llhttp gets the head in complete lines. So a refusal is the same however the bytes were cut, and
 * a limit applies at exactly one byte. RFC 9112 also asks for these rules, checked here:
 *   each LF follows a CR;
 *   a line of fields begins with a token, not with white space (obs-fold);
 *   the request line is METHOD SP TARGET SP HTTP/1.x with one space each; one empty line before it
 *   is ignored;
 *   the target is a path, "*" for OPTIONS, or an absolute URI whose authority is the Host; it has
 * no fragment; there is one Host, which is a valid host; Content-Length or Transfer-Encoding, not
 * both; "chunked" and no other coding, in HTTP/1.1 only. Each of them closes a way in which two
 * servers could see different requests in the same bytes (request smuggling).
 *
 * Stages: LINE until the request line is complete, FIELDS until the empty line, then DONE. */
#include "http/wire/parse.h"

#include "http/wire/path.h"

#include <string.h>

enum { LINE, FIELDS, DONE };

static weft__parse *parse_of(llhttp_t *ll)
{
    return weft__container_of(ll, weft__parse, ll);
}

/* Callbacks of llhttp -------------------------------------------------------------------------- */

/* In stage DONE the fields are trailers, which are checked and dropped. */
static int on_field(llhttp_t *ll, const char *at, size_t n)
{
    weft__parse *p = parse_of(ll);

    if (p->stage == DONE)
        return 0;
    if (n == 0)
        return HPE_USER;
    p->fields[p->nfields].name = (uint32_t)(at - p->base);
    p->fields[p->nfields].name_len = (uint32_t)n;
    return 0;
}

/* llhttp's span of a value begins behind the blanks in front and ends before the CR; the blanks
 * behind the value are in it, and are cut here. */
static int on_value(llhttp_t *ll, const char *at, size_t n)
{
    weft__parse *p = parse_of(ll);
    weft__field *f = &p->fields[p->nfields];

    if (p->stage == DONE)
        return 0;
    while (n > 0 && (at[n - 1] == ' ' || at[n - 1] == '\t'))
        n--;
    /* llhttp reports an empty value only in the next line, so its place follows from the name's. */
    f->value = n > 0 ? (uint32_t)(at - p->base) : f->name + f->name_len + 1;
    f->value_len = (uint32_t)n;
    return 0;
}

static int on_value_complete(llhttp_t *ll)
{
    weft__parse *p = parse_of(ll);

    if (p->stage != DONE)
        p->nfields++;
    return 0;
}

/* A server may ignore an upgrade, and this one does until a handler asks for it: llhttp must not
 * take the bytes that follow for another protocol. */
static int on_headers_complete(llhttp_t *ll)
{
    ll->upgrade = 0;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *ll)
{
    parse_of(ll)->done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

void weft__parse_init(weft__parse *p, const weft__limits *limits, weft__field *fields)
{
    memset(p, 0, sizeof(*p));
    llhttp_init(&p->ll, HTTP_REQUEST, &settings);
    p->limits = limits;
    p->fields = fields;
    p->max_body = INT64_MAX;
}

const char *weft__parse_method(const weft__parse *p)
{
    return llhttp_method_name((llhttp_method_t)p->ll.method);
}

/* Fields that decide --------------------------------------------------------------------------- */

/* Returns whether the field has this name, in any case. */
static bool is_named(const weft__parse *p, const weft__field *f, const char *name, size_t n)
{
    return f->name_len == n && weft__same_word(p->base + f->name, name, n);
}
#define IS_NAMED(p, f, name) is_named(p, f, name, sizeof(name) - 1)

static bool has_value(const weft__parse *p, const weft__field *f, const char *value)
{
    return f->value_len == strlen(value) &&
           weft__same_word(p->base + f->value, value, f->value_len);
}

/* Accepts "chunked" as the only coding. */
static int judge_coding(weft__parse *p, const weft__field *f)
{
    if (p->minor == 0)
        return weft__parse_refuse(p, 400, "Transfer-Encoding in HTTP/1.0");
    if (p->body == WEFT__BODY_CHUNKED)
        return weft__parse_refuse(p, 400, "more than one Transfer-Encoding");
    if (!has_value(p, f, "chunked"))
        return weft__parse_refuse(p, 501, "unsupported transfer encoding");
    if (!(p->ll.flags &
          F_CHUNKED)) /* llhttp read it otherwise, because of an odd blank behind it */
        return weft__parse_refuse(p, 400, "malformed Transfer-Encoding");
    p->body = WEFT__BODY_CHUNKED;
    return 0;
}

/* Checks and notes a field that decides how the request is read. The switch on the length spares
 * most fields a comparison. */
static int judge_field(weft__parse *p, const weft__field *f)
{
    switch (f->name_len) {
    case 4:
        if (!IS_NAMED(p, f, "host"))
            return 0;
        if (p->host)
            return weft__parse_refuse(p, 400, "more than one Host header");
        if (!weft__host_is_valid(p->base + f->value, f->value_len))
            return weft__parse_refuse(p, 400, "malformed Host header");
        p->host = p->base + f->value;
        return 0;
    case 6:
        if (!IS_NAMED(p, f, "expect") || p->minor == 0)
            return 0;
        if (!has_value(p, f, "100-continue"))
            return weft__parse_refuse(p, 417, "unknown expectation");
        p->expects_continue = true;
        return 0;
    case 17:
        return IS_NAMED(p, f, "transfer-encoding") ? judge_coding(p, f) : 0;
    default:
        return 0;
    }
}

/* Checks all fields, and decides how the end of the body is found. */
static int judge_fields(weft__parse *p)
{
    int rc;

    for (uint32_t i = 0; i < p->nfields; i++) {
        if ((rc = judge_field(p, &p->fields[i])) < 0)
            return rc;
    }
    if (!p->host && p->minor > 0)
        return weft__parse_refuse(p, 400, "missing Host header");
    if (p->body == WEFT__BODY_CHUNKED) {
        p->length = -1;
    } else if (p->ll.flags & F_CONTENT_LENGTH) {
        if (p->ll.content_length > INT64_MAX)
            return weft__parse_refuse(p, 400, "Content-Length is out of range");
        p->length = (int64_t)p->ll.content_length;
        p->body = p->length > 0 ? WEFT__BODY_LENGTH : WEFT__BODY_NONE;
    }
    return 0;
}

/* The target ----------------------------------------------------------------------------------- */

/* at: a URI with scheme and authority, and so long. The authority must be the Host's. */
static int judge_absolute(weft__parse *p, const char *at, size_t n, const char **path)
{
    size_t scheme = 0, len;
    const char *authority;

    if (n > 7 && weft__same_word(at, "http://", 7))
        scheme = 7;
    else if (n > 8 && weft__same_word(at, "https://", 8))
        scheme = 8;
    else
        return weft__parse_refuse(p, 400, "unknown form of target");
    authority = at + scheme;
    for (len = 0; scheme + len < n && authority[len] != '/' && authority[len] != '?'; len++)
        ;
    if (!p->host || strlen(p->host) != len || !weft__same_word(p->host, authority, len))
        return weft__parse_refuse(p, 400, "target and Host header differ");
    *path = authority + len;
    return 0;
}

/* Splits the target into path and query, and checks them. at: the target, n bytes, followed by a
 * blank that becomes a NUL. */
static int judge_target(weft__parse *p, char *at, size_t n)
{
    const char *path = at;
    char *mark;
    int rc;

    if (memchr(at, '#', n))
        return weft__parse_refuse(p, 400, "fragment in the target");
    at[n] = 0;
    if (*at == '*') {
        if (n != 1 || p->ll.method != HTTP_OPTIONS)
            return weft__parse_refuse(p, 400, "unknown form of target");
    } else if (*at != '/' && (rc = judge_absolute(p, at, n, &path)) < 0) {
        return rc;
    }
    mark = memchr(path, '?', (size_t)(at + n - path));
    if (mark) {
        *mark = 0;
        p->query = mark + 1;
    }
    p->path = *path ? path : "/";
    if (!weft__path_is_valid(p->path))
        return weft__parse_refuse(p, 400, "malformed escape in the path");
    return 0;
}

/* Lines ---------------------------------------------------------------------------------------- */

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c <= '~';
}

/* Checks the bytes of the request line as they come, so that a wrong one is refused at once.
 * Returns the offset of the line's LF; 0 if it has not come; a refusal. */
static ssize_t find_line(weft__parse *p, const char *buf, size_t n)
{
    uint32_t i = p->seen, end = p->line + p->limits->line;

    for (; i < n; i++) {
        unsigned char c = (unsigned char)buf[i];
        bool after_cr = i > p->line && buf[i - 1] == '\r';

        if (!after_cr && is_plain(c) && i < end)
            continue;
        if (c == '\n' && after_cr) {
            if (i == p->line + 1 && p->line == 0) {
                p->line = 2;
                end += 2;
                continue;
            }
            p->seen = i;
            return (ssize_t)i;
        }
        if (i > end || (i == end && c != '\r'))
            return weft__parse_refuse(p, 414, "request line too long");
        if (after_cr || (c != '\r' && !is_plain(c)))
            return weft__parse_refuse(p, 400, "malformed request line");
    }
    p->seen = i;
    return 0;
}

/* Gives llhttp the bytes from p->line up to `end`. Returns its code. */
static int feed_line(weft__parse *p, size_t end)
{
    return (int)llhttp_execute(&p->ll, p->base + p->line, end - p->line);
}

/* Checks that line[0..n), which has no CRLF, is METHOD SP TARGET SP HTTP/d.d. Returns the offset of
 * the target; 0 if it is not. */
static size_t split_line(const char *line, size_t n)
{
    const char *space = memchr(line, ' ', n), *last;
    size_t method = space ? (size_t)(space - line) : 0;

    for (size_t i = 0; i < method; i++) {
        if (!weft__is_token((unsigned char)line[i]))
            return 0;
    }
    if (method == 0 || n < method + 11) /* SP, a byte of target, SP, eight of version */
        return 0;
    last = memchr(space + 1, ' ', n - method - 1);
    if (last != line + n - 9 || last == space + 1 || memcmp(last, " HTTP/", 6) != 0 ||
        last[7] != '.')
        return 0;
    if (last[6] < '0' || last[6] > '9' || last[8] < '0' || last[8] > '9')
        return 0;
    return method + 1;
}

/* Takes the request line, which is buf[p->line..lf) with its CR. Returns 0 or a refusal. */
static int take_line(weft__parse *p, const char *buf, size_t lf)
{
    const char *line = buf + p->line;
    size_t n = lf - 1 - p->line, target = split_line(line, n);

    if (target == 0)
        return weft__parse_refuse(p, 400, "malformed request line");
    if (line[n - 3] != '1' || line[n - 1] > '1')
        return weft__parse_refuse(p, 505, "unsupported version of HTTP");
    switch (feed_line(p, lf + 1)) {
    case HPE_OK:
        break;
    case HPE_INVALID_METHOD:
    case HPE_INVALID_CONSTANT:
        return weft__parse_refuse(p, 501, "unknown method");
    default:
        return weft__parse_refuse(p, 400, "malformed target");
    }
    if (p->ll.method == HTTP_CONNECT || p->ll.method == HTTP_PRI)
        return weft__parse_refuse(p, 501, "unknown method");
    p->minor = p->ll.http_minor;
    p->target = p->line + (uint32_t)target;
    p->target_len = (uint32_t)(n - 9 - target);
    p->line = p->seen = p->first = (uint32_t)lf + 1;
    p->stage = FIELDS;
    return 0;
}

/* Refuses the head for an error of llhttp among the fields, with the status that RFC 9112 wants for
 * that error. */
static int refuse_field(weft__parse *p, int error)
{
    uint32_t codings = 0;

    switch (error) {
    case HPE_INVALID_TRANSFER_ENCODING: /* raised inside the value, so fields[nfields] has a name */
        for (uint32_t i = 0; i <= p->nfields; i++)
            codings += IS_NAMED(p, &p->fields[i], "transfer-encoding");
        return weft__parse_refuse(p, codings > 1 || p->minor == 0 ? 400 : 501,
                                  "unsupported transfer encoding");
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return weft__parse_refuse(p, 400, "more than one length of the body");
    case HPE_INVALID_CONTENT_LENGTH:
        return weft__parse_refuse(p, 400, "malformed Content-Length");
    default:
        return weft__parse_refuse(p, 400, "malformed header field");
    }
}

/* Turns tabs around a field's value into blanks. line[0..n) is the field, and its CR is the last
 * byte. RFC 9110 (5.6.3) allows both, but llhttp knows only blanks in the fields that say where a
 * body ends. */
static void blank_tabs(char *line, size_t n)
{
    char *from = memchr(line, ':', n), *to = line + n - 1;

    if (!from)
        return;
    for (from++; *from == ' ' || *from == '\t'; from++)
        *from = ' ';
    for (to--; to > from && (*to == ' ' || *to == '\t'); to--)
        *to = ' ';
}

/* Gives llhttp the lines that are complete. Returns the length of the head once it is complete; 0
 * if more bytes are needed; a refusal. */
static ssize_t take_fields(weft__parse *p, char *buf, size_t n)
{
    size_t limit = (size_t)p->first + p->limits->head, end = n < limit + 2 ? n : limit + 2;
    const char *lf;

    while ((lf = memchr(buf + p->seen, '\n', end - p->seen)) != NULL) {
        char *line = buf + p->line;
        size_t past = (size_t)(lf + 1 - buf);
        bool empty = lf == line + 1 && *line == '\r';
        int rc;

        if (lf == line || lf[-1] != '\r' || *line == ' ' || *line == '\t')
            return weft__parse_refuse(p, 400, "malformed header field");
        if (!empty && (past > limit || p->lines++ >= p->limits->fields))
            return weft__parse_refuse(p, 431, "header fields too large");
        blank_tabs(line, (size_t)(lf - line));
        rc = feed_line(p, past);
        if (rc != (empty ? HPE_PAUSED : HPE_OK))
            return refuse_field(p, rc);
        p->line = p->seen = (uint32_t)past;
        if (empty)
            return (ssize_t)past;
    }
    if (n >= limit + 2)
        return weft__parse_refuse(p, 431, "header fields too large");
    p->seen = (uint32_t)n;
    return 0;
}

/* Finishes a complete head: puts NULs where the separators were, and checks the fields and the
 * target. Returns 0 or a refusal. */
static int finish_head(weft__parse *p, char *buf)
{
    int rc;

    p->stage = DONE;
    for (uint32_t i = 0; i < p->nfields; i++) {
        buf[p->fields[i].name + p->fields[i].name_len] = 0;
        buf[p->fields[i].value + p->fields[i].value_len] = 0;
    }
    if ((rc = judge_fields(p)) < 0 || (rc = judge_target(p, buf + p->target, p->target_len)) < 0)
        return rc;
    p->keep_alive = !(p->ll.flags & F_CONNECTION_CLOSE) &&
                    (p->minor > 0 || (p->ll.flags & F_CONNECTION_KEEP_ALIVE));
    p->left = p->length > 0 ? p->length : 0;
    p->done = p->body == WEFT__BODY_NONE;
    return 0;
}

ssize_t weft__parse_head(weft__parse *p, char *buf, size_t n)
{
    ssize_t rc;

    p->base = buf;
    if (p->stage == LINE) {
        if ((rc = find_line(p, buf, n)) <= 0 || (rc = take_line(p, buf, (size_t)rc)) < 0)
            return rc;
    }
    if ((rc = take_fields(p, buf, n)) <= 0)
        return rc;
    return finish_head(p, buf) < 0 ? -p->status : rc;
}
