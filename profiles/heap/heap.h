/* SPDX-License-Identifier: MIT */
/* heap.h - sampling of allocations: its rate, its state, and where it hears of blocks.
 *
 * Any thread may call these functions at any time. */
#ifndef WEFT_HEAP_H
#define WEFT_HEAP_H

#include "profiles/heap/component.h"

enum { WEFT__HEAP_RATE = 512 * 1024 /* Go's */ };

enum weft__heap_state {
    WEFT__HEAP_SAMPLING,
    WEFT__HEAP_JEMALLOC,   /* not linked, but jemalloc takes samples of its own */
    WEFT__HEAP_OFF,        /* the rate is 0 */
    WEFT__HEAP_NOT_LINKED, /* the component is not in the program */
    WEFT__HEAP_NOT_ACTIVE, /* it is, but another malloc serves the program */
};

enum weft__heap_state weft__heap_state(void);
/* Writes one line: the state and, unless it is sampling, how to mend it. */
void weft__heap_state_text(char *to, size_t size);
int64_t weft__heap_rate(void);
int64_t weft__heap_period(void); /* the last rate that was not 0 */
/* Returns the file whose malloc serves the program, behind the component if that is there. */
const char *weft__heap_server(void);
/* Returns how many samples were not kept, or kept without a stack, since memory ran out. */
uint64_t weft__heap_lost(void);

/* sample.c, for feeds.c: the hooks of the component. */
extern const struct weft__heap_hooks weft__heap_hooks;
void weft__heap_rate_set(int64_t bytes);
/* Without a component: counts the n bytes of a block at key, and takes a sample of it if it is due;
 * removes a sample. async-signal-safe */
void weft__heap_seen(uintptr_t key, size_t n);
void weft__heap_gone(uintptr_t key);

#endif
