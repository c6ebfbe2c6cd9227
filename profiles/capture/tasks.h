/* SPDX-License-Identifier: MIT */
/* tasks.h - snapshots for others in profiles/, http/ and tests. */
#ifndef WEFT_TASKS_H
#define WEFT_TASKS_H

#include "profiles/capture/snapshot.h"

#include <weft/dump.h>

/* Takes a snapshot, which callers at the same time share. Returns 0; WEFT_ENOMEM; WEFT_EINVAL if no
 * run is under way. put gives it back; NULL does nothing. */
int weft__snapshot_get(const struct weft__snapshot **out);
void weft__snapshot_put(const struct weft__snapshot *s);

/* Writes a snapshot in a form; the sink may wait. The caller's task comes first. */
int weft__tasks_write(const struct weft__snapshot *s, enum weft_dump_form form,
                      const struct weft__sink *to);

/* Declares a blocking call if the caller is about to look at so many tasks that it takes long.
 * Returns true if it did: then weft__stand_back, or any other call of the library, ends the
 * blocking call. Returns false while threads are short, too: a wait for one could last for ever. */
bool weft__stand_aside(size_t tasks);
void weft__stand_back(void);

/* Makes this file the runtime's reporter. */
void weft__capture_attach(void);

/* Takes a snapshot that is not shared; NULL without memory. One caller at a time. For tests. */
const struct weft__snapshot *weft__snapshot_take(void);
void weft__snapshot_free(const struct weft__snapshot *s);

#endif
