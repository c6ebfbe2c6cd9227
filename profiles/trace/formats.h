/* SPDX-License-Identifier: MIT */
/* formats.h - the formats in which a trace is written, as forms of an order (order.h).
 *
 * A writer makes bytes of the steps that it gets; the caller takes them away, and clears out.n,
 * after each span. One thread uses a writer; with no lock held, since it names addresses. */
#ifndef WEFT_TRACE_FORMATS_H
#define WEFT_TRACE_FORMATS_H

#include "profiles/trace/bytes.h"
#include "profiles/trace/names.h"
#include "profiles/trace/order.h"
#include "profiles/trace/samples.h"
#include "profiles/trace/words.h"

struct weft__writer {
    weft__form form; /* the first member */
    struct weft__bytes out;
    /* Writes a sample of CPU time of the span, after the steps of the span. Its task, if it has
     * one, is known to the order. */
    void (*sample)(struct weft__writer *w, weft__order *o, const struct weft__trace_sample *s);
    /* Before the steps of each span, and after them and the samples. The first call writes the
     * state as of the order's begin. end: it was the last span. */
    void (*span)(struct weft__writer *w, weft__order *o);
    void (*spanned)(struct weft__writer *w, bool end);
    void (*free)(struct weft__writer *w);
};

/* Returns the name for the stack of a wake-up that no task made, by its enum weft__source. */
const char *weft__source_name(unsigned source);

/* Returns the number of the stack that names the task of a step CREATE: its function; in their
 * place a word for a thread that is no worker, or for a task whose creation is missing. */
uint64_t weft__created_as(weft__names *n, weft__order *o, const struct weft__step *s);

/* The key and the value of the log for a DELAYED step, in formats without counters. Writes the
 * value to `to`, and returns it. */
#define WEFT__DELAY_KEY "kernel scheduling delay"
enum { WEFT__DELAY_TEXT = 40 };
const char *weft__delay_text(uint64_t ns, char *to);

/* Go's trace format as of 1.19, and as of 1.23. Return NULL if memory ran out. */
struct weft__writer *weft__writer_v1(void);
struct weft__writer *weft__writer_v2(void);
/* Perfetto's (perfetto.h). The same. */
struct weft__writer *weft__writer_perfetto(void);

#endif
