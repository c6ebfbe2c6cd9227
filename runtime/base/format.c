/* SPDX-License-Identifier: MIT */
/* format.c - formats text for reports of faults, without the C library.
 *
 * Owns nothing; everything is on the caller's stack. format.h says which conversions it knows. */
#include "runtime/base/format.h"

#include <stdbool.h>
#include <stdint.h>

/* The text so far. */
struct text {
    char *s;
    size_t n, size; /* n < size, so that the NUL fits */
};

/* A conversion, between its % and its letter. */
struct spec {
    bool hash;
    int longs;
    size_t precision;
};

static void put(struct text *t, char c)
{
    if (t->n + 1 < t->size)
        t->s[t->n++] = c;
}

/* Appends s, at most `most` bytes of it. With a precision s need not end with a NUL. */
static void put_string(struct text *t, const char *s, size_t most)
{
    for (size_t i = 0; i < most && s[i]; i++)
        put(t, s[i]);
}

/* Appends v in base 10 or 16. The digits come out backwards, so they go through a buffer first; 24
 * bytes hold any 64-bit number in both bases. */
static void put_number(struct text *t, uint64_t v, unsigned base)
{
    char digits[24];
    int n = 0;

    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (n > 0)
        put(t, digits[--n]);
}

/* Negates as unsigned: the negative of the least int64_t does not fit an int64_t. */
static void put_signed(struct text *t, int64_t v)
{
    if (v < 0)
        put(t, '-');
    put_number(t, v < 0 ? -(uint64_t)v : (uint64_t)v, 10);
}

/* Reads the characters between the % and the letter. Returns where the letter is. */
static const char *read_spec(const char *f, struct spec *spec)
{
    *spec = (struct spec){.precision = SIZE_MAX};
    for (; *f == '#'; f++)
        spec->hash = true;
    if (*f == '.') {
        spec->precision = 0;
        for (f++; *f >= '0' && *f <= '9'; f++)
            spec->precision = spec->precision * 10 + (size_t)(*f - '0');
    }
    for (; *f == 'l' || *f == 'z'; f++)
        spec->longs++;
    return f;
}

size_t weft__format(char *text, size_t size, const char *format, va_list ap)
{
    struct text t = {text, 0, size};
    struct spec spec;

    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(&t, *f);
            continue;
        }
        f = read_spec(f + 1, &spec);
        if (spec.hash)
            put_string(&t, "0x", 2);
        switch (*f) {
        case 's':
            put_string(&t, va_arg(ap, const char *), spec.precision);
            break;
        case 'd':
            put_signed(&t, spec.longs ? va_arg(ap, long) : va_arg(ap, int));
            break;
        case 'u':
        case 'x': /* long, long long and size_t have one size here */
            put_number(&t, spec.longs ? va_arg(ap, unsigned long) : va_arg(ap, unsigned),
                       *f == 'u' ? 10 : 16);
            break;
        case '%':
            put(&t, '%');
            break;
        default: /* the size of this argument is unknown, so no later one can be found */
            t.s[t.n] = '\0';
            return t.n;
        }
    }
    t.s[t.n] = '\0';
    return t.n;
}
