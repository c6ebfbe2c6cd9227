/* SPDX-License-Identifier: MIT */
/* labels.h - labels of tasks, written into profiles. */
#ifndef WEFT_LABELS_H
#define WEFT_LABELS_H

#include "profiles/render/output.h"
#include "profiles/render/pprof.h"
#include "runtime/sched/tags.h"

/* The line below the data line of debug=1; nothing for NULL. */
void weft__labels_put(struct weft__out *o, const weft__tags *set);
/* Adds the labels whose keys are not among the n that the list has, since readers know one value a
 * key; how many it has then. There is room for WEFT_LABELS_MAX more. */
size_t weft__labels_add(struct weft__pprof_label *list, size_t n, const weft__tags *set);

#endif
