/* SPDX-License-Identifier: MIT */
/* perfetto.h - writes a trace as Perfetto's TrackEvents, in protobuf, as the events come.
 *
 *     weft__perfetto *p = weft__perfetto_begin(&words, &sink);
 *     for each event, in order: rc = weft__perfetto_add(p, event)
 *     return weft__perfetto_end(p, rc);
 *
 * The order: events of one task by seq, events of one thread as they are on its strand. Times of
 * one track never decrease: an event that is stamped earlier gets the time of the one before.
 *
 * Each processor has a track with a slice for each time that it runs a task. Each task has a track
 * with slices for what it does: it runs, waits, is runnable, or runs without a processor. An arrow
 * leads from each wake-up to the next run of the task. Counters show how many tasks are runnable,
 * and for how long the kernel kept the thread of a processor waiting for a CPU, since the counter's
 * last value, and how many processors run tasks. Memory depends on the number of tasks that live at
 * one time. One thread or task owns an encoder. */
#ifndef WEFT_PERFETTO_H
#define WEFT_PERFETTO_H

#include "profiles/capture/snapshot.h"
#include "profiles/trace/tape.h"
#include "profiles/trace/words.h"

typedef struct weft__perfetto weft__perfetto;

/* Begins a trace. words stays the caller's, until the end. Returns NULL if memory ran out. */
weft__perfetto *weft__perfetto_begin(const struct weft__trace_words *words,
                                     const struct weft__sink *to);
/* Writes an event. Returns 0, the sink's negative code, or -ENOMEM; after an error it writes no
 * more, and returns the same code. */
int weft__perfetto_add(weft__perfetto *p, const struct weft__event *e);
/* Writes that the thread of a processor waited for a CPU, for ns since the last such call. Returns
 * as weft__perfetto_add does. */
int weft__perfetto_delay(weft__perfetto *p, uint32_t proc, int64_t nanos, uint64_t ns);
/* Writes that n processors run tasks from now on. Returns as weft__perfetto_add does. */
int weft__perfetto_procs(weft__perfetto *p, int64_t nanos, uint64_t n);
/* Writes the delays, and the numbers of processors, that are in a span. Returns as
 * weft__perfetto_add does. */
int weft__perfetto_counters(weft__perfetto *p, const struct weft__span *s);
/* Writes a sample of CPU time, on the track of its processor; without one, on that of all that
 * comes from outside. Returns as weft__perfetto_add does. */
int weft__perfetto_sample(weft__perfetto *p, uint32_t proc, int64_t nanos, uint64_t task,
                          uint32_t stack);
/* Gives what is encoded so far to the sink. Returns as weft__perfetto_add does. */
int weft__perfetto_flush(weft__perfetto *p);
/* Writes the rest and frees p. Returns as weft__perfetto_add does. If rc < 0 it writes nothing
 * more, and returns rc. */
int weft__perfetto_end(weft__perfetto *p, int rc);

#endif
