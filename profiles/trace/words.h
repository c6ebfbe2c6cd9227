/* SPDX-License-Identifier: MIT */
/* words.h - how an encoder learns the words for the numbers in events: of the process that it runs
 * in, or of one that has left a record (flight.h).
 *
 * Strings that these functions return stay until the same function is called for something else;
 * all labels of a task stay together. */
#ifndef WEFT_TRACE_WORDS_H
#define WEFT_TRACE_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct weft__trace_frame {
    uint64_t pc; /* the address, or mark; another one for each frame that is inlined there */
    const char *function, *file; /* file: NULL if it is not known */
    uint32_t line;
};

enum { WEFT__TRACE_FRAMES = 128 };

/* The name of a task that is the record of a thread that is no worker. */
#define WEFT__THREAD_NAME "thread of the program"

struct weft__trace_words {
    void *arg;
    const char *program;
    int pid;
    /* Writes the frames of a stack, innermost first. Returns how many; WEFT__TRACE_FRAMES at
     * most. */
    size_t (*frames)(void *arg, uint32_t stack, struct weft__trace_frame *to);
    /* Returns the name that a task was given; NULL if it has none. */
    const char *(*task)(void *arg, uint64_t task);
    /* Sets a label of a task, the i-th. Returns 0 if it has no more. */
    int (*label)(void *arg, uint64_t task, unsigned i, const char **key, const char **value);
    /* Returns the name of the function that begins at fn. */
    const char *(*function)(void *arg, uint64_t fn);
    /* Converts a moment in ticks to monotonic nanoseconds. */
    int64_t (*nanos)(void *arg, int64_t ticks);
};

/* Writes the frames of a symbol, innermost first. Returns how many, of most. flight_words.c */
struct weft__symbol;
size_t weft__trace_frames(const struct weft__symbol *s, struct weft__trace_frame *to, size_t most);
/* Writes the frames of an address of this process, innermost first. Returns how many, of most.
 * Waits for the symbolizer. flight_words.c */
size_t weft__trace_address(uint64_t pc, struct weft__trace_frame *to, size_t most);

#endif
