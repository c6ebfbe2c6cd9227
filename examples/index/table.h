/* SPDX-License-Identifier: MIT */
/* table.h - texts and how often each was met; shared by any number of tasks. */
#ifndef EXAMPLES_TABLE_H
#define EXAMPLES_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <weft.h>

struct slice {
    const char *text;
    size_t len;
};

struct entry {
    uint64_t hash;        /* constant, as are len and text */
    _Atomic size_t count; /* rises under the read lock */
    size_t len;
    char text[]; /* ends with a 0 */
};

/* All zero is an empty table. */
struct table {
    weft_rwmutex mu; /* guards n, cap and slots */
    size_t n, cap;   /* cap is 0 or a power of two, n at most half of it */
    struct entry **slots;
};

/* Counts each of the n texts once; texts comes back in another order. */
void table_add(struct table *t, struct slice *texts, size_t n);

/* Writes the most frequent entries to top, best first, equal ones by text. Returns their number.
 * This function and the next are for a table to which no task adds any more. */
size_t table_top(const struct table *t, const struct entry **top, size_t n);
void table_free(struct table *t);

/* Returns zeroed memory, or ends the program with a line on stderr. */
void *must_alloc(size_t n, size_t size);
__attribute__((noreturn)) void out_of_memory(void);

#endif
