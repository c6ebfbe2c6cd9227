/* SPDX-License-Identifier: MIT */
/* learned.c - forgets rules and symbols of files that are gone.
 *
 * Owns: weft__learned_forgets. The symbolizer's thread forgets; any thread
 * may ask for the count. */
#include "profiles/walk/learn.h"

#include "profiles/walk/rows.h"
#include "profiles/walk/ruletable.h"

/* The add pairs with the load in weft__learned_age: a thread that sees the new age no longer finds
 * the forgotten rules. */
uint32_t weft__learned_forgets;

void weft__learned_forget(uintptr_t lo, uintptr_t hi)
{
    weft__rows_drop(lo, hi); /* before the table, which is filled from them */
    weft__rule_drop(lo, hi);
    weft__symbols_float(lo, hi);
    weft__add(&weft__learned_forgets, 1);
}
