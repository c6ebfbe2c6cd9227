/* SPDX-License-Identifier: MIT */
/* heap_text.h - reads the heap profile's text, for the tests of it. The main task of a test calls
 * these functions. */
#ifndef WEFT_TESTS_HEAP_TEXT_H
#define WEFT_TESTS_HEAP_TEXT_H

/* The samples of a function. */
struct heap_sums {
    long long live, live_bytes, allocs, alloc_bytes;
};

/* Samples each block from now on, until one of the functions below is called: the symbolizer's own
 * blocks are many. Frees are seen as before. */
void heap_exact(void);
/* Returns the text of the heap profile for free(). */
char *heap_text(void);
/* Adds up the records of a text that have this frame. */
struct heap_sums heap_sums_of(const char *text, const char *frame);
struct heap_sums heap_sums_now(const char *frame);
/* Checks the sums of the records that have this frame now. */
void heap_check(const char *frame, long long live, long long live_bytes, long long allocs,
                long long alloc_bytes);

#endif
