/* SPDX-License-Identifier: MIT */
/* places.h - stacks at which tasks have waited before, known again without a walk; and what was
 * counted for them. For those who record each wait. */
#ifndef WEFT_PLACES_H
#define WEFT_PLACES_H

#include "../runtime/task.h"
#include "buckets.h"
#include "trail.h"

enum { WEFT__PLACE_FRAMES = 64 };

/* Immutable, and as long as the process. */
typedef struct weft__place {
    struct weft__place *next;
    uint64_t key;
    uint32_t age; /* of the rules that it was walked by */
    uint32_t n;
    uintptr_t pcs[WEFT__PLACE_FRAMES];
    struct weft__trail trail;
} weft__place;

/* Where t is, whose context is saved and stays so; NULL if it was never seen there. */
const weft__place *weft__place_find(const weft__task *t);
/* Remembers the place for its walk; NULL if there are too many, or the walk is not followed. */
const weft__place *weft__place_add(const weft__task *t, const struct weft__walk *walk);

/* What a bucket is had by, so that its cell is found without it. */
struct weft__tie {
    const weft__buckets *buckets;
    const weft__place *place, *holder; /* holder: NULL if it is no pair */
    const void *object;
    uint64_t labels_reason;
};

weft__cell *weft__tie_find(const struct weft__tie *tie); /* NULL: not known (any more) */
void weft__tie_set(const struct weft__tie *tie, weft__cell *cell);

#endif
