/* SPDX-License-Identifier: MIT */
/* json.h - JSON text in memory, laid out as Go's encoders write it.
 *
 * A weft__json begins as all zero and belongs to one writer, so it needs no lock; any thread may
 * write its own. When memory runs out it becomes `failed` and stays so: later puts change nothing,
 * and the text must not be shown. So only the last step of a writer checks for errors. */
#ifndef WEFT_JSON_H
#define WEFT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct weft__json {
    char *text;    /* of weft__alloc_try, without a NUL; NULL while it is empty */
    size_t n, cap; /* used and allocated bytes of text */
    bool failed;   /* memory ran out */
} weft__json;

void weft__json_free(weft__json *j);

/* Puts bytes as they are. */
void weft__json_put(weft__json *j, const char *bytes, size_t n);
void weft__json_put_text(weft__json *j, const char *text);

/* Puts a string of any bytes: those that are not UTF-8 become U+FFFD. < > & and the line separators
 * U+2028 and U+2029 are written as \u escapes, so that the document may stand in a page. */
void weft__json_put_string(weft__json *j, const char *s);
void weft__json_put_int(weft__json *j, int64_t value);
void weft__json_put_unsigned(weft__json *j, uint64_t value);
/* Puts x as Go's expvar.Float does: the fewest digits that read back as x; null if x is not
 * finite. */
void weft__json_put_float(weft__json *j, double x);

/* Puts a member's name and its colon, after a comma unless it is the first. */
void weft__json_put_key(weft__json *j, const char *key);

/* Puts one JSON value (RFC 8259) without the white space in it; numbers keep their digits and
 * strings their escapes. Returns false and leaves j alone if text is no such value, is
 * not UTF-8, has half of a surrogate pair, or nests deeper than WEFT_EXPVAR_DEPTH. */
bool weft__json_put_value(weft__json *j, const char *text);

#endif
