/* SPDX-License-Identifier: MIT */
/* stack_text.h - a stack as the text profiles (debug=1) of all kinds show it. */
#ifndef WEFT_STACK_TEXT_H
#define WEFT_STACK_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "profiles/render/output.h"

/* " 0x2 0x1" and a line end: the return addresses of the data line, 0x0 if there are none, since
 * readers refuse a line without. shift is added to each. */
void weft__listing_addresses(struct weft__out *o, const uintptr_t *rets, size_t n, uintptr_t shift);
/* Orders two stacks as the texts of their data lines. */
int weft__listing_compare(const uintptr_t *a, size_t n_a, uintptr_t shift_a, const uintptr_t *b,
                          size_t n_b, uintptr_t shift_b);
/* The "#" lines below, in aligned columns; the runtime's own frames at the inner end are passed
 * over unless there are no others. */
void weft__listing_frames(struct weft__out *o, const uintptr_t *rets, size_t n, uintptr_t shift);

/* The first of them that says where it is, not how the library works: its call, or the caller. */
size_t weft__listing_first(const uintptr_t *rets, size_t n, uintptr_t shift);
/* The first that is not the library's at all, if there is one; else as first. */
size_t weft__listing_caller(const uintptr_t *rets, size_t n);

#endif
