/* SPDX-License-Identifier: MIT */
/* view.h - the content of the screen: groups of tasks, and stacks that held locks.
 *
 * A view is made by one thread and does not change afterwards. */
#ifndef WEFT_TOOLS_VIEW_H
#define WEFT_TOOLS_VIEW_H

#include "tools/top/fetch.h"

#include <stdbool.h>
#include <stdint.h>

enum tab { TAB_TASKS, TAB_LOCKS, TABS };

/* Of TASKS: the tasks with one stack and one reason of their wait. Of LOCKS: the unlocks from one
 * stack for which others waited. */
struct row {
    uint64_t key;         /* of stack and reason; the same in later views */
    const char *reason;   /* or the state of tasks that do not wait */
    const char *function; /* the innermost of the program's own */
    char *stack;          /* a line for each function, innermost first */
    double count;         /* tasks; waits since the program began */
    double wait;          /* ns: the longest wait; all waiting since the program began */
    double rate;          /* a second: change of count; ns of waiting */
};

struct view {
    struct row *rows[TABS];
    size_t n[TABS];
    int64_t taken;   /* monotonic ns */
    char head[160];  /* numbers of the whole program */
    char error[128]; /* "": none */
    char **texts;    /* that the rows point to */
    size_t n_texts;
};

/* Makes a view of the program as it is now; before is the last one, for the rates, or NULL. With an
 * error, rows are missing. Returns NULL if there is no memory. */
struct view *view_take(const struct source *s, const struct view *before);
void view_free(struct view *v);

#endif
