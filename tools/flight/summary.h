/* SPDX-License-Identifier: MIT */
/* summary.h - the text that weft-flight shows: the last events of each task, and which task waited
 * for which at the end. */
#ifndef WEFT_TOOLS_SUMMARY_H
#define WEFT_TOOLS_SUMMARY_H

#include "profiles/trace/settle.h"
#include "profiles/trace/words.h"

/* Prints the summary of n events to standard output. Returns false if memory ran out. */
bool summary_print(const struct weft__settled *list, size_t n,
                   const struct weft__trace_words *words);

#endif
