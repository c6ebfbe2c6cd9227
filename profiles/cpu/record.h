/* SPDX-License-Identifier: MIT */
/* record.h - the samples that the signal handler of a thread leaves for the controller.
 *
 * Each thread that has a timer has a record, with a ring of samples: the handler on that thread
 * writes them, the controller reads them. Only the controller calls these functions (sampler.c; in
 * start and stop the thread that calls them takes its place). */
#ifndef WEFT_CPU_RECORD_H
#define WEFT_CPU_RECORD_H

#include "profiles/cpu/cpu.h"

#include <time.h>

enum { WEFT__CPU_RECORDS = 1 << 14, WEFT__CPU_RING = 1024 /* words; a power of 2 */ };

struct weft__cpu_record {
    int tid; /* constant */

    /* The controller's own. */
    uint32_t index;
    bool has_timer;
    timer_t timer;
    int64_t cpu_first, cpu; /* ns of the thread's CPU time: when the timer was made; at last */
    uint64_t weight;        /* of the samples so far */

    /* The ring: words from tail to head are used. The handler moves head, the controller tail;
     * atomic. */
    uint32_t head, tail;
    uint32_t lost;          /* atomic: the weight of samples that found no room */
    struct weft__walk walk; /* the handler's, which has a small stack on threads of others */
    uint64_t ring[WEFT__CPU_RING];
};

/* From open to close the handler takes samples. Returns false if memory ran out. close returns
 * when no handler runs any more, and frees all records. */
bool weft__cpu_records_open(void);
void weft__cpu_records_close(void);
/* Stops the handler from taking samples. When this returns, none runs any more. */
void weft__cpu_records_stop(void);
/* Returns once each handler that runs now has returned. */
void weft__cpu_records_quiet(void);

/* Makes the record of a thread. Returns NULL if there are too many, or memory ran out. */
struct weft__cpu_record *weft__cpu_record_new(int tid);
/* Frees the record of a thread that has ended, or whose timer is gone. */
void weft__cpu_record_free(struct weft__cpu_record *r);

/* Reads the oldest sample of a ring, with its stack in walk; finishes the stack if a rule was
 * missing, for which it waits for the symbolizer. Adds the sample to counts. Returns false if the
 * ring is empty. The caller drops s->tags by weft__tags_drop. */
bool weft__cpu_record_read(struct weft__cpu_record *r, struct weft__cpu_sample *s,
                           struct weft__walk *walk, struct weft__cpu_counts *counts);

#endif
