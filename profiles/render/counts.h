/* SPDX-License-Identifier: MIT */
/* counts.h - renderings of a profile that counts things by the stack that made them. */
#ifndef WEFT_COUNTS_H
#define WEFT_COUNTS_H

#include "profiles/capture/snapshot.h"
#include "profiles/table/buckets.h"

/* Both return 0, the sink's negative code, or -ENOMEM. text is debug=1. */
int weft__counts_text(const char *name, const weft__buckets *b, const struct weft__sink *to);
/* gzip'ed profile.proto of type name/count. duration: ns, or 0; b may be a difference, with counts
 * below 0. */
int weft__counts_pprof(const char *name, const weft__buckets *b, int64_t duration,
                       const struct weft__sink *to);

#endif
