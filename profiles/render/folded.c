/* SPDX-License-Identifier: MIT */
/* folded.c - a profile as folded stacks, which flamegraph.pl, inferno and speedscope read.
 *
 *   main;serve;handle 120
 *
 * A line is a stack, from its outermost function to the innermost, and one value: that of the type
 * which readers show first. The lines add up to the profile's total. A line of the change in a time
 * may have a value below 0. Owns nothing. */
#include "profiles/render/calltree.h"

#include <errno.h>
#include <stdlib.h>

/* Writes a name so that it cannot be taken for two of them, or for two lines. */
static void put_name(struct weft__out *o, const char *name)
{
    for (; *name; name++) {
        if (*name == ';')
            weft__out_char(o, ':');
        else
            weft__out_clean(o, name, 1);
    }
}

static void put_line(struct weft__out *o, const char *const *path, uint32_t depth, int64_t value)
{
    for (uint32_t i = 0; i < depth; i++) {
        put_name(o, path[i]);
        weft__out_char(o, i + 1 < depth ? ';' : ' ');
    }
    weft__out_int(o, value);
    weft__out_char(o, '\n');
}

void weft__folded_write(struct weft__calltree *t)
{
    const char **path = calloc(t->depth + 1u, sizeof(*path));
    uint32_t i = 0, depth = 0;

    if (!path) {
        t->out->rc = -ENOMEM;
        return;
    }
    while ((i = weft__calltree_next(t, i, &depth)) && t->out->rc == 0) {
        path[depth - 1] = weft__call_name(t, i);
        if (weft__call_value(t, i, t->shown))
            put_line(t->out, path, depth, weft__call_value(t, i, t->shown));
    }
    free(path);
}
