/* SPDX-License-Identifier: MIT */
/* rows.h - the unwind rules of whole files, as rows: "from this address on, this rule".
 *
 * The symbolizer thread makes a file's block of rows (filerules.c). Any thread finds the rule of an
 * address in it, in some 10 to 20 ns. */
#ifndef WEFT_ROWS_H
#define WEFT_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/walk/learn.h"

/* Rows of all files at most; a file that does not fit is left to libdw, PC by PC. */
enum { WEFT__ROWS_MOST = 1 << 23 };

/* Returns the rule of the instruction at addr, which never changes and is never freed; one with
 * WEFT__RULE_NONE if its file says nothing of addr. Returns NULL if the file's rows are not
 * learned, or if they leave addr to libdw. Takes no lock and writes nothing. async-signal-safe */
const struct weft__rule *weft__rows_find(uintptr_t addr);

/* Returns how many rows there are. bytes receives the memory of their blocks and of the rules. */
uint32_t weft__rows_count(size_t *bytes);

/* The rest is for the symbolizer thread. */

/* Returns the number by which rows name a rule; 0, which leaves the address to libdw, if there are
 * too many rules, or if memory ran out. */
uint16_t weft__rule_id(const struct weft__rule *r);

/* Adds a block for the file in [start, end), which overlaps no other: n rows, sorted by their
 * offset from start. Returns false if there is no room for it. */
bool weft__rows_publish(uintptr_t start, uintptr_t end, const uint32_t *offsets,
                        const uint16_t *ids, uint32_t n);
/* Drops the blocks of all files that overlap [lo, hi). */
void weft__rows_drop(uintptr_t lo, uintptr_t hi);
/* How many seconds pass before the memory of a dropped block is used again. Tests set less. */
extern int64_t weft__rows_rest;

#endif
