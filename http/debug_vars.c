/* SPDX-License-Identifier: MIT */
/* debug_vars.c - /debug/vars. */
#include "debug.h"

#include "expvar.h"

#include <stdlib.h>

void weft__debug_vars(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out;

    (void)d;
    (void)r;
    weft_http_header_set(w, "Content-Type", "application/json; charset=utf-8");
    if (!weft_http_wants_body(w))
        return;
    out = open_memstream(&text, &n);
    if (out)
        weft__expvar_put(out);
    if (out && fclose(out) == 0)
        weft_http_write(w, text, n);
    else
        weft_http_error(w, 503, "out of memory");
    free(text);
}
