/* SPDX-License-Identifier: MIT */
/* path.c - checks and decodes tokens, hosts, escapes, dot segments and queries.
 *
 * Owns two constant sets of bytes, nothing else. path.h has the functions, which any thread may
 * call. Sets of bytes are bitmaps rather than calls of isalpha and the like, which follow the
 * program's locale. */
#include "http/wire/path.h"

#include <string.h>

#define BIT(c)  (UINT64_C(1) << ((c) % 64))
#define DIGITS  (UINT64_C(0x3ff) << '0')
#define LETTERS ((UINT64_C(0x3ffffff) << ('A' - 64)) | (UINT64_C(0x3ffffff) << ('a' - 64)))

const uint64_t weft__tokens[4] = {
    DIGITS | BIT('!') | BIT('#') | BIT('$') | BIT('%') | BIT('&') | BIT('\'') | BIT('*') |
        BIT('+') | BIT('-') | BIT('.'),
    LETTERS | BIT('^') | BIT('_') | BIT('`') | BIT('|') | BIT('~'),
};

/* The bytes of a host's name other than escapes: unreserved and sub-delims of RFC 3986. */
static const uint64_t hosts[4] = {
    DIGITS | BIT('-') | BIT('.') | BIT('!') | BIT('$') | BIT('&') | BIT('\'') | BIT('(') |
        BIT(')') | BIT('*') | BIT('+') | BIT(',') | BIT(';') | BIT('='),
    LETTERS | BIT('_') | BIT('~'),
};

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* Returns the value of a hexadecimal digit; -1 if c is none. */
static int hex(unsigned char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the byte that the escape at s stands for; -1 if it is malformed. s[0] is the percent
 * sign. Reads no further than a NUL. */
static int escaped(const char *s)
{
    int hi = hex((unsigned char)s[1]), lo = hi < 0 ? -1 : hex((unsigned char)s[2]);

    return lo < 0 ? -1 : hi * 16 + lo;
}

/* Hosts ---------------------------------------------------------------------------------------- */

/* Returns whether s[0..n) is a port. An empty one is allowed (RFC 3986, 3.2.3). */
static bool is_port(const char *s, size_t n)
{
    long port = 0;

    for (size_t i = 0; i < n; i++) {
        if (!is_digit((unsigned char)s[i]) || (port = port * 10 + s[i] - '0') > 65535)
            return false;
    }
    return true;
}

/* Returns the length of the name or address at the front of host; 0 if there is none. An IPv6
 * address is in brackets. */
static size_t host_name(const char *host, size_t n)
{
    size_t i = 0;

    if (host[0] == '[') {
        for (i = 1; i < n && (hex((unsigned char)host[i]) >= 0 || strchr(":.", host[i])); i++)
            ;
        return i > 2 && i < n && host[i] == ']' ? i + 1 : 0;
    }
    for (; i < n && host[i] != ':'; i++) {
        if (weft__is_in(hosts, (unsigned char)host[i]))
            continue;
        if (host[i] != '%' || i + 2 >= n || escaped(host + i) <= 0)
            return 0;
        i += 2;
    }
    return i;
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool weft__same_word(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i] && to_lower(a[i]) != to_lower(b[i]))
            return false;
    }
    return true;
}

bool weft__host_is_valid(const char *host, size_t n)
{
    size_t name = n > 0 ? host_name(host, n) : 0;

    if (name == 0 || name == n)
        return name > 0;
    return host[name] == ':' && is_port(host + name + 1, n - name - 1);
}

/* Escapes -------------------------------------------------------------------------------------- */

bool weft__path_is_valid(const char *path)
{
    while ((path = strchr(path, '%')) != NULL) {
        if (escaped(path) <= 0)
            return false;
        path += 3;
    }
    return true;
}

ssize_t weft__decode(char *out, const char *src, size_t n, bool form)
{
    char *to = out;

    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)src[i];

        if (c == '%') {
            c = i + 2 < n ? escaped(src + i) : -1;
            if (c <= 0)
                return -1;
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        *to++ = (char)c;
    }
    *to = 0;
    return to - out;
}

bool weft__text_is(const char *at, size_t n, const char *text, bool form)
{
    for (size_t i = 0; i < n; i++, text++) {
        int c = (unsigned char)at[i];

        if (c == '%') {
            c = i + 2 < n ? escaped(at + i) : -1;
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        if (c <= 0 || (unsigned char)*text != c)
            return false;
    }
    return *text == 0;
}

/* Dot segments --------------------------------------------------------------------------------- */

/* Returns 1 for the segment ".", 2 for "..", 0 for any other. %2e counts as a dot (RFC
 * 3986, 6.2.2): a server behind ours may decode it, and must not climb out of its root. */
static int dots(const char *seg, size_t n)
{
    size_t i = 0;
    int count = 0;

    while (i < n) {
        if (seg[i] == '.')
            i++;
        else if (n - i >= 3 && seg[i] == '%' && escaped(seg + i) == '.')
            i += 3;
        else
            return 0;
        count++;
    }
    return count <= 2 ? count : 0;
}

bool weft__path_is_clean(const char *path)
{
    if (*path != '/')
        return false;
    while (*path == '/') {
        size_t n = strcspn(++path, "/");

        if ((n == 0 && path[0] != 0) || dots(path, n) > 0)
            return false;
        path += n;
    }
    return true;
}

/* Builds the path segment by segment: ".." takes the last one away again, and stops at the root. A
 * trailing slash stays, since it names another resource. */
void weft__path_clean(char *out, const char *path)
{
    char *to = out;

    while (*path) {
        size_t n = strcspn(path += *path == '/', "/");
        int up = dots(path, n);

        if (up == 0 && n > 0) {
            *to++ = '/';
            memcpy(to, path, n);
            to += n;
        }
        while (up == 2 && to > out && *--to != '/')
            ;
        path += n;
        if (*path == 0 && (n == 0 || up > 0))
            *to++ = '/';
    }
    if (to == out)
        *to++ = '/';
    *to = 0;
}

/* Queries -------------------------------------------------------------------------------------- */

bool weft__query_find(const char *query, const char *name, const char **value, size_t *n)
{
    while (query && *query) {
        size_t pair = strcspn(query, "&"), key;
        const char *eq = memchr(query, '=', pair);

        key = eq ? (size_t)(eq - query) : pair;
        if (weft__text_is(query, key, name, true)) {
            *value = eq ? eq + 1 : query + pair;
            *n = eq ? pair - key - 1 : 0;
            return pair > 0;
        }
        query += pair + (query[pair] == '&');
    }
    return false;
}
