/* SPDX-License-Identifier: MIT */
/* trace.h - the taking of a trace: it reads the tape from time to time, and writes a format.
 *
 * A trace is used by one task or thread at a time, with no lock held. */
#ifndef WEFT_TRACE_TAKING_H
#define WEFT_TRACE_TAKING_H

#include "profiles/capture/snapshot.h"

enum weft__trace_format { WEFT__TRACE_V1, WEFT__TRACE_V2, WEFT__TRACE_PERFETTO };

/* Reads the name of a format: 1, 2 or perfetto. Returns false if it is none of them. */
bool weft__trace_format_of(const char *name, enum weft__trace_format *out);

typedef struct weft__trace weft__trace;

/* Begins a trace. Returns NULL with *rc = -EBUSY if one is being taken already, for there is one at
 * a time only; -ENOMEM if memory ran out. A task, or a thread in a run. */
weft__trace *weft__trace_open(enum weft__trace_format format, int *rc);
/* Writes what has happened since the last call; end: and the end of the trace. Returns 0, the
 * sink's code, or -ENOMEM. Called at least each WEFT__TRACE_PERIOD, so that the tape does not
 * overflow. */
int weft__trace_write(weft__trace *t, const struct weft__sink *to, bool end);
/* Ends it, whole or not. */
void weft__trace_close(weft__trace *t);
enum { WEFT__TRACE_PERIOD = 50 * 1000 * 1000 /* ns */ };
/* Returns whether the run of the trace has ended, so that nothing more comes. */
bool weft__trace_ended(const weft__trace *t);

/* file.c. A run ends, and with it a trace to a file: waits until that is written. */
void weft__trace_run_ends(void);

#endif
