/* SPDX-License-Identifier: MIT */
/* dump.h - writes a snapshot in each form of weft_dump. The sink may wait, so the callers hold no
 * lock. */
#ifndef WEFT_RENDER_DUMP_H
#define WEFT_RENDER_DUMP_H

#include "profiles/capture/tasks.h"

/* Writes a snapshot, with the task `first` first. Returns 0, the sink's negative code, or
 * -ENOMEM. */
int weft__tasks_render(const struct weft__snapshot *s, uint64_t first, const struct weft__sink *to,
                       enum weft_dump_form form);
/* Does the same, with the caller's task first, and declares a blocking call if that takes long. */
int weft__tasks_write(const struct weft__snapshot *s, enum weft_dump_form form,
                      const struct weft__sink *to);

#endif
