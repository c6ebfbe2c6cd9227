/* SPDX-License-Identifier: MIT */
/* screen.h - draws a view in the terminal, and acts on keys. One thread. */
#ifndef WEFT_TOOLS_SCREEN_H
#define WEFT_TOOLS_SCREEN_H

#include "tools/top/view.h"

enum sort { SORT_COUNT, SORT_WAIT, SORT_RATE, SORTS };
enum wish { WISH_NOTHING, WISH_QUIT, WISH_DUMP, WISH_NOW };

struct screen {
    enum tab tab;
    enum sort sort;
    uint64_t chosen;     /* key of the row under the cursor; 0: the first */
    uint64_t open;       /* key of the row whose stack is shown; 0: none */
    bool paused, asking; /* asking: the keys go to the filter */
    char filter[64];
    char message[160]; /* of the last line; cleared by a key */
    const char *addr;
    /* The rows that are shown, in their order; made by screen_draw. */
    const struct row **shown;
    size_t n_shown, top;
};

void screen_open(struct screen *s);
void screen_close(void);
void screen_draw(struct screen *s, const struct view *v);
/* Acts on a key of getch. Returns a wish that the caller fulfils. */
enum wish screen_key(struct screen *s, int key);

#endif
