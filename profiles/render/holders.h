/* SPDX-License-Identifier: MIT */
/* holders.h - writes the head of a report: cycles of waiting, the locks that tasks wait for, and
 * their holders. */
#ifndef WEFT_HOLDERS_H
#define WEFT_HOLDERS_H

#include "profiles/capture/snapshot.h"

/* Writes the cycles of tasks that wait for locks, onces and groups; then a line for each other lock
 * and once that a task of s waits for; then an empty line. Writes nothing if there is none. For a
 * snapshot taken just now: where a lock was taken, and the group of a task, are read as they are.
 * Returns 0, the sink's negative code, or -ENOMEM. */
int weft__holders_text(const struct weft__snapshot *s, const struct weft__sink *to);

#endif
