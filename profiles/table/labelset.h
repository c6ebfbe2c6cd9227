/* SPDX-License-Identifier: MIT */
/* labelset.h - the distinct sets of labels that recorded samples have, which outlive their tasks.
 *
 * Programs label with the names of requests, too, and have any number of sets. WEFT__LABELSETS are
 * kept at a time. When all are taken, the half that was used least recently goes: what was recorded
 * with these sets counts as {labels: too many} from then on. That happens once in ten seconds at
 * most; the new sets that find no room until then count as {labels: too many}, too. */
#ifndef WEFT_LABELSET_H
#define WEFT_LABELSET_H

#include "runtime/sched/tags.h"

enum { WEFT__LABELSETS = 1024 };

/* Returns the id of a set that the caller has a reference to, the same for equal ones; 0: NULL. No
 * other set ever gets that id. Any thread. */
uint32_t weft__labelset_keep(const weft__tags *set);
/* Returns the id under which samples of that id count now: that of {labels: too many} if the set
 * went. */
uint32_t weft__labelset_now(uint32_t id);
/* Returns the set with a reference, for weft__tags_drop; NULL for 0. */
weft__tags *weft__labelset_get(uint32_t id);
uint32_t weft__labelset_count(void);
uint64_t weft__labelset_gone(void); /* sets that went so far */

extern int64_t weft__labelset_least; /* ns from one going to the next, at least; tests set less */

#endif
