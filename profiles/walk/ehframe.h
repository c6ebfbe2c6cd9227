/* SPDX-License-Identifier: MIT */
/* ehframe.h - all unwind rules of a file, by its .eh_frame. */
#ifndef WEFT_EHFRAME_H
#define WEFT_EHFRAME_H

#include "profiles/walk/learn.h"

/* Larger files are left to libdw, PC by PC. */
enum { WEFT__CFI_MOST = 1 << 22, WEFT__CFI_BYTES = 1 << 28 };

/* A pair of the table in .eh_frame_hdr, sorted by pc. Both are counted from the header. */
struct weft__cfi_pair {
    int32_t pc, fde;
};

/* A copy of a file's .eh_frame and its header. The file may be unloaded meanwhile. */
struct weft__cfi {
    uintptr_t header; /* where the file has them */
    uintptr_t at;
    struct weft__cfi_pair *pairs; /* one for each function */
    uint32_t n;
    unsigned char *copy; /* of .eh_frame */
    size_t size;
};

/* Copies what is at header, the address of an .eh_frame_hdr. Returns false if it has a form that is
 * not known, if it is gone, or if memory ran out. Any thread. */
bool weft__cfi_copy(struct weft__cfi *c, const void *header);
void weft__cfi_free(struct weft__cfi *c);
/* Returns whether .eh_frame still is in memory as it was copied. Any thread. */
bool weft__cfi_is_there(const struct weft__cfi *c);

/* From pc on, up to the next call, code has this rule. r is NULL where the rule must be asked of
 * libdw. */
typedef void weft__row_fn(void *arg, uintptr_t pc, const struct weft__rule *r);

/* Tells the rows of function i < n, by ascending pc. The end of its code is told as a row without a
 * rule (WEFT__RULE_NONE), unless the next function begins there or before. */
void weft__cfi_rows(const struct weft__cfi *c, uint32_t i, weft__row_fn *row, void *arg);

#endif
