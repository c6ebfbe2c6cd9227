/* SPDX-License-Identifier: MIT */
/* debug/vars.c - answers /debug/vars with the document of expvar.c.
 *
 * Owns no state. mount.c calls weft__debug_vars for a request that was let in, on the task of its
 * connection. The document is complete before the first byte is sent: the answer can still be an
 * error if memory runs out. */
#include "http/debug/debug.h"

#include "http/debug/expvar.h"

void weft__debug_vars(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    weft__json out = {0};

    (void)d;
    (void)r;
    weft_http_header_set(w, "Content-Type", "application/json; charset=utf-8");
    if (!weft_http_wants_body(w))
        return;
    weft__expvar_put(&out);
    if (out.failed)
        weft_http_error(w, 503, "out of memory");
    else
        weft_http_write(w, out.text, out.n);
    weft__json_free(&out);
}
