/* SPDX-License-Identifier: MIT */
/* counts.h - writes a profile that counts things by the stack that made them.
 *
 * Any task or thread, with no lock held: the functions may wait for the symbolizer and for the
 * sink. No other thread may change the buckets meanwhile, except to add to them. */
#ifndef WEFT_COUNTS_H
#define WEFT_COUNTS_H

#include "profiles/render/pprof.h"
#include "profiles/table/buckets.h"

/* Writes the text of debug=1. Both functions return 0, the sink's negative code, or -ENOMEM. b has
 * the values that head names, and may be a difference, in which values may be negative. */
int weft__counts_text(const char *name, const struct weft__pprof_head *head, const weft__buckets *b,
                      const struct weft__sink *to);
/* Writes a gzip'ed profile.proto. */
int weft__counts_pprof(const struct weft__pprof_head *head, const weft__buckets *b,
                       const struct weft__sink *to);

#endif
