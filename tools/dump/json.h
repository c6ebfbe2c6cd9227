/* SPDX-License-Identifier: MIT */
/* json.h - a snapshot as JSON. One thread calls. */
#ifndef WEFT_TOOLS_JSON_H
#define WEFT_TOOLS_JSON_H

#include "profiles/capture/snapshot.h"

/* Writes all that debug=3 shows. `what` names the process or the core. broken says why the
 * dump is not whole; "" if it is. Returns 0, the sink's negative code, or -ENOMEM. */
int json_write(const struct weft__snapshot *s, const char *what, const char *broken,
               const struct weft__sink *to);

#endif
