/* SPDX-License-Identifier: MIT */
/* flight_go.c - see flight.h: a record as a trace in one of Go's formats. Owns nothing. */
#include "profiles/trace/flight.h"

#include <errno.h>

#include "profiles/trace/formats.h"

/* Sets the times of the first and the last event. A change of the number of processors may be much
 * older than the other events. */
static void set_bounds(struct weft__span *s)
{
    s->from = INT64_MAX;
    s->until = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct weft__event *e = &s->events[i];

        if (e->kind != WEFT__EV_MARK && e->kind != WEFT__EV_PROCS && e->ticks < s->from)
            s->from = e->ticks;
        if (e->ticks > s->until)
            s->until = e->ticks;
    }
}

/* All is one generation, so that it needs the state of no other task than those with an event. */
int weft__flight_go(weft__flight *f, struct weft__writer *w, const struct weft__sink *to)
{
    const struct weft__tape_start start = {.tasks = NULL};
    weft__order *o = w ? weft__order_new(&w->form) : NULL;
    int rc = -ENOMEM;

    set_bounds(&f->span);
    if (o && weft__order_begin(o, &start, &f->span)) {
        w->span(w, o);
        if (weft__order_span(o, &f->span)) {
            w->spanned(w, true);
            rc = w->out.failed ? -ENOMEM : to->write(to->arg, w->out.at, w->out.n);
        }
    }
    weft__order_free(o);
    if (w)
        w->free(w);
    return rc;
}
