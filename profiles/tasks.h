/* SPDX-License-Identifier: MIT */
/* tasks.h - snapshots for others in profiles/, http/ and tests. */
#ifndef WEFT_TASKS_H
#define WEFT_TASKS_H

#include "snapshot.h"

#include <weft/dump.h>

/* A snapshot that others who ask at the same time share; put gives it back, NULL does nothing. 0;
 * WEFT_ENOMEM; WEFT_EINVAL: no run is under way. */
int weft__snapshot_get(const struct weft__snapshot **out);
void weft__snapshot_put(const struct weft__snapshot *s);

/* Writes one in a form; the sink may wait. The caller's task comes first. */
int weft__tasks_write(const struct weft__snapshot *s, enum weft_dump_form form,
                      const struct weft__sink *to);

/* What takes long and looks at so many tasks keeps no processor. It would be taken after a time
 * slice, but until then its timers would wait, so with many tasks it is given away at once; then,
 * if true, weft_blocking_end gets another, as does any call. */
bool weft__stand_aside(size_t tasks);

/* A snapshot of one's own; NULL without memory. One caller at a time. */
const struct weft__snapshot *weft__snapshot_take(void);
void weft__snapshot_free(const struct weft__snapshot *s);

#endif
