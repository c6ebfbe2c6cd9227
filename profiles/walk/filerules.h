/* SPDX-License-Identifier: MIT */
/* filerules.h - the learning of all rules of the loaded files, in short pieces of work.
 *
 * The symbolizer thread alone calls these. */
#ifndef WEFT_FILERULES_H
#define WEFT_FILERULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses in files. */
struct weft__places {
    uintptr_t *at; /* of malloc; NULL: none */
    size_t n;
};

/* Has the files that are loaded at these addresses learned, and takes over the list. Files of an
 * earlier list that were not begun are left out. */
void weft__files_want(struct weft__places *places);
/* Has the file at this address learned, too, unless it is. */
void weft__files_want_one(uintptr_t addr);
/* Learns for some 0.3 ms. Returns false if all is learned. */
bool weft__files_work(void);
/* Drops what is not finished. */
void weft__files_leave(void);

#endif
