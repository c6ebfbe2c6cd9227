/* SPDX-License-Identifier: MIT */
/* marks.h - marks: numbers in the place of return addresses, which are shown by their names.
 *
 * HELD_BY and MADE_FOR stand between two stacks. weft__walk_close puts the other two into a stack:
 *   CUT     frames are missing here: the stack was too deep to keep, or the walk ended before the
 *           outermost function
 *   GUESS   the frames behind it, towards the outermost, are guesses: see weft__walk.guessed
 * All tables and formats take marks for frames. So a stack keeps its marks everywhere, and a cut
 * stack is never counted with a whole one. Any thread; the functions change only the walk that is
 * given. */
#ifndef WEFT_MARKS_H
#define WEFT_MARKS_H

#include <stddef.h>
#include <stdint.h>

#define WEFT__MARK_HELD_BY  ((uintptr_t)2)
#define WEFT__MARK_MADE_FOR ((uintptr_t)3)
#define WEFT__MARK_CUT      ((uintptr_t)4)
#define WEFT__MARK_GUESS    ((uintptr_t)5)
/* Of the profile of CPU time (account/cpu.c): the outermost frame of a worker's own stack, or the
 * only frame where there is no stack. */
#define WEFT__MARK_SCHEDULER ((uintptr_t)6)
#define WEFT__MARK_IDLE      ((uintptr_t)7)
#define WEFT__MARK_SWITCH    ((uintptr_t)8)
#define WEFT__MARK_LOST      ((uintptr_t)9)
#define WEFT__MARK_UNSAMPLED ((uintptr_t)10)

#define WEFT__HELD_BY  "-- held by --"
#define WEFT__MADE_FOR "-- made for --"
#define WEFT__CUT      "-- frames elided --"
#define WEFT__GUESS    "-- guessed callers --"

/* Returns the name of a mark; NULL if ret is an address. */
static inline const char *weft__mark_name(uintptr_t ret)
{
    static const char *const names[] = {
        [WEFT__MARK_HELD_BY] = WEFT__HELD_BY,
        [WEFT__MARK_MADE_FOR] = WEFT__MADE_FOR,
        [WEFT__MARK_CUT] = WEFT__CUT,
        [WEFT__MARK_GUESS] = WEFT__GUESS,
        [WEFT__MARK_SCHEDULER] = "weft.scheduler",
        [WEFT__MARK_IDLE] = "weft.idle",
        [WEFT__MARK_SWITCH] = "weft.switch",
        [WEFT__MARK_LOST] = "weft.lost",
        [WEFT__MARK_UNSAMPLED] = "weft.unsampled",
    };

    return ret < sizeof(names) / sizeof(*names) ? names[ret] : NULL;
}

struct weft__walk;

/* Drops the two outermost frames of a task's stack, weft__task_main and weft__ctx_entry. */
void weft__drop_entry(struct weft__walk *walk);
/* Makes a finished walk ready for tables and formats: drops the entry's two frames, and puts marks
 * where frames are missing, and before frames that are guesses (walk->guessed). Called once for
 * each walk of a task that is kept or shown; a walk that missed a rule is finished before. */
void weft__walk_close(struct weft__walk *walk);

#endif
