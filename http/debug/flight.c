/* SPDX-License-Identifier: MIT */
/* debug/flight.c - /debug/flight: the last seconds of all tasks, if the flight recorder is on.
 *
 * Owns no state. mount.c calls weft__debug_flight for a request that was let in, on the task of its
 * connection. The answer is a copy of the record, for weft-flight; with a format of
 * /debug/pprof/trace it is a trace. */
#include "http/debug/debug.h"

#include "http/debug/expvar.h"
#include "profiles/capture/tasks.h"
#include "profiles/trace/flight.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void weft__flight_put(weft__json *out)
{
    struct weft__flight_state s;
    char text[200];

    if (!weft__flight_is_on())
        return;
    weft__flight_state(&s);
    weft__json_put_key(out, "flight_recorder");
    weft__json_put_text(out, "{\"file\": ");
    weft__json_put_string(out, s.file);
    snprintf(text, sizeof(text),
             ", \"bytes\": %" PRIu64 ", \"stalls\": %" PRIu32 ", \"snapshots\": %" PRIu32
             ", \"snapshots_failed\": %" PRIu32 ", \"snapshot_files_max\": %" PRIu32 "}",
             s.bytes, s.stalls, s.snapshots, s.failed, s.files_most);
    weft__json_put_text(out, text);
}

/* Makes a trace of the record, without a processor since it may take long. */
static int write_trace(enum weft__trace_format format, const struct weft__sink *to)
{
    uint64_t size;
    void *copy;
    int rc = weft__flight_copy(&copy, &size);
    bool aside = rc == 0 && weft__stand_aside(SIZE_MAX); /* the copy's end came back */

    if (rc == 0) {
        rc = weft__flight_trace(copy, size, format, to);
        weft__flight_copy_free(copy, size);
    }
    if (aside)
        weft__stand_back();
    return rc;
}

void weft__debug_flight(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    struct weft__answer answer = {.w = w, .filename = "flight"};
    const struct weft__sink to = {weft__answer_put, &answer};
    const char *format = NULL;
    enum weft__trace_format kind;
    int rc;

    (void)d;
    if (weft_http_query_value(r, "format", &format) < 0 ||
        (format && strcmp(format, "record") != 0 && !weft__trace_format_of(format, &kind))) {
        weft__debug_error(w, 400,
                          "invalid value for \"format\" - must be record, 1, 2 or perfetto");
        return;
    }
    if (!weft__flight_is_on()) {
        weft__debug_error(w, 404, "the flight recorder is off: start the program with WEFT_FLIGHT");
        return;
    }
    if (!weft_http_wants_body(w)) {
        weft__answer_head(w, answer.filename);
        return;
    }
    rc = format && format[0] != 'r' ? write_trace(kind, &to) : weft__flight_write(&to);
    rc = weft__answer_end(&answer, rc);
    if (rc < 0 && answer.begun)
        weft_http_abort(w);
    else if (rc < 0)
        weft__debug_error(w, 500, "failed to collect the flight record");
}
