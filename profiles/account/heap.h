/* SPDX-License-Identifier: MIT */
/* heap.h - a view of the heap profile, for the profiles that are made of it.
 *
 * The functions are those of a descriptor (profile.h). */
#ifndef WEFT_HEAP_PROFILE_H
#define WEFT_HEAP_PROFILE_H

#include "profiles/account/profile.h"

extern const struct weft__pprof_type weft__heap_values[]; /* four */
extern const struct weft__pprof_type weft__heap_space;    /* of the period */

void *weft__heap_take(const struct weft__asked *a);
int weft__heap_write(const struct weft__asked *a, const void *from, void *view, int64_t duration,
                     const struct weft__sink *to);
bool weft__heap_is_fed(char *to, size_t size);

#endif
