/* SPDX-License-Identifier: MIT */
/* places.h - stacks at which tasks have waited before, known again without a walk; and what was
 * counted for them. For those who record each wait. */
#ifndef WEFT_PLACES_H
#define WEFT_PLACES_H

#include "../runtime/task.h"
#include "buckets.h"
#include "trail.h"

enum { WEFT__PLACE_FRAMES = 64, WEFT__PLACE_STEPS = 48 };
enum { WEFT__PLACES = 4096 /* at most, at one time */ };

/* Immutable while its generation is the one that it was found with, and some time longer. */
typedef struct weft__place {
    uint32_t generation; /* atomic */
    uint32_t n;
    uintptr_t pcs[WEFT__PLACE_FRAMES];
    uint32_t n_steps; /* of the trail; 0: it is longer */
    struct weft__trail_step steps[WEFT__PLACE_STEPS];
} weft__place;

/* Where t is, whose context is saved and stays so; NULL if it was not seen there, or long ago. */
const weft__place *weft__place_find(const weft__task *t);
/* Remembers the place for its walk; NULL if there are too many, or the walk is not followed. trail:
 * scratch. */
const weft__place *weft__place_add(const weft__task *t, const struct weft__walk *walk,
                                   struct weft__trail *trail);
uint32_t weft__places_count(void);

/* What a bucket is had by, so that its cell is found without it. */
struct weft__tie {
    const weft__buckets *buckets;
    const weft__place *place, *holder;      /* holder: NULL if it is no pair */
    uint32_t generation, holder_generation; /* of the two, when they were found */
    const void *object;
    uint64_t labels_reason;
};

weft__cell *weft__tie_find(const struct weft__tie *tie); /* NULL: not known (any more) */
void weft__tie_set(const struct weft__tie *tie, weft__cell *cell);

#endif
