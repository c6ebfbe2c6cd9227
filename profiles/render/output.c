/* SPDX-License-Identifier: MIT */
/* output.c - see output.h. Owns nothing. */
#include "profiles/render/output.h"

#include "runtime/base/death.h"
#include "runtime/base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct weft__out *weft__out_new(const struct weft__sink *to)
{
    struct weft__out *o = malloc(sizeof *o);

    if (!o)
        return NULL;
    o->to = *to;
    o->rc = 0;
    o->n = 0;
    return o;
}

int weft__out_flush(struct weft__out *o)
{
    if (o->rc == 0 && o->n)
        o->rc = o->to.write(o->to.arg, o->buf, o->n);
    o->n = 0;
    return o->rc;
}

int weft__out_end(struct weft__out *o)
{
    int rc = weft__out_flush(o);

    free(o);
    return rc;
}

void weft__out_put_slow(struct weft__out *o, const char *p, size_t n)
{
    size_t room;

    while (n >= (room = WEFT__OUT_SIZE - o->n)) {
        memcpy(o->buf + o->n, p, room);
        o->n += room;
        p += room;
        n -= room;
        if (weft__out_flush(o) < 0)
            return;
    }
    memcpy(o->buf + o->n, p, n);
    o->n += n;
}

void weft__out_clean(struct weft__out *o, const char *s, size_t n)
{
    for (; n && *s; s++, n--)
        weft__out_char(o, (unsigned char)*s < ' ' || *s == 127 ? '?' : *s);
}

bool weft__is_hidden(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x80, 0xa0},     {0xad, 0xad},     {0x1680, 0x1680}, {0x2000, 0x200f},
                  {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    }
    return false;
}

/* Writes a backslash, the kind of escape, and so many hex digits of c. */
static void put_escaped(struct weft__out *o, char kind, uint32_t c, int digits)
{
    weft__out_char(o, '\\');
    weft__out_char(o, kind);
    while (digits-- > 0)
        weft__out_char(o, "0123456789abcdef"[c >> 4 * digits & 15]);
}

static void put_ascii(struct weft__out *o, char c)
{
    if (c >= 7 && c <= 13) {
        weft__out_char(o, '\\');
        weft__out_char(o, "abtnvfr"[c - 7]);
    } else if (c < ' ' || c == 127) {
        put_escaped(o, 'x', (unsigned char)c, 2);
    } else {
        if (c == '"' || c == '\\')
            weft__out_char(o, '\\');
        weft__out_char(o, c);
    }
}

void weft__out_quoted(struct weft__out *o, const char *s)
{
    size_t n;

    weft__out_char(o, '"');
    for (; *s; s += n) {
        uint32_t c;

        n = weft__utf8_length(s);
        c = weft__utf8_char(s, n);
        if (n == 0) {
            put_escaped(o, 'x', c, 2);
            n = 1;
        } else if (n == 1) {
            put_ascii(o, *s);
        } else if (weft__is_hidden(c)) {
            put_escaped(o, 'u', c, 4);
        } else {
            weft__out_put(o, s, n);
        }
    }
    weft__out_char(o, '"');
}

void weft__out_json(struct weft__out *o, const char *s)
{
    weft__out_char(o, '"');
    for (size_t n; *s; s += n ? n : 1) {
        n = weft__utf8_length(s);
        if (n == 1 && (*s < ' ' || strchr("\"\\<>&'", *s))) {
            weft__out_str(o, "\\u00");
            weft__out_char(o, "0123456789abcdef"[*s >> 4]);
            weft__out_char(o, "0123456789abcdef"[*s & 15]);
        } else {
            weft__out_put(o, n ? s : WEFT__UTF8_INSTEAD, n ? n : 3);
        }
    }
    weft__out_char(o, '"');
}

void weft__out_dec(struct weft__out *o, uint64_t v)
{
    char digits[20];
    char *p = digits + sizeof digits;

    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    weft__out_put(o, p, (size_t)(digits + sizeof digits - p));
}

void weft__out_int(struct weft__out *o, int64_t v)
{
    if (v < 0)
        weft__out_char(o, '-');
    weft__out_dec(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void weft__out_hex(struct weft__out *o, uint64_t v)
{
    char digits[18];
    char *p = digits + sizeof digits;

    do
        *--p = "0123456789abcdef"[v & 15];
    while (v >>= 4);
    *--p = 'x';
    *--p = '0';
    weft__out_put(o, p, (size_t)(digits + sizeof digits - p));
}

/* The sink of a descriptor. Waits while the descriptor takes no bytes. */
static int write_fd(void *arg, const void *data, size_t n)
{
    const char *p = data;
    int fd = (int)(intptr_t)arg;

    while (n) {
        ssize_t did = write(fd, p, n);
        if (did < 0 && (errno == EINTR || (errno == EAGAIN && weft__fd_takes(fd))))
            continue;
        if (did < 0)
            return -errno;
        p += did;
        n -= (size_t)did;
    }
    return 0;
}

struct weft__sink weft__sink_fd(int fd)
{
    return (struct weft__sink){write_fd, (void *)(intptr_t)fd};
}
