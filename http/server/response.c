/* SPDX-License-Identifier: MIT */
/* response.c - collects an answer's header fields and body in one buffer, and sends it.
 *
 * Owns: the answer's part of an exchange. There is no lock: only the task that has the exchange
 * calls, or the handler that runs for it. The weft_http_ functions are valid until the handler
 * returns; those that send may wait for the peer.
 *
 * A small answer is sent when the handler returns, by one call, from one buffer. The handler's
 * fields stand behind a gap, into which head.c writes its lines, and the body stands behind the
 * fields. When the buffer is full, the head is sent, and from then on the buffer collects body. A
 * chunk's size fits into the gap in front of the body; the end of the chunk and the last chunk fit
 * behind it. Data larger than the room left is sent from the caller's memory, together with the
 * collected body.
 *
 * Always:
 *   in OPEN  filled == body, which is the end of the fields
 *   in HELD  out[body - 2..body) is the empty line
 *   in SENT  body >= CHUNK_FRONT and filled <= size - CHUNK_BACK */
#include "http/server/exchange.h"
#include "http/wire/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_FRONT = sizeof("7fffffffffffffff\r\n") - 1, /* room for a chunk's size */
    CHUNK_BACK = sizeof("\r\n0\r\n\r\n") - 1,         /* room for its end and the last chunk */
    OUT_MAX = 64 * 1024,                              /* bytes of all fields of an answer */
};

void weft__response_begin(weft__exchange *x)
{
    weft_http_response *w = &x->w;

    w->status = 0;
    w->stage = WEFT__OPEN;
    w->head_only = x->r.parse.ll.method == HTTP_HEAD;
    w->chunked = w->closes = w->has_date = false;
    w->error = 0;
    w->length = -1;
    w->written = 0;
    w->budget = x->conn->server->options.write_time;
    w->out = x->out;
    w->size = sizeof(x->out);
    w->body = w->filled = WEFT__FRONT_SIZE;
}

bool weft_http_wants_body(const weft_http_response *w)
{
    return !w->head_only && w->status != 204 && w->status != 304;
}

int weft_http_status_set(weft_http_response *w, int status)
{
    if (w->stage != WEFT__OPEN || status < 200 || status > 599)
        return WEFT_EINVAL;
    w->status = status;
    return 0;
}

/* Header fields -------------------------------------------------------------------------------- */

/* Makes room for n more bytes of fields. Returns 0 or WEFT_ENOMEM. */
static int make_room(weft__exchange *x, size_t n)
{
    weft_http_response *w = &x->w;
    size_t size = w->size;
    char *out;

    if (w->size - w->filled >= n + CHUNK_BACK)
        return 0;
    if (n > OUT_MAX)
        return WEFT_ENOMEM;
    while (size - w->filled < n + CHUNK_BACK)
        size *= 2;
    out = size <= 2 * OUT_MAX ? weft__alloc_try(size) : NULL;
    if (!out)
        return WEFT_ENOMEM;
    memcpy(out, w->out, w->filled);
    if (w->out != x->out)
        weft__free(w->out);
    w->out = out;
    w->size = (uint32_t)size;
    return 0;
}

/* Returns whether name is a field's name. A handler may pass on text of a peer, which must not be
 * able to begin another line. is_value has the same reason. */
static bool is_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (!weft__is_token((unsigned char)*c))
            return false;
    }
    return *name != 0;
}

static bool is_value(const char *value)
{
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Removes all fields of that name. */
static void remove_fields(weft_http_response *w, const char *name)
{
    char *line = w->out + WEFT__FRONT_SIZE, *end = w->out + w->filled, *next;
    size_t n = strlen(name);

    for (; line < end; line = next) {
        next = (char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        if (!weft__same_word(line, name, n) || line[n] != ':')
            continue;
        memmove(line, next, (size_t)(end - next));
        end -= next - line;
        next = line;
    }
    w->body = w->filled = (uint32_t)(end - w->out);
}

/* Notes the Content-Length that the handler sets; head.c writes the line. */
static int set_length(weft_http_response *w, const char *value)
{
    int64_t length = 0;

    for (const char *c = value; *c; c++) {
        if (*c < '0' || *c > '9' || length > (INT64_MAX - 9) / 10)
            return WEFT_EINVAL;
        length = length * 10 + (*c - '0');
    }
    if (*value == 0)
        return WEFT_EINVAL;
    w->length = length;
    return 0;
}

/* Handles a field that the server decides itself. Returns 1 if the name is none of them, so that
 * the handler may set it; 0 if the field is noted; WEFT_EINVAL if the handler must not set it: two
 * framings in one answer would be an invitation to smuggle. */
static int set_own_field(weft_http_response *w, const char *name, size_t n, const char *value)
{
    switch (n) {
    case 4:
        w->has_date = w->has_date || weft__same_word(name, "date", n);
        return 1;
    case 7:
        return weft__same_word(name, "trailer", n) ? WEFT_EINVAL : 1;
    case 10:
        if (!weft__same_word(name, "connection", n))
            return 1;
        if (!weft__same_word(value, "close", sizeof("close")))
            return WEFT_EINVAL;
        w->closes = true;
        return 0;
    case 14:
        return weft__same_word(name, "content-length", n) ? set_length(w, value) : 1;
    case 17:
        return weft__same_word(name, "transfer-encoding", n) ? WEFT_EINVAL : 1;
    default:
        return 1;
    }
}

/* Adds a field to the buffer; with replace, removes others of its name. */
static int put_field(weft_http_response *w, const char *name, const char *value, bool replace)
{
    size_t n = strlen(name), m = strlen(value);
    char *to;
    int rc;

    if (w->stage != WEFT__OPEN || !is_name(name) || !is_value(value))
        return WEFT_EINVAL;
    rc = set_own_field(w, name, n, value);
    if (rc <= 0)
        return rc;
    rc = make_room(weft__exchange_of_response(w), n + m + sizeof(": \r\n\r\n") - 1);
    if (rc < 0)
        return rc;
    if (replace)
        remove_fields(w, name);
    to = w->out + w->filled;
    memcpy(to, name, n);
    memcpy(to + n, ": ", 2);
    memcpy(to + n + 2, value, m);
    memcpy(to + n + 2 + m, "\r\n", 2);
    w->body = w->filled += (uint32_t)(n + m + 4);
    return 0;
}

int weft_http_header_set(weft_http_response *w, const char *name, const char *value)
{
    return put_field(w, name, value, true);
}

int weft_http_header_add(weft_http_response *w, const char *name, const char *value)
{
    return put_field(w, name, value, false);
}

/* Sending -------------------------------------------------------------------------------------- */

/* Logs that the peer does not read the answer. */
static WEFT__NOINLINE void log_cut(weft__exchange *x)
{
    char peer[WEFT_ADDR_TEXT];
    weft_addr addr = weft_conn_peer(x->conn->net);
    const char *path = x->r.parse.path; /* as sent: no control characters */

    weft_addr_name(&addr, peer, sizeof(peer));
    weft__http_log(x->conn->server, "http: %s does not read the answer for %s: cut off", peer,
                   path ? path : "its request");
}

/* Sends the vectors, and notes an error: the only place from which an answer leaves. */
static int send_all(weft__exchange *x, struct iovec *iov, int n)
{
    weft_http_response *w = &x->w;

    w->error =
        weft__http_send(x->conn->net, iov, n, &w->budget, x->conn->server->options.write_time);
    if (w->error == WEFT_ETIMEDOUT)
        log_cut(x);
    return w->error;
}

/* Ends the head with the empty line; it cannot change any more. put_field always leaves room. */
static void hold(weft_http_response *w)
{
    if (w->stage != WEFT__OPEN)
        return;
    if (w->status == 0)
        w->status = 200;
    memcpy(w->out + w->filled, "\r\n", 2);
    w->body = w->filled += 2;
    w->stage = WEFT__HELD;
}

/* Returns whether the connection must end with this answer. over: the answer is complete. */
static bool must_close(const weft__exchange *x, bool over)
{
    const weft_http_request *r = &x->r;

    if (!r->parse.keep_alive || r->error || r->eof || weft__http_stops(x->conn->server))
        return true;
    if (r->parse.done || !over)
        return false;
    /* The handler has not read the body. weft__request_drain can drop a short one. The length of a
     * body in chunks shows only there. A peer that still waits for 100 will not send it. */
    return (r->parse.expects_continue && !r->continued) || r->parse.left > WEFT__DRAIN_MAX;
}

/* Decides how the peer finds the end of the body: by length, by chunks, or by the connection's end.
 * over: the body is complete, so its length is known. */
static void decide_framing(weft__exchange *x, bool over)
{
    weft_http_response *w = &x->w;

    w->closes = w->closes || must_close(x, over);
    if (w->status == 204)
        w->length = -1;
    else if (over && w->length < 0 && w->status != 304 && (!w->head_only || w->written > 0))
        w->length = w->written;
    if (w->length >= 0 || over || !weft_http_wants_body(w))
        return;
    if (x->r.parse.minor > 0)
        w->chunked = true;
    else
        w->closes = true;
}

/* Writes a chunk's size so that it ends at `end`. Returns where it begins. */
static char *put_size(char *end, size_t n)
{
    *--end = '\n';
    *--end = '\r';
    do
        *--end = "0123456789abcdef"[n & 15];
    while ((n >>= 4) > 0);
    return end;
}

/* Sends the head unless it is sent, then the collected body and the data, as one chunk if the body
 * is chunked. The data is not copied. */
static int push(weft__exchange *x, const void *data, size_t n)
{
    weft_http_response *w = &x->w;
    size_t held = w->filled - w->body, chunk = held + n;
    char size[CHUNK_FRONT], *begin = w->out + w->body;
    struct iovec iov[5];
    int k = 0;

    if (w->stage == WEFT__HELD) {
        uint32_t front;

        decide_framing(x, false);
        front = weft__head_front(x);
        iov[k++] = (struct iovec){w->out + front, w->body - front};
        if (w->chunked && chunk > 0) {
            char *at = put_size(size + CHUNK_FRONT, chunk);

            iov[k++] = (struct iovec){at, (size_t)(size + CHUNK_FRONT - at)};
        }
    } else if (w->chunked) {
        begin = put_size(begin, chunk);
    }
    if (w->out + w->filled > begin)
        iov[k++] = (struct iovec){begin, (size_t)(w->out + w->filled - begin)};
    if (n > 0)
        iov[k++] = (struct iovec){(void *)(uintptr_t)data, n};
    if (w->chunked && chunk > 0)
        iov[k++] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    w->stage = WEFT__SENT;
    w->body = w->filled = CHUNK_FRONT;
    return send_all(x, iov, k);
}

/* Sends the rest of an answer whose head is sent. */
static void send_rest(weft__exchange *x)
{
    weft_http_response *w = &x->w;
    char *begin = w->out + w->body, *end = w->out + w->filled;
    struct iovec all;

    if (w->chunked && end > begin) {
        begin = put_size(begin, (size_t)(end - begin));
        memcpy(end, "\r\n", 2);
        end += 2;
    }
    if (w->chunked) {
        memcpy(end, "0\r\n\r\n", 5);
        end += 5;
    }
    all = (struct iovec){begin, (size_t)(end - begin)};
    if (all.iov_len > 0)
        send_all(x, &all, 1);
}

bool weft__response_end(weft__exchange *x)
{
    weft_http_response *w = &x->w;

    if (w->error)
        return false;
    if (w->length >= 0 && w->written < w->length && weft_http_wants_body(w))
        w->closes = true; /* only the connection's end tells the peer that bytes are missing */
    if (w->stage == WEFT__SENT) {
        send_rest(x);
    } else {
        struct iovec all;
        uint32_t front;

        hold(w);
        decide_framing(x, true);
        front = weft__head_front(x);
        all = (struct iovec){w->out + front, w->filled - front};
        send_all(x, &all, 1);
    }
    w->stage = WEFT__OVER;
    return !w->error && !w->closes;
}

int weft_http_flush(weft_http_response *w)
{
    if (w->error)
        return w->error;
    hold(w);
    if (w->stage == WEFT__SENT && w->filled == w->body)
        return 0;
    return push(weft__exchange_of_response(w), NULL, 0);
}

/* Writing -------------------------------------------------------------------------------------- */

/* Counts n more bytes of body. Returns 0 if they must be sent; 1 if not, as for a HEAD; or an
 * error. */
static int account(weft_http_response *w, size_t n)
{
    if (w->error)
        return w->error;
    hold(w);
    if (w->length >= 0 && (int64_t)n > w->length - w->written)
        return WEFT_EINVAL;
    w->written += (int64_t)n;
    return n == 0 || !weft_http_wants_body(w);
}

int weft_http_write(weft_http_response *w, const void *data, size_t n)
{
    int rc = account(w, n);

    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (n > w->size - CHUNK_BACK - w->filled)
        return push(weft__exchange_of_response(w), data, n);
    memcpy(w->out + w->filled, data, n);
    w->filled += (uint32_t)n;
    return 0;
}

/* Formats straight into the buffer. Text that does not fit is formatted again, into memory of its
 * own. */
int weft_http_printf(weft_http_response *w, const char *format, ...)
{
    size_t room;
    va_list args;
    char *text;
    int n, rc;

    if (w->error)
        return w->error;
    hold(w);
    room = w->size - CHUNK_BACK - w->filled;
    va_start(args, format);
    n = vsnprintf(w->out + w->filled, room, format, args);
    va_end(args);
    if (n < 0)
        return WEFT_EINVAL;
    if ((size_t)n < room) {
        rc = account(w, (size_t)n);
        w->filled += rc == 0 ? (uint32_t)n : 0;
        return rc < 0 ? rc : 0;
    }
    va_start(args, format);
    rc = vasprintf(&text, format, args);
    va_end(args);
    if (rc < 0)
        return WEFT_ENOMEM;
    rc = weft_http_write(w, text, (size_t)n);
    free(text);
    return rc;
}

void weft_http_abort(weft_http_response *w)
{
    if (!w->error)
        w->error = WEFT_ECANCELED;
}

/* Ready-made answers --------------------------------------------------------------------------- */

int weft_http_error(weft_http_response *w, int status, const char *text)
{
    int rc = weft_http_status_set(w, status);

    if (rc < 0)
        return rc;
    w->length = -1;
    if ((rc = weft_http_header_set(w, "Content-Type", "text/plain; charset=utf-8")) < 0 ||
        (rc = weft_http_header_set(w, "X-Content-Type-Options", "nosniff")) < 0)
        return rc;
    return weft_http_printf(w, "%s\n", text);
}

/* Adds a page with the link, for clients that do not follow redirects. */
int weft_http_redirect(weft_http_response *w, int status, const char *location)
{
    static const struct {
        char c;
        const char *text;
    } marks[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&#34;"}, {'\'', "&#39;"}};
    int rc = weft_http_status_set(w, status);

    if (rc < 0 || (rc = weft_http_header_set(w, "Location", location)) < 0)
        return rc;
    if (weft__exchange_of_response(w)->r.parse.ll.method != HTTP_GET && !w->head_only)
        return 0;
    rc = weft_http_header_set(w, "Content-Type", "text/html; charset=utf-8");
    if (rc == 0)
        rc = weft_http_printf(w, "<a href=\"");
    for (; *location && rc == 0; location++) {
        const char *text = NULL;

        for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
            text = marks[i].c == *location ? marks[i].text : text;
        rc = text ? weft_http_write(w, text, strlen(text)) : weft_http_write(w, location, 1);
    }
    return rc < 0 ? rc : weft_http_printf(w, "\">%s</a>.\n\n", weft__status_text(status));
}

void weft__response_refuse(weft__exchange *x, int status, const char *why)
{
    weft_http_response *w = &x->w;
    char text[160];

    w->closes = true;
    if (w->stage == WEFT__SENT || w->error)
        return;
    w->stage = WEFT__OPEN;
    w->has_date = false;
    w->length = -1;
    w->written = 0;
    w->body = w->filled = WEFT__FRONT_SIZE;
    snprintf(text, sizeof(text), "%d %s: %s", status, weft__status_text(status), why);
    weft_http_error(w, status, text);
}
