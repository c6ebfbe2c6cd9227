/* SPDX-License-Identifier: MIT */
/* frame_text.h - the text of a PC in a task dump, formatted once a dump and copied ever after.
 *
 * A million tasks with a million distinct stacks share a few thousand PCs, so text is kept by PC,
 * not by stack: memory stays bounded by the size of the program. One dump owns a cache. */
#ifndef WEFT_FRAME_TEXT_H
#define WEFT_FRAME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weft__frame_kind {
    WEFT__FRAME_CALLED,  /* the frame and those inlined into it: "f(...)\n\t/a.c:3 +0x1f\n" each */
    WEFT__FRAME_CREATOR, /* "created by f", and from mid on "\n\t/a.c:3 +0x1f\n" */
};

/* The line of debug=2 and debug=3 where frames are missing. */
#define WEFT__ELIDED "...additional frames elided...\n"

struct weft__frame_texts;

struct weft__frame_text {
    const char *text; /* not terminated; valid until the next call; NULL if memory ran out */
    uint32_t n, mid;
    bool internal; /* every function named is the runtime's own */
    bool call;     /* one is the library's call that a program made */
};

/* plain: file names as they are, not made fit for readers that take only .c, .go and .s. */
struct weft__frame_texts *weft__frame_texts_new(enum weft__frame_kind kind, bool plain);
void weft__frame_texts_free(struct weft__frame_texts *l);

/* The text of a return address; the place shown is that of the call before it. Of a mark (marks.h):
 * a frame without a place, or WEFT__ELIDED. */
struct weft__frame_text weft__frame_text_of(struct weft__frame_texts *l, uintptr_t ret);

/* Returns whether dumps hide this name at the inner end of a stack, as Go hides runtime frames. */
bool weft__frame_is_internal(const char *function);
/* Returns whether this is the name of a call of the library. Between the call and the hidden frames
 * stand at most WEFT__FRAME_STATICS frames of its own, which tell no more and are hidden, too. */
bool weft__frame_is_call(const char *function);
enum { WEFT__FRAME_STATICS = 3 };

#endif
