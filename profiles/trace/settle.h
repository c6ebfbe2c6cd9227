/* SPDX-License-Identifier: MIT */
/* settle.h - makes a consistent list of the events of a span from which the oldest are missing.
 *
 * Pieces of the tape are written over one by one, so of one thread more may be left than of
 * another. If an event is missing, all that caused it says nothing either: a list that has the
 * cause but not the event is no history that can have happened. So weft__settle drops each event
 * that came before a missing one, on its thread or of its task. Of each thread and of each task a
 * whole end is left. Then it puts the rest into one order that keeps those of threads and tasks,
 * and is that of time as far as they allow. */
#ifndef WEFT_SETTLE_H
#define WEFT_SETTLE_H

#include "profiles/trace/tape.h"

/* An event, with the thread and the processor where it happened. */
struct weft__settled {
    const struct weft__event *event; /* in the span */
    uint64_t place;                  /* weft__event_place */
};

/* Drops events from the span; a mark says what the thread did before those that are left. Returns
 * the order of the rest, without marks, in a list for free(). n receives how many. Returns NULL if
 * memory ran out. */
struct weft__settled *weft__settle(struct weft__span *s, size_t *n);

#endif
