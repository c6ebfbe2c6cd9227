/* SPDX-License-Identifier: MIT */
/* labels.h - writes the labels of tasks into profiles. Any thread: the functions read a set of
 * labels, which never changes, and wait for nothing but the sink of the out. */
#ifndef WEFT_LABELS_H
#define WEFT_LABELS_H

#include "profiles/render/output.h"
#include "profiles/render/pprof.h"
#include "runtime/sched/tags.h"

/* Writes the "# labels:" line that stands below a data line of debug=1; nothing if set is NULL. */
void weft__labels_put(struct weft__out *o, const weft__tags *set);
/* Adds labels to the n in list, which has room for WEFT_LABELS_MAX more. Leaves out labels with a
 * key that is in the list, since readers know one value for each key. Returns the new length. */
size_t weft__labels_add(struct weft__pprof_label *list, size_t n, const weft__tags *set);

#endif
