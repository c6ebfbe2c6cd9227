/* SPDX-License-Identifier: MIT */
/* debug/trace.c - /debug/pprof/trace: an execution trace of the time from now on.
 *
 * Owns no state. Parameters, header and errors are Go's: seconds may be a fraction, and a bad value
 * counts as 1; one trace is taken at a time. format=2 asks for Go's newer format, format=perfetto
 * for that of ui.perfetto.dev. The trace is written as it is taken, and ends early if the client
 * goes. */
#include "http/debug/debug.h"

#include "profiles/capture/tasks.h"
#include "profiles/trace/trace.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a decimal number as Go's ParseFloat does. Returns 1 if it is none above 0. */
static double seconds_of(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    return end != text && !*end && text[0] != ' ' && value > 0 && !isinf(value) ? value : 1;
}

/* Reads the parameters. Returns false if the request was answered. */
static bool read_parameters(const struct weft__debug *d, weft_http_response *w,
                            weft_http_request *r, weft_duration *over,
                            enum weft__trace_format *format)
{
    const char *seconds = NULL, *form = NULL;
    char message[80];
    double wanted;

    if (weft_http_query_value(r, "seconds", &seconds) < 0 ||
        weft_http_query_value(r, "format", &form) < 0) {
        weft__debug_error(w, 400, "malformed escape in a parameter");
        return false;
    }
    if (!weft__trace_format_of(form ? form : "1", format)) {
        weft__debug_error(w, 400, "invalid value for \"format\" - must be 1, 2 or perfetto");
        return false;
    }
    wanted = seconds_of(seconds ? seconds : "");
    if (wanted > d->options.max_seconds) {
        snprintf(message, sizeof(message), "invalid value for \"seconds\" - must be at most %u",
                 d->options.max_seconds);
        weft__debug_error(w, 400, message);
        return false;
    }
    *over = (weft_duration)(wanted * (double)WEFT_SECOND);
    return true;
}

/* Makes a part of the trace, without a processor since it may take long. */
static int write_part(weft__trace *t, const struct weft__sink *to, bool end)
{
    bool aside = weft__stand_aside(SIZE_MAX);
    int rc = weft__trace_write(t, to, end);

    if (aside)
        weft__stand_back();
    return rc;
}

/* Takes the trace. Returns 0, or a negative code; -ECANCELED if the client has gone. */
static int take(weft__trace *t, weft_http_request *r, weft_duration over,
                const struct weft__sink *to)
{
    weft_time end = weft_now() + over, next;
    bool last;
    int rc;

    do {
        next = weft_now() + WEFT__TRACE_PERIOD;
        if (weft_http_wait_until(r, next < end ? next : end) != 0)
            return -ECANCELED;
        last = weft_now() >= end;
        rc = write_part(t, to, last);
    } while (rc == 0 && !last);
    return rc;
}

void weft__debug_trace(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    struct weft__answer answer = {.w = w, .filename = "trace"};
    const struct weft__sink to = {weft__answer_put, &answer};
    enum weft__trace_format format;
    weft_duration over;
    weft__trace *t;
    int rc = 0;

    if (!read_parameters(d, w, r, &over, &format))
        return;
    if (!weft_http_wants_body(w)) {
        weft__answer_head(w, answer.filename);
        return;
    }
    t = weft__trace_open(format, &rc);
    if (!t) {
        weft__debug_error(w, 500,
                          rc == -EBUSY ? "Could not enable tracing: tracing is already enabled"
                                       : "Could not enable tracing: out of memory");
        return;
    }
    rc = take(t, r, over, &to);
    weft__trace_close(t);
    rc = weft__answer_end(&answer, rc);
    if (rc < 0 && answer.begun)
        weft_http_abort(w);
    else if (rc < 0)
        weft__debug_error(w, 500, "failed to collect trace");
}
