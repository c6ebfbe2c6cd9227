/* SPDX-License-Identifier: MIT */
/* learned.c - forgets rules and symbols of files that are gone.
 *
 * Owns: the count of how often it did, which is atomic. The symbolizer's thread forgets; any thread
 * may ask for the count. */
#include "profiles/walk/learn.h"

#include <stdatomic.h>

#include "profiles/walk/rows.h"
#include "profiles/walk/ruletable.h"

/* How often rules were forgotten. The add pairs with the load in weft__learned_age: a thread that
 * sees the new age no longer finds the forgotten rules. */
static _Atomic uint32_t age;

void weft__learned_forget(uintptr_t lo, uintptr_t hi)
{
    weft__rows_drop(lo, hi); /* before the table, which is filled from them */
    weft__rule_drop(lo, hi);
    weft__symbols_float(lo, hi);
    atomic_fetch_add_explicit(&age, 1, memory_order_release);
}

/* async-signal-safe */
uint32_t weft__learned_age(void)
{
    return atomic_load_explicit(&age, memory_order_acquire);
}
