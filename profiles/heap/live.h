/* SPDX-License-Identifier: MIT */
/* live.h - the set of live samples, by address.
 *
 * Any thread may call these functions at any time, also in a signal handler: they take no lock, and
 * get memory from mmap alone. An address is in the set once at most: the caller adds it after the
 * block was allocated and removes it before the block is freed. */
#ifndef WEFT_HEAP_LIVE_H
#define WEFT_HEAP_LIVE_H

#include "profiles/heap/component.h"

/* Returns false if memory ran out. */
bool weft__heap_live_add(uintptr_t address, const struct weft__heap_sample *s);
/* Returns false if address is not in the set. */
bool weft__heap_live_remove(uintptr_t address, struct weft__heap_sample *s);
/* Calls fn for each sample that is in the set all the time. */
void weft__heap_live_each(void (*fn)(void *arg, const struct weft__heap_sample *s), void *arg);
size_t weft__heap_live_bytes(void); /* mapped for the set */

#endif
