/* SPDX-License-Identifier: MIT */
/* utf8.h - finds and repairs the characters of UTF-8.
 *
 * Profiles and JSON must be valid UTF-8, but names of tasks, labels and symbols are any bytes. All
 * strings here end with a NUL. The functions keep no state; any thread may call them, also in a
 * signal handler. */
#ifndef WEFT_UTF8_H
#define WEFT_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WEFT__UTF8_INSTEAD "\xef\xbf\xbd" /* U+FFFD, in place of a byte that is no part of one */

/* Returns the length of the character at the start of text; 0 if the bytes there are no character.
 * RFC 3629 excludes overlong forms, surrogates and all above U+10FFFF. At the end of the string
 * the NUL is a character of length 1. Reads no byte behind the NUL. */
static inline size_t weft__utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* Returns whether the whole string is UTF-8. */
static inline int weft__utf8_is(const char *s)
{
    for (size_t n; *s; s += n) {
        if ((n = weft__utf8_length(s)) == 0)
            return 0;
    }
    return 1;
}

/* The most bytes that weft__utf8_clean writes for n bytes of text: each bad byte becomes three. */
#define WEFT__UTF8_CLEAN_SIZE(n) (3 * (n) + 1)

/* Writes s to `to`, with WEFT__UTF8_INSTEAD for each byte that is no part of a character. `to` has
 * room for WEFT__UTF8_CLEAN_SIZE(strlen(s)) bytes. */
static inline void weft__utf8_clean(char *to, const char *s)
{
    while (*s) {
        size_t n = weft__utf8_length(s);

        memcpy(to, n ? s : WEFT__UTF8_INSTEAD, n ? n : 3);
        to += n ? n : 3;
        s += n ? n : 1;
    }
    *to = 0;
}

/* Returns the code point of the character at the start of text, whose length is n. With n == 0,
 * that is, no character, returns the first byte. */
static inline uint32_t weft__utf8_char(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    uint32_t c = s[0];

    for (size_t i = 1; i < n; i++)
        c = (i == 1 ? c & 0x7fu >> n : c) << 6 | (s[i] & 63u);
    return c;
}

#endif
