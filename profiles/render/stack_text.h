/* SPDX-License-Identifier: MIT */
/* stack_text.h - writes a stack as all text profiles (debug=1) show it.
 *
 * rets are return addresses or marks (marks.h), innermost first; shift is added to each. Any task
 * or thread, with no lock held: all functions but addresses and compare may wait for the
 * symbolizer. */
#ifndef WEFT_STACK_TEXT_H
#define WEFT_STACK_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "profiles/render/output.h"

/* Writes the return addresses of the data line, " 0x2 0x1\n"; " 0x0\n" if there are none, since
 * readers refuse a line without an address. */
void weft__stack_text_addresses(struct weft__out *o, const uintptr_t *rets, size_t n,
                                uintptr_t shift);
/* Compares two stacks by the text of their data lines. */
int weft__stack_text_compare(const uintptr_t *a, size_t n_a, uintptr_t shift_a, const uintptr_t *b,
                             size_t n_b, uintptr_t shift_b);
/* Writes the "#" lines below the data line, in aligned columns. Leaves out the runtime's internal
 * frames at the inner end, unless there are no others. */
void weft__stack_text_frames(struct weft__out *o, const uintptr_t *rets, size_t n, uintptr_t shift);

/* Returns the index of the first frame that listing shows: the library's call that the program
 * made, or else the first frame that is not internal to the library; 0 if there is none. */
size_t weft__stack_text_first(const uintptr_t *rets, size_t n, uintptr_t shift);
/* Returns the index of the first frame of the program itself; if there is none, the same as
 * weft__stack_text_first. */
size_t weft__stack_text_caller(const uintptr_t *rets, size_t n);

#endif
