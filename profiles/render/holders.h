/* SPDX-License-Identifier: MIT */
/* holders.h - writes the head of a report: which tasks wait for each other in a cycle, and which
 * task holds each lock that tasks wait for. */
#ifndef WEFT_HOLDERS_H
#define WEFT_HOLDERS_H

#include "profiles/capture/snapshot.h"

/* Writes the cycles of tasks that wait for locks, onces and groups; then a line for each other lock
 * or once that a task of s waits for; then an empty line. Writes nothing if there is none. s must
 * have been taken just now, since where a lock was taken, and the group of a task, are read as they
 * are now. May wait for the symbolizer and for the sink: no lock held. Returns 0, the sink's
 * negative code, or -ENOMEM. */
int weft__holders_text(const struct weft__snapshot *s, const struct weft__sink *to);

#endif
