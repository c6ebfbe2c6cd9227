/* SPDX-License-Identifier: MIT */
/* samples.h - the samples that a CPU profile takes while a trace is being taken.
 *
 * The controller of the sampling (cpu/cpu.h) adds a sample; the taker of the trace takes them out.
 * There is one trace, so there is one of these at a time. */
#ifndef WEFT_TRACE_SAMPLES_H
#define WEFT_TRACE_SAMPLES_H

#include <stdint.h>

typedef struct weft__trace_samples weft__trace_samples;

struct weft__trace_sample {
    int64_t ticks;
    uint64_t task;         /* as in an event; 0: the thread ran none */
    uint32_t thread, proc; /* proc: or WEFT__NO_PROC */
    uint32_t stack; /* as in an event; innermost first, its first frame is where the CPU was */
};

/* Begins to keep samples; the tape is open until the end. NULL: memory ran out. */
weft__trace_samples *weft__trace_samples_begin(void);
void weft__trace_samples_end(weft__trace_samples *s); /* may be NULL */
/* Waits for the samples that were taken before the call; then gives fn those up to a moment, in
 * ticks, and forgets them. Without a CPU profile it returns at once. */
void weft__trace_samples_take(weft__trace_samples *s, int64_t until,
                              void (*fn)(void *arg, const struct weft__trace_sample *one),
                              void *arg);

#endif
