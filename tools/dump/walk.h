/* SPDX-License-Identifier: MIT */
/* walk.h - walks stacks of a target by libunwind's remote interface.
 *
 * One thread uses a walker; there is no lock. */
#ifndef WEFT_TOOLS_WALK_H
#define WEFT_TOOLS_WALK_H

#include "profiles/walk/unwind.h"
#include "tools/dump/program.h"

enum { WALK_WINDOW = 8192 };

struct walker {
    struct program *p;
    void *space;           /* libunwind's */
    struct registers regs; /* of the walk under way */
    uint64_t at, held;     /* the window: a copy of the stack's inner end */
    char window[WALK_WINDOW];
};

/* Returns false if there is no memory. */
bool walker_open(struct walker *w, struct program *p);
/* Walks a stack from these registers. exact: PC is an instruction that was interrupted; else it is
 * a return address. hi: the end of the stack, 0 if it is not known. own: it is a thread's own
 * stack, not a task's. The frames of the task's entry are left out, and marks (marks.h) stand where
 * frames are missing. */
void walker_walk(struct walker *w, struct weft__walk *out, const struct registers *r, bool exact,
                 uint64_t hi, bool own);

#endif
