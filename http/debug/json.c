/* SPDX-License-Identifier: MIT */
/* json.c - writes JSON text in memory, and checks JSON that the program gives.
 *
 * Owns no state: a weft__json belongs to its writer. json.h has the functions.
 *
 * The tests read our JSON with Jansson, but it is not used to write: its integers end at 2^63, its
 * doubles have a fixed number of digits, it refuses strings with a NUL or cuts them, its reader
 * recurses for 2,048 levels on the caller's stack, and an object that lacks a member because memory
 * ran out looks like any other. Here text from the program is checked and copied digit by digit,
 * without recursion, so numbers of any size stay exact. Nothing depends on the locale, which the
 * program may change at any time. */
#include "http/debug/json.h"

#include "runtime/base/base.h"
#include "runtime/base/utf8.h"

#include <weft/expvar.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first allocation; the digits that are enough for any double to read back as itself. */
enum { FIRST_CAP = 1024, DIGITS_MAX = 17 };

/* Bytes ---------------------------------------------------------------------------------------- */

void weft__json_free(weft__json *j)
{
    weft__free(j->text);
    *j = (weft__json){0};
}

/* Makes room for n more bytes. Returns false if there is no memory, now or earlier. */
static bool make_room(weft__json *j, size_t n)
{
    size_t cap = j->cap ? j->cap : FIRST_CAP;
    char *text;

    if (j->failed || n <= j->cap - j->n)
        return !j->failed;
    while (cap - j->n < n)
        cap *= 2;
    text = weft__alloc_try(cap);
    if (!text) {
        j->failed = true;
        return false;
    }
    if (j->n > 0)
        memcpy(text, j->text, j->n);
    weft__free(j->text);
    j->text = text;
    j->cap = cap;
    return true;
}

void weft__json_put(weft__json *j, const char *bytes, size_t n)
{
    if (n == 0 || !make_room(j, n))
        return;
    memcpy(j->text + j->n, bytes, n);
    j->n += n;
}

void weft__json_put_text(weft__json *j, const char *text)
{
    weft__json_put(j, text, strlen(text));
}

static void put_escape(weft__json *j, unsigned c)
{
    char text[8];

    snprintf(text, sizeof(text), "\\u%04x", c);
    weft__json_put_text(j, text);
}

/* Puts the first character of s, of length n, escaped so that the document may stand in a page. */
static void put_char(weft__json *j, const char *s, size_t n)
{
    uint32_t c = weft__utf8_char(s, n);

    if (c < ' ' || c == '<' || c == '>' || c == '&' || c == 0x2028 || c == 0x2029)
        put_escape(j, c);
    else
        weft__json_put(j, s, n);
}

/* Strings, numbers, keys ----------------------------------------------------------------------- */

/* Returns the letter that stands for c behind a backslash, or 0. */
static char short_escape(char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *at = c ? strchr(plain, c) : NULL;

    return at ? letters[at - plain] : 0;
}

void weft__json_put_string(weft__json *j, const char *s)
{
    weft__json_put(j, "\"", 1);
    for (size_t n; *s; s += n ? n : 1) {
        char letter = short_escape(*s);

        n = weft__utf8_length(s);
        if (letter)
            weft__json_put(j, (char[]){'\\', letter}, 2);
        else if (n > 0)
            put_char(j, s, n);
        else
            weft__json_put_text(j, WEFT__UTF8_INSTEAD);
    }
    weft__json_put(j, "\"", 1);
}

void weft__json_put_int(weft__json *j, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, value);
    weft__json_put_text(j, text);
}

void weft__json_put_unsigned(weft__json *j, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    weft__json_put_text(j, text);
}

/* A number: digits[0], a point, the other digits, times ten to the power of the exponent. */
struct decimal {
    char digits[DIGITS_MAX + 1];
    int n, exponent;
};

/* Finds the n digits nearest to x > 0. Skips the character between them, since the locale chooses
 * it: it may be a comma. */
static void round_to(struct decimal *d, double x, int n)
{
    char text[48];
    const char *c = text;

    snprintf(text, sizeof(text), "%.*e", n - 1, x);
    for (d->n = 0; *c != 'e'; c++) {
        if (*c >= '0' && *c <= '9' && d->n < DIGITS_MAX)
            d->digits[d->n++] = *c;
    }
    d->exponent = atoi(c + 1);
}

/* Adds one to the last digit. */
static void step_up(struct decimal *d)
{
    int i = d->n - 1;

    for (; i >= 0 && d->digits[i] == '9'; i--)
        d->digits[i] = '0';
    if (i >= 0) {
        d->digits[i]++;
        return;
    }
    d->digits[0] = '1';
    d->exponent++;
}

/* Returns whether the digits read back as x. The text has no point, which depends on the locale. */
static bool reads_back(const struct decimal *d, double x)
{
    char text[48];

    snprintf(text, sizeof(text), "%.*se%d", d->n, d->digits, d->exponent - (d->n - 1));
    return strtod(text, NULL) == x;
}

/* Finds the fewest digits that read back as x > 0. At a power of two the doubles below lie closer
 * together than those above. So the nearest number of n digits may read back as another double, and
 * the next number up as x; step_up tries that one. */
static void shortest(struct decimal *d, double x)
{
    for (int n = 1; n <= DIGITS_MAX; n++) {
        round_to(d, x, n);
        if (reads_back(d, x))
            break;
        if (n < DIGITS_MAX) {
            step_up(d);
            if (reads_back(d, x))
                break;
        }
    }
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
}

/* Puts the number without an exponent. */
static void put_plain(weft__json *j, const struct decimal *d)
{
    int first = d->exponent < 0 ? d->exponent : 0; /* the index of the first shown digit, or zero */
    int point = d->exponent < 0 ? first : d->exponent; /* the point follows this index */

    for (int i = first; i < d->n || i <= d->exponent; i++) {
        weft__json_put(j, i >= 0 && i < d->n ? &d->digits[i] : "0", 1);
        if (i == point && i + 1 < d->n)
            weft__json_put(j, ".", 1);
    }
}

static void put_scientific(weft__json *j, const struct decimal *d)
{
    char exponent[16];

    weft__json_put(j, d->digits, 1);
    if (d->n > 1)
        weft__json_put(j, ".", 1);
    weft__json_put(j, d->digits + 1, (size_t)d->n - 1);
    snprintf(exponent, sizeof(exponent), "e%+03d", d->exponent);
    weft__json_put_text(j, exponent);
}

/* Writes an exponent from 1e6 on and below 1e-4, as Go's %g without a precision. */
void weft__json_put_float(weft__json *j, double x)
{
    struct decimal d = {"0", 1, 0};

    if (!isfinite(x)) {
        weft__json_put_text(j, "null");
        return;
    }
    if (signbit(x))
        weft__json_put(j, "-", 1);
    if (x != 0)
        shortest(&d, fabs(x));
    if (d.exponent < -4 || d.exponent >= 6)
        put_scientific(j, &d);
    else
        put_plain(j, &d);
}

void weft__json_put_key(weft__json *j, const char *key)
{
    if (j->n > 0 && j->text[j->n - 1] != '{')
        weft__json_put(j, ",", 1);
    weft__json_put_string(j, key);
    weft__json_put(j, ":", 1);
}

/* Values that the program gives ---------------------------------------------------------------- */

/* Reads a value and copies it. Each take_ function copies its part and returns whether it was
 * there; after a false the whole copy is dropped. */
struct reader {
    const char *at;
    weft__json *to;
    unsigned depth;                  /* arrays and objects that are open */
    char closing[WEFT_EXPVAR_DEPTH]; /* the character that closes each of them */
};

static void skip_blanks(struct reader *r)
{
    r->at += strspn(r->at, " \t\n\r");
}

/* Copies c if it is the next character. */
static bool take(struct reader *r, char c)
{
    if (*r->at != c)
        return false;
    weft__json_put(r->to, r->at++, 1);
    return true;
}

static size_t take_digits(struct reader *r)
{
    size_t n = strspn(r->at, "0123456789");

    weft__json_put(r->to, r->at, n);
    r->at += n;
    return n;
}

static bool take_number(struct reader *r)
{
    take(r, '-');
    if (!take(r, '0') && take_digits(r) == 0)
        return false;
    if (take(r, '.') && take_digits(r) == 0)
        return false;
    if (!take(r, 'e') && !take(r, 'E'))
        return true;
    if (!take(r, '+'))
        take(r, '-');
    return take_digits(r) > 0;
}

/* Returns the four hex digits of a \u escape, or -1. */
static int hex4(const char *at)
{
    char digits[5] = "";

    for (int i = 0; i < 4; i++) {
        if (!at[i] || !strchr("0123456789abcdefABCDEF", at[i]))
            return -1;
        digits[i] = at[i];
    }
    return (int)strtol(digits, NULL, 16);
}

/* Returns the length of the escape at s, which begins with a backslash; 0 if it is malformed. Half
 * of a surrogate pair is malformed; both halves count as one escape. */
static size_t escape_length(const char *s)
{
    int high, low;

    if (s[1] != 'u')
        return s[1] && strchr("\"\\/bfnrt", s[1]) ? 2 : 0;
    high = hex4(s + 2);
    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    if (high < 0xd800 || high > 0xdbff)
        return 6;
    low = s[6] == '\\' && s[7] == 'u' ? hex4(s + 8) : -1;
    return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
}

static bool take_string(struct reader *r)
{
    size_t n;

    if (!take(r, '"'))
        return false;
    while (!take(r, '"')) {
        unsigned char c = (unsigned char)*r->at;

        n = c == '\\' ? escape_length(r->at) : c < ' ' ? 0 : weft__utf8_length(r->at);
        if (n == 0)
            return false;
        if (c == '\\')
            weft__json_put(r->to, r->at, n);
        else
            put_char(r->to, r->at, n);
        r->at += n;
    }
    return true;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(r->at, word, n) != 0)
        return false;
    weft__json_put(r->to, r->at, n);
    r->at += n;
    return true;
}

static bool take_scalar(struct reader *r)
{
    switch (*r->at) {
    case '"':
        return take_string(r);
    case 't':
        return take_word(r, "true");
    case 'f':
        return take_word(r, "false");
    case 'n':
        return take_word(r, "null");
    default:
        return take_number(r);
    }
}

/* Takes the name of a member and its colon, if the innermost open thing is an object. */
static bool take_name(struct reader *r)
{
    if (r->closing[r->depth - 1] != '}')
        return true;
    skip_blanks(r);
    if (!take_string(r))
        return false;
    skip_blanks(r);
    return take(r, ':');
}

/* Opens the next array or object. Sets *empty if it is closed at once. */
static bool open_next(struct reader *r, bool *empty)
{
    char closing = *r->at == '{' ? '}' : ']';

    if (r->depth == WEFT_EXPVAR_DEPTH)
        return false;
    take(r, *r->at);
    skip_blanks(r);
    *empty = take(r, closing);
    if (*empty)
        return true;
    r->closing[r->depth++] = closing;
    return take_name(r);
}

/* Continues behind a value: closes the arrays and objects that end there. Returns true if another
 * value follows, or if the last one was read, which sets *over. */
static bool go_on(struct reader *r, bool *over)
{
    while (r->depth > 0) {
        skip_blanks(r);
        if (take(r, ','))
            return take_name(r);
        if (!take(r, r->closing[r->depth - 1]))
            return false;
        r->depth--;
    }
    *over = true;
    return true;
}

/* Takes a whole value, with a loop and the array of closing characters instead of recursion: text
 * from the program must not decide how much stack we need. */
static bool take_value(struct reader *r)
{
    bool over = false, whole;

    while (!over) {
        skip_blanks(r);
        whole = true;
        if (*r->at == '{' || *r->at == '[') {
            if (!open_next(r, &whole))
                return false;
        } else if (!take_scalar(r)) {
            return false;
        }
        if (whole && !go_on(r, &over))
            return false;
    }
    skip_blanks(r);
    return *r->at == 0;
}

bool weft__json_put_value(weft__json *j, const char *text)
{
    struct reader r = {.at = text, .to = j};
    size_t before = j->n;
    bool ok = take_value(&r);

    if (!ok)
        j->n = before;
    return ok;
}
