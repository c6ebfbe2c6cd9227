/* SPDX-License-Identifier: MIT */
/* tasks.h - takes snapshots of all tasks, and writes them.
 *
 * A task, or a foreign thread in a run, may call these functions, with no lock held. A snapshot
 * takes as long as the slowest stack, and keeps the caller's thread; a long one is declared as a
 * blocking call, so that other tasks run meanwhile. weft__snapshot_put may be called by any thread.
 * */
#ifndef WEFT_TASKS_H
#define WEFT_TASKS_H

#include "profiles/capture/snapshot.h"

#include <weft/dump.h>

/* Takes a snapshot, or shares the one that is just being taken. Returns 0; WEFT_ENOMEM; WEFT_EINVAL
 * if no run is under way. weft__snapshot_put gives it back; it does nothing for NULL. */
int weft__snapshot_get(const struct weft__snapshot **out);
void weft__snapshot_put(const struct weft__snapshot *s);

/* Writes a snapshot in a form, with the caller's task first. The sink may wait. */
int weft__tasks_write(const struct weft__snapshot *s, enum weft_dump_form form,
                      const struct weft__sink *to);

/* Declares a blocking call if the caller is about to look at so many tasks that it takes long, so
 * that its processor runs other tasks. Returns true if it did: then weft__stand_back, or any other
 * call of the library, ends the blocking call. Returns false as well while threads are short, since
 * the wait for a thread could then last for ever. */
bool weft__stand_aside(size_t tasks);
void weft__stand_back(void);

/* Makes tasks.c the runtime's reporter (runtime/sched/observe.h). Called once, before the first
 * run. */
void weft__capture_attach(void);

/* For tests: takes a snapshot that is not shared. One caller at a time. Returns NULL if memory ran
 * out. */
const struct weft__snapshot *weft__snapshot_take(void);
void weft__snapshot_free(const struct weft__snapshot *s);

#endif
