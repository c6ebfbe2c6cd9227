/* SPDX-License-Identifier: MIT */
/* trace.c - see trace.h.
 *
 * Owns: the mark that a trace is being taken. */
#include "profiles/trace/trace.h"

#include "profiles/render/output.h"
#include "profiles/trace/formats.h"
#include "profiles/trace/rings.h"
#include "runtime/base/atomic.h"

#include <errno.h>
#include <string.h>

struct weft__trace {
    weft__reader *reader;
    weft__order *order;
    struct weft__writer *writer;
    struct weft__span span;
    struct weft__tape_start start;
    weft__trace_samples *samples;
    int64_t began; /* ticks of the first cut */
    bool begun;
};

static bool busy; /* atomic */

static void trace_free(weft__trace *t)
{
    weft__tape_start_free(&t->start);
    weft__span_free(&t->span);
    weft__order_free(t->order);
    if (t->writer)
        t->writer->free(t->writer);
    weft__trace_samples_end(t->samples);
    if (t->reader) {
        weft__sinks_remove(&weft__hear_notes);
        weft__tape_close(t->reader);
    }
    free(t);
}

static struct weft__writer *(*const writers[])(void) = {
    [WEFT__TRACE_V1] = weft__writer_v1,
    [WEFT__TRACE_V2] = weft__writer_v2,
    [WEFT__TRACE_PERFETTO] = weft__writer_perfetto,
};

bool weft__trace_format_of(const char *name, enum weft__trace_format *out)
{
    static const char *const names[] = {
        [WEFT__TRACE_V1] = "1",
        [WEFT__TRACE_V2] = "2",
        [WEFT__TRACE_PERFETTO] = "perfetto",
    };

    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum weft__trace_format)i;
            return true;
        }
    }
    return false;
}

weft__trace *weft__trace_open(enum weft__trace_format format, int *rc)
{
    weft__trace *t;

    if (weft__xchg(&busy, true)) {
        *rc = -EBUSY;
        return NULL;
    }
    t = calloc(1, sizeof(*t));
    if (t) {
        t->writer = writers[format]();
        t->order = t->writer ? weft__order_new(&t->writer->form) : NULL;
        t->reader = t->order ? weft__tape_open() : NULL;
    }
    if (t && t->reader)
        t->samples = weft__trace_samples_begin();
    if (t && t->samples && weft__sinks_add(&weft__hear_notes) && weft__tape_start(&t->start))
        return t;
    if (t)
        trace_free(t);
    weft__store_rel(&busy, false);
    *rc = -ENOMEM;
    return NULL;
}

/* A task that the order does not know ran before the trace began, and has ended. */
static void put_sample(void *arg, const struct weft__trace_sample *s)
{
    weft__trace *t = arg;
    struct weft__trace_sample known = *s;

    if (!weft__order_knows(t->order, s->task))
        known.task = 0;
    if (s->ticks >= t->began)
        t->writer->sample(t->writer, t->order, &known);
}

static bool make(weft__trace *t, bool end)
{
    if (!weft__tape_read(t->reader, &t->span))
        return false;
    if (!t->begun) {
        t->begun = true;
        t->began = t->span.from;
        if (!weft__order_begin(t->order, &t->start, &t->span))
            return false;
        weft__tape_start_free(&t->start);
    }
    t->writer->span(t->writer, t->order);
    if (!weft__order_span(t->order, &t->span))
        return false;
    weft__trace_samples_take(t->samples, t->span.until, put_sample, t);
    t->writer->spanned(t->writer, end);
    return !t->writer->out.failed;
}

int weft__trace_write(weft__trace *t, const struct weft__sink *to, bool end)
{
    struct weft__bytes *out = &t->writer->out;
    int rc = 0;

    if (!make(t, end))
        return -ENOMEM;
    for (size_t at = 0; at < out->n && rc == 0; at += WEFT__OUT_SIZE) {
        size_t left = out->n - at;

        rc = to->write(to->arg, out->at + at, left < WEFT__OUT_SIZE ? left : WEFT__OUT_SIZE);
    }
    out->n = 0;
    return rc;
}

bool weft__trace_ended(const weft__trace *t)
{
    return weft__tape_ended(t->reader);
}

void weft__trace_close(weft__trace *t)
{
    trace_free(t);
    weft__store_rel(&busy, false);
}
