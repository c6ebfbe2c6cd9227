/* SPDX-License-Identifier: MIT */
/* summary.h - the text that weft-flight shows: the state of tasks at the end, which task waited for
 * which, and the last events of each. It goes to standard output. */
#ifndef WEFT_TOOLS_SUMMARY_H
#define WEFT_TOOLS_SUMMARY_H

#include "profiles/trace/settle.h"
#include "profiles/trace/words.h"

typedef struct summary summary;

/* Sorts n events; borrows them, and the words. Returns NULL if memory ran out. */
summary *summary_new(const struct weft__settled *list, size_t n,
                     const struct weft__trace_words *words);
void summary_free(summary *s);
/* Sets the times of the first and of the last event, in monotonic nanoseconds; 0: there is none. */
void summary_times(const summary *s, int64_t *from, int64_t *until);
bool summary_print(const summary *s); /* returns false if memory ran out */
/* Prints all events of one task. Returns false if there are none. */
bool summary_print_task(const summary *s, uint64_t task);

#endif
