/* SPDX-License-Identifier: MIT */
/* frame_text.h - the text of a frame in a dump of tasks, by its PC.
 *
 * Text is kept by PC, not by stack. A million tasks with a million distinct stacks share a few
 * thousand PCs, so memory depends on the size of the program only.
 *
 * One dump owns a cache of texts and uses it in one task or thread, with no lock held: a PC that is
 * new in the dump is named by the symbolizer. */
#ifndef WEFT_FRAME_TEXT_H
#define WEFT_FRAME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weft__frame_kind {
    /* A frame of a stack, after those inlined into it: "f(...)\n\t/a.c:3 +0x1f\n" each. */
    WEFT__FRAME_CALLED,
    /* The frame that created a task: "created by f", and from mid on "\n\t/a.c:3 +0x1f\n". */
    WEFT__FRAME_CREATOR,
};

/* The line of debug=2 and debug=3 where frames are missing. */
#define WEFT__ELIDED "...additional frames elided...\n"

struct weft__frame_texts;

struct weft__frame_text {
    const char *text; /* not terminated; valid until the next call; NULL if memory ran out */
    uint32_t n, mid;  /* length; for CREATOR where the second part begins */
    bool internal;    /* all its functions are internal to the runtime */
    bool call;        /* one of them is a call of the library that programs make */
};

/* Makes a cache. plain: file names are written as they are; else they are made to fit readers that
 * take only .c, .go and .s. Returns NULL if memory ran out. */
struct weft__frame_texts *weft__frame_texts_new(enum weft__frame_kind kind, bool plain);
void weft__frame_texts_free(struct weft__frame_texts *l);

/* Returns the text for a return address: it shows the line of the call before that address. A mark
 * (marks.h) gives a frame without a line, or WEFT__ELIDED. May wait for the symbolizer. */
struct weft__frame_text weft__frame_text_of(struct weft__frame_texts *l, uintptr_t ret);

/* Returns whether a function is internal to the runtime, by its name. Dumps hide such frames at the
 * inner end of a stack, as Go hides runtime frames. */
bool weft__frame_is_internal(const char *function);
/* Returns whether a function is a call of the library that programs make, by its name. Between it
 * and the internal frames there are at most WEFT__FRAME_STATICS static functions of the library,
 * which are hidden, too. */
bool weft__frame_is_call(const char *function);
enum { WEFT__FRAME_STATICS = 3 };
/* Returns the index of the first of n addresses of a stack that is shown: a call of the library
 * that the program made, or the first function that is not internal; 0 if all are. function names
 * the function that an address is in. */
size_t weft__frame_first(const char *(*function)(const void *arg, size_t i), const void *arg,
                         size_t n);

#endif
