/* SPDX-License-Identifier: MIT */
/* labelset.h - the distinct sets of labels that recorded waits have. They outlive their tasks.
 *
 * Programs put names of requests into labels, so there may be any number of sets. WEFT__LABELSETS
 * are kept at a time. When all are taken, the half that was used least recently goes: waits that
 * were recorded with these sets count as {labels: too many} from then on. That happens at most once
 * in ten seconds; new sets that find no room until then count as {labels: too many}, too.
 *
 * Any thread may call these functions, with locks of a rank below TABLES; a spin lock of that rank
 * is taken. */
#ifndef WEFT_LABELSET_H
#define WEFT_LABELSET_H

#include "runtime/sched/tags.h"

enum { WEFT__LABELSETS = 1024 };

/* Returns the id of a set, to which the caller has a reference; 0 for NULL. Equal sets have the
 * same id, and no other set ever gets it. */
uint32_t weft__labelset_keep(const weft__tags *set);
/* Returns the id under which waits with this id count now: that of {labels: too many} if the set is
 * gone. */
uint32_t weft__labelset_now(uint32_t id);
/* Returns the set of an id, with a reference for weft__tags_drop; NULL for 0. */
weft__tags *weft__labelset_get(uint32_t id);
uint32_t weft__labelset_count(void);
uint64_t weft__labelset_gone(void); /* sets that went so far */

extern int64_t weft__labelset_least; /* ns from one going to the next, at least; tests set less */

#endif
