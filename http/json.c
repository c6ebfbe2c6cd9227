/* SPDX-License-Identifier: MIT */
/* json.c - see json.h. */
#include "json.h"

#include "../runtime/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *weft__json_string(const char *s)
{
    json_t *value = json_string(s);
    char *clean, *to;

    if (value || !(clean = malloc(3 * strlen(s) + 1)))
        return value;
    for (to = clean; *s;) {
        size_t n = weft__utf8_length(s);

        if (n) {
            memcpy(to, s, n);
            to += n;
            s += n;
        } else {
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
            s++;
        }
    }
    *to = 0;
    value = json_string(clean);
    free(clean);
    return value;
}

/* What is replaced stands only inside strings, where an escape means the same. */
static int put_escaped(const char *text, size_t n, void *out)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '<' || text[i] == '>' || text[i] == '&')
            fprintf(out, "\\u%04x", (unsigned)text[i]);
        else if (n - i >= 3 && memcmp(text + i, "\xe2\x80", 2) == 0 && (text[i + 2] & 0xfe) == 0xa8)
            fprintf(out, "\\u20%02x", 0x28u + (text[i += 2] & 1));
        else
            putc(text[i], out);
    }
    return 0;
}

void weft__json_put(FILE *out, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    if (text)
        put_escaped(text, strlen(text), out);
    else
        fputs("null", out);
    free(text);
}

void weft__json_put_string(FILE *out, const char *s)
{
    json_t *value = weft__json_string(s);

    weft__json_put(out, value);
    json_decref(value);
}

/* With the exponent from 1e6 on and below 1e-4, which is where %g with six digits changes too, but
 * with all the digits that are needed. */
void weft__json_put_float(FILE *out, double x)
{
    char text[32];
    int exponent, digits;

    if (!isfinite(x)) {
        fputs("null", out);
        return;
    }
    for (digits = 0; digits < 17; digits++) {
        snprintf(text, sizeof(text), "%.*e", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    exponent = atoi(strchr(text, 'e') + 1);
    if (exponent < -4 || exponent >= 6)
        fputs(text, out);
    else
        fprintf(out, "%.*f", digits > exponent ? digits - exponent : 0, x);
}
