/* SPDX-License-Identifier: MIT */
/* tasks.h - makes a snapshot of a program's tasks, from outside.
 *
 * The snapshot has the form that the library's own have (profiles/capture/snapshot.h), so the same
 * renderers write it. It is no consistent cut if the process runs meanwhile: each task is as it was
 * when it was read. */
#ifndef WEFT_TOOLS_TASKS_H
#define WEFT_TOOLS_TASKS_H

#include "profiles/capture/snapshot.h"
#include "tools/dump/program.h"

/* Reads all tasks. progress: says on stderr, each second, how many were read. Returns NULL, or a
 * text that says what went wrong. Nothing is freed before the end of the program. */
const char *tasks_read(struct weft__snapshot *s, struct program *p, bool progress);

#endif
