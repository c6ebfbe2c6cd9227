/* SPDX-License-Identifier: MIT */
/* memory.h - the numbers of Go's MemStats, as far as C can know them. Any thread may ask, with no
 * lock held. */
#ifndef WEFT_MEMORY_H
#define WEFT_MEMORY_H

#include <stdint.h>

/* A value that is not known is 0. */
struct weft__memory {
    const char *from; /* says where the numbers of the heap come from */
    uint64_t alloc, sys;
    const char *counts_from;              /* says where the next ones come from */
    uint64_t total_alloc, mallocs, frees; /* so far */
    uint64_t heap_sys, heap_idle, heap_inuse, heap_released;
    uint64_t stack_inuse, stack_sys; /* of tasks */
    uint64_t buck_hash_sys;          /* tables of the heap profile */
    uint64_t other_sys;              /* records of tasks */
};

/* Any thread, with no lock held. */
void weft__memory_read(struct weft__memory *m);

#endif
