/* SPDX-License-Identifier: MIT */
/* counts.h - writes a profile that counts things by the stack that made them.
 *
 * Any task or thread, with no lock held: the functions may wait for the symbolizer and for the
 * sink. No other thread may change the buckets meanwhile, except to add to them. */
#ifndef WEFT_COUNTS_H
#define WEFT_COUNTS_H

#include "profiles/capture/snapshot.h"
#include "profiles/table/buckets.h"

/* Writes the text of debug=1. Both functions return 0, the sink's negative code, or -ENOMEM. */
int weft__counts_text(const char *name, const weft__buckets *b, const struct weft__sink *to);
/* Writes a gzip'ed profile.proto of type name/count. duration: in ns; 0 if the profile shows a
 * moment. b may be a difference, in which counts may be negative. */
int weft__counts_pprof(const char *name, const weft__buckets *b, int64_t duration,
                       const struct weft__sink *to);

#endif
