/* SPDX-License-Identifier: MIT */
/* names.h - the strings and stacks that a trace refers to by number, for the writers of formats.
 *
 * A table gives each string and each stack a number, from 1 on, and hands out what was not written
 * yet. So one table serves a format that has one set of numbers, and a table that is emptied for
 * each part serves a format that has a set for each. One thread uses a table; naming a stack waits
 * for the symbolizer. */
#ifndef WEFT_TRACE_NAMES_H
#define WEFT_TRACE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/base.h"

enum { WEFT__NAME_MOST = 1024, WEFT__FRAMES_MOST = 128 };

/* The words for stacks and functions; NULL, as it is at first: those of the tape and of this
 * process. weft-flight sets it before it makes a table. */
struct weft__trace_words;
extern WEFT__HIDDEN const struct weft__trace_words *weft__names_words;

struct weft__named_frame {
    uint64_t pc; /* differs for each function, file and line */
    uint32_t function, file, line;
};

typedef struct weft__names weft__names;

weft__names *weft__names_new(void); /* NULL: memory ran out */
void weft__names_end(weft__names *n);
/* Forgets all numbers. */
void weft__names_clear(weft__names *n);

/* Returns the number of a string, of at most WEFT__NAME_MOST bytes; longer ones lose their front.
 * 0: it is empty, or memory ran out. */
uint32_t weft__names_string(weft__names *n, const char *s);
/* Return the number of a stack: of the tape's, as the program's function called the library; of the
 * outermost frame of that; of one function alone, such as a task's entry; of one name that is no
 * function. 0: none. */
uint32_t weft__names_stack(weft__names *n, uint32_t tape_stack);
uint32_t weft__names_outermost(weft__names *n, uint32_t tape_stack);
uint32_t weft__names_function(weft__names *n, uint64_t address);
uint32_t weft__names_alone(weft__names *n, const char *name);

/* Returns the number of a text with all labels of a set (table/labelset.h): "route=/a tenant=7"; of
 * a record those of the task. 0: there are none. */
uint32_t weft__names_labels(weft__names *n, uint64_t task, uint32_t set);

/* The next string or stack that was not handed out since it got its number; NULL or 0 frames: no
 * more. Handing out a stack may number strings. */
const char *weft__names_next_string(weft__names *n, uint32_t *id);
size_t weft__names_next_stack(weft__names *n, uint32_t *id,
                              struct weft__named_frame frames[WEFT__FRAMES_MOST]);

#endif
