/* SPDX-License-Identifier: MIT */
/* path.h - what may stand in a request line and a Host, and what it means: tokens, hosts, percent
 * escapes, dot segments, query parameters. Nothing here allocates. */
#ifndef WEFT_HTTP_PATH_H
#define WEFT_HTTP_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Sets of bytes: a bit for each. */
static inline bool weft__is_in(const uint64_t set[4], unsigned char c)
{
    return set[c / 64] >> (c % 64) & 1;
}

extern const uint64_t weft__tokens[4];
static inline bool weft__is_token(unsigned char c) /* tchar of RFC 9110 */
{
    return weft__is_in(weft__tokens, c);
}

/* Returns whether a[0..n) and b[0..n) differ at most in the case of ASCII's letters. strncasecmp
 * follows the program's locale, and in a Turkish one TRANSFER-ENCODING is not transfer-encoding.
 * Reads no byte after the first difference. */
bool weft__same_word(const char *a, const char *b, size_t n);

bool weft__host_is_valid(const char *host, size_t n); /* a name or address, perhaps with port */

/* Each escape is two hexadecimal digits, none of them a NUL. */
bool weft__path_is_valid(const char *path);
/* Begins with a slash; no empty, "." or ".." segment, escaped ones included. */
bool weft__path_is_clean(const char *path);
/* Writes the clean path, NUL and all, at most strlen(path) + 2 bytes. Other escapes stay. */
void weft__path_clean(char *out, const char *path);

/* src[0..n) with its escapes resolved, and '+' as a blank if form; NUL-terminated, at most n + 1
 * bytes; out may be src. Its length, or -1: an escape is malformed or a NUL. */
ssize_t weft__decode(char *out, const char *src, size_t n, bool form);
/* at[0..n), so decoded, is text. */
bool weft__text_is(const char *at, size_t n, const char *text, bool form);

/* The first parameter of that name, undecoded: true, and where its value is. */
bool weft__query_find(const char *query, const char *name, const char **value, size_t *n);

#endif
