/* SPDX-License-Identifier: MIT */
/* path.h - checks and decodes the parts of a request line and a Host: tokens, hosts, percent
 * escapes, dot segments, query parameters.
 *
 * The functions are pure and allocate nothing; any thread may call them. Strings end with a NUL
 * unless a length is passed. */
#ifndef WEFT_HTTP_PATH_H
#define WEFT_HTTP_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Returns whether a set of bytes, with a bit for each, has c. */
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

/* Returns whether host[0..n) is a name or an address, perhaps with a port. */
bool weft__host_is_valid(const char *host, size_t n);

/* Returns whether each escape is two hexadecimal digits and none stands for a NUL, which would cut
 * the text for every later reader. */
bool weft__path_is_valid(const char *path);
/* Returns whether the path begins with a slash and has no empty, "." or ".." segment, escaped or
 * not. */
bool weft__path_is_clean(const char *path);
/* Writes the clean form of the path, at most strlen(path) + 2 bytes with the NUL. Escapes of other
 * bytes than dots stay, since %2F in a segment is no slash. */
void weft__path_clean(char *out, const char *path);

/* Decodes src[0..n): resolves its escapes and, if form, turns '+' into a blank. Writes at most n +
 * 1 bytes with the NUL; out may be src. Returns the length; -1 if an escape is malformed or a
 * NUL. */
ssize_t weft__decode(char *out, const char *src, size_t n, bool form);
/* Returns whether at[0..n), decoded, equals text. */
bool weft__text_is(const char *at, size_t n, const char *text, bool form);

/* Finds the first parameter of that name. Returns true and the place of its value, undecoded; false
 * if there is none. query may be NULL. */
bool weft__query_find(const char *query, const char *name, const char **value, size_t *n);

#endif
