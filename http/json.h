/* SPDX-License-Identifier: MIT */
/* json.h - JSON as Go's encoders write it, on jansson's. */
#ifndef WEFT_JSON_H
#define WEFT_JSON_H

#include <jansson.h>
#include <stdio.h>

/* Any value, compact; < > & and the line separators U+2028 and U+2029 inside strings as \u escapes,
 * so that the text may stand in a page. */
void weft__json_put(FILE *out, const json_t *value);
/* A string of any bytes: what is no UTF-8 becomes U+FFFD. */
void weft__json_put_string(FILE *out, const char *s);
/* Go's expvar.Float: the fewest digits that read back as x; null if it is no number. */
void weft__json_put_float(FILE *out, double x);
/* As json_string, for any bytes. */
json_t *weft__json_string(const char *s);

#endif
