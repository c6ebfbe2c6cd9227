/* SPDX-License-Identifier: MIT */
/* sample.h - samples of waits and of wall time: one stack or two, with labels, laid out as the
 * words of one stack, so that a bucket can have them.
 *
 * Any thread may join and read samples. weft__samples_write may wait for the symbolizer and for the
 * sink: no lock held. */
#ifndef WEFT_SAMPLE_H
#define WEFT_SAMPLE_H

#include "profiles/account/profile.h"
#include "profiles/table/buckets.h"
#include "profiles/walk/unwind.h"

/* The values of a bucket of samples. */
enum {
    WEFT__SAMPLE_COUNT, /* in WEFT__PARTS */
    WEFT__SAMPLE_TIME,  /* ns */
    WEFT__SAMPLE_VALUES
};

struct weft__sample {
    const uintptr_t *pcs; /* return addresses, innermost first */
    size_t n;
    uint32_t labels; /* id of the set of labels (labelset.h) of the task with that stack */
    /* A pair is a wait for a lock with both sides; the stack above is the waiter's. */
    bool is_pair;
    unsigned reason;    /* enum weft__reason */
    const void *object; /* the lock; NULL if locks are not told apart */
    const uintptr_t *holder;
    size_t n_holder;
};

/* Writes the words of a sample to a walk, as one stack. */
void weft__sample_join(struct weft__walk *to, const struct weft__sample *s);
/* Reads the words of a sample in a table's entry. The stacks of the result point into the entry. */
struct weft__sample weft__sample_of(const struct weft__stack_entry *e);

/* Adds the values in from, times so much; -1 subtracts them. Samples whose label sets are gone
 * (labelset.h) count as {labels: too many}. Returns false if memory ran out. */
bool weft__samples_add(weft__buckets *to, const weft__buckets *from, int times);

/* Writes a view that is a table of samples: the `write` of a descriptor. profile.proto has the time
 * alone if the profile has one value. Text has the lines of text_head, then time, count and stacks
 * of each sample. */
int weft__samples_write(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                        const struct weft__sink *to);

#endif
