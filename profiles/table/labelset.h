/* SPDX-License-Identifier: MIT */
/* labelset.h - the distinct sets of labels that recorded samples have, which outlive their tasks.
 *
 * Programs label with the names of requests, too: the first WEFT__LABELSETS sets are kept for good,
 * and all others are one, {labels: too many}. */
#ifndef WEFT_LABELSET_H
#define WEFT_LABELSET_H

#include "runtime/sched/tags.h"

enum { WEFT__LABELSETS = 1024 };

/* The number of a set that the caller has a reference to, the same for equal ones; 0: NULL. Any
 * thread, without locks. */
uint32_t weft__labelset_keep(const weft__tags *set);
const weft__tags *weft__labelset_of(uint32_t id); /* NULL for 0 */
uint32_t weft__labelset_count(void);

#endif
