/* SPDX-License-Identifier: MIT */
/* marks.c - see marks.h. Owns nothing: it works on the walk that its caller gives it, on any
 * thread. */
#include "profiles/table/marks.h"

#include "profiles/walk/unwind.h"
#include "runtime/machine/ctx.h"

#include <string.h>

void weft__drop_entry(struct weft__walk *walk)
{
    if (walk->kept > 2 && walk->pcs[walk->kept - 1] - (uintptr_t)weft__ctx_entry < 32) {
        walk->kept -= 2;
        walk->depth -= 2;
    }
}

static void insert(struct weft__walk *walk, uint32_t at, uintptr_t mark)
{
    memmove(walk->pcs + at + 1, walk->pcs + at, (walk->kept - at) * sizeof(walk->pcs[0]));
    walk->pcs[at] = mark;
    walk->kept++;
}

void weft__walk_close(struct weft__walk *walk)
{
    uint32_t guessed = walk->guessed, missing;

    if (walk->kept == 0)
        return;
    weft__drop_entry(walk);
    missing = walk->depth - walk->kept;
    if (missing > 0)
        insert(walk, WEFT__WALK_INNER, WEFT__MARK_CUT);
    if (guessed < walk->depth && missing > 0 && guessed >= WEFT__WALK_INNER)
        guessed =
            guessed < WEFT__WALK_INNER + missing ? WEFT__WALK_INNER + 1 : guessed - missing + 1;
    if (guessed < walk->depth)
        insert(walk, guessed, WEFT__MARK_GUESS);
    if (!walk->whole)
        walk->pcs[walk->kept++] = WEFT__MARK_CUT;
}
