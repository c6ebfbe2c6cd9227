/* SPDX-License-Identifier: MIT */
/* marks.h - frames that are no code: numbers in place of return addresses, shown by their names.
 *
 * HELD_BY and MADE_FOR stand between two stacks. weft__walk_close puts the other two into a
 * stack by itself:
 *   CUT     frames are missing here: the stack was too deep to keep, or the walk ended before the
 *           outermost function
 *   GUESS   the frames behind it, towards the outermost, are guesses: see weft__walk.guessed
 * All tables and formats take marks for frames. So a stack keeps its marks wherever it goes, and a
 * cut stack is never merged with a whole one. */
#ifndef WEFT_MARKS_H
#define WEFT_MARKS_H

#include <stddef.h>
#include <stdint.h>

#define WEFT__MARK_HELD_BY  ((uintptr_t)2)
#define WEFT__MARK_MADE_FOR ((uintptr_t)3)
#define WEFT__MARK_CUT      ((uintptr_t)4)
#define WEFT__MARK_GUESS    ((uintptr_t)5)

#define WEFT__HELD_BY  "-- held by --"
#define WEFT__MADE_FOR "-- made for --"
#define WEFT__CUT      "-- frames elided --"
#define WEFT__GUESS    "-- guessed callers --"

/* NULL: it is an address. */
static inline const char *weft__mark_name(uintptr_t ret)
{
    static const char *const names[] = {
        [WEFT__MARK_HELD_BY] = WEFT__HELD_BY,
        [WEFT__MARK_MADE_FOR] = WEFT__MADE_FOR,
        [WEFT__MARK_CUT] = WEFT__CUT,
        [WEFT__MARK_GUESS] = WEFT__GUESS,
    };

    return ret < sizeof(names) / sizeof(*names) ? names[ret] : NULL;
}

struct weft__walk;

/* Leaves out weft__task_main and weft__ctx_entry, in which every task's stack ends. */
void weft__drop_entry(struct weft__walk *walk);
/* Makes a finished walk fit for tables and formats: drops the entry, and puts marks where frames
 * are missing and before frames that are guesses (walk->guessed). Each walk of a task that is kept
 * or shown is closed once; a walk that missed is resumed first. */
void weft__walk_close(struct weft__walk *walk);

#endif
