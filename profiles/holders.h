/* SPDX-License-Identifier: MIT */
/* holders.h - writes the head of a report: the locks that tasks wait for, and their holders. */
#ifndef WEFT_HOLDERS_H
#define WEFT_HOLDERS_H

#include "snapshot.h"

/* Writes a line for each lock that a task of s waits for, cycles of waiting first, and an empty
 * line after them; nothing if there is none. For a snapshot taken just now: where a lock was taken
 * is read as it is. 0, the sink's negative code, or -ENOMEM. */
int weft__holders_text(const struct weft__snapshot *s, const struct weft__sink *to);

#endif
