/* SPDX-License-Identifier: MIT */
/* debug_waits.c - /debug/pprof/block, mutex and contention. live=0 leaves out waits that are not
 * over, io=1 (block) adds those for the world, seconds=N shows what N seconds add. */
#include "debug.h"

#include "../profiles/waits.h"

static void write_waits(const struct weft__waits *waits, int debug, int64_t duration,
                        const weft__buckets *b, weft_http_response *w)
{
    const struct weft__sink to = {weft__debug_write, w};

    if (debug > 0)
        weft__waits_text(waits, b, &to);
    else
        weft__waits_pprof(waits, b, duration, &to);
}

/* False: the peer has gone. */
static bool serve_from(const struct weft__waits *waits, const struct weft__debug_asked *a,
                       const weft__buckets *from, weft_http_response *w, weft_http_request *r)
{
    weft_time start = weft_now();
    weft__buckets *until;

    if (a->seconds > 0 && weft_http_wait_until(r, weft_after(a->seconds * WEFT_SECOND)) < 0)
        return false;
    until = weft__waits_take(waits);
    if (!until) {
        weft__debug_error(w, 500, "failed to collect profile");
        return true;
    }
    if (from)
        weft__waits_subtract(until, from);
    write_waits(waits, a->debug, from ? weft_now() - start : 0, until, w);
    weft__buckets_free(until);
    return true;
}

static void serve(enum weft__contention which, const char *name, struct weft__debug *d,
                  weft_http_response *w, weft_http_request *r)
{
    struct weft__waits waits = {.which = which};
    struct weft__debug_asked a;
    weft__buckets *from = NULL;

    if (!weft__debug_parameters(&a, d, w, r) ||
        !weft__debug_flag(&waits.live, true, "live", w, r) ||
        !weft__debug_flag(&waits.with_io, false, "io", w, r))
        return;
    weft__debug_begin(w, name, a.debug <= 0, a.seconds > 0);
    if (!weft_http_wants_body(w))
        return;
    if (a.seconds > 0 && !(from = weft__waits_take(&waits))) {
        weft__debug_error(w, 500, "failed to collect profile");
        return;
    }
    serve_from(&waits, &a, from, w, r);
    weft__buckets_free(from);
}

void weft__debug_block(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    serve(WEFT__CONTENTION_BLOCK, "block", d, w, r);
}

void weft__debug_mutex(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    serve(WEFT__CONTENTION_MUTEX, "mutex", d, w, r);
}

void weft__debug_contention(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    serve(WEFT__CONTENTION_PAIRS, "contention", d, w, r);
}

static int count(enum weft__contention which)
{
    return (int)weft__buckets_count(weft__contention_recorded(which));
}

int weft__debug_block_count(void)
{
    return count(WEFT__CONTENTION_BLOCK);
}

int weft__debug_mutex_count(void)
{
    return count(WEFT__CONTENTION_MUTEX);
}

int weft__debug_contention_count(void)
{
    return count(WEFT__CONTENTION_PAIRS);
}
