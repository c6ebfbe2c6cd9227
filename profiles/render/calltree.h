/* SPDX-License-Identifier: MIT */
/* calltree.h - the samples of one profile, merged into a tree of function names.
 *
 * pprof.c makes a tree in place of a profile.proto if the head asks for another form. The tree is
 * written when all samples are in it. Its memory depends on the number of distinct stacks, up to
 * WEFT__CALLS_MOST calls. One task or thread owns a tree. Adding may wait for the symbolizer, and
 * the end may wait for the sink: call both with no lock held. */
#ifndef WEFT_CALLTREE_H
#define WEFT_CALLTREE_H

#include "profiles/render/output.h"
#include "profiles/render/pprof.h"
#include "profiles/table/idmap.h"

enum { WEFT__CALLS_MOST = 1 << 20 };

/* A function in the place where its callers have called it. Indexes are of calls; 0 is the root,
 * which has no name, and, in first and next, stands for none. */
struct weft__call {
    uint32_t name; /* index of names */
    uint32_t parent, first, last, next;
};

struct weft__calltree {
    struct weft__pprof_head head; /* without comments */
    struct weft__out *out;        /* out->rc is the tree's rc */
    size_t shown;                 /* index of the type of value that readers show first */
    const char **names;           /* the strings live on: the symbolizer's, marks, file_names */
    uint32_t n_names, names_room;
    struct weft__idmap name_ids; /* by the string's address: index + 1 */
    struct weft__mapping *maps;
    size_t n_maps;
    char **file_names; /* of each mapping: the name of its addresses without one; or NULL */
    struct weft__call *calls;
    int64_t *values; /* of each call, without those below it: head.n_types for each */
    uint32_t n, room;
    struct weft__idmap call_ids; /* by parent and name: index */
    uint32_t depth;              /* of the deepest call; those below the root have 1 */
    uint64_t cut;                /* samples that lack their inner calls, since the tree was full */
};

/* These have the contracts of weft__pprof_begin, _add and _end (pprof.h), but the end writes no
 * samples. */
struct weft__calltree *weft__calltree_begin(const struct weft__pprof_head *head,
                                            const struct weft__sink *to);
int weft__calltree_add(struct weft__calltree *t, const struct weft__pprof_sample *sample);
int weft__calltree_end(struct weft__calltree *t, int rc);

/* For the writers. Returns the call that comes after call i if each comes before those below it; 0
 * after the last. Changes *depth from that of i to that of the returned call; the root's is 0. */
uint32_t weft__calltree_next(const struct weft__calltree *t, uint32_t i, uint32_t *depth);
/* Return a value of a call, and its name. */
static inline int64_t weft__call_value(const struct weft__calltree *t, uint32_t i, size_t type)
{
    return t->values[i * t->head.n_types + type];
}

static inline const char *weft__call_name(const struct weft__calltree *t, uint32_t i)
{
    return t->names[t->calls[i].name];
}

/* The writers write a tree with all its samples through its out, before the end. */
void weft__folded_write(struct weft__calltree *t); /* folded.c */
void weft__flame_write(struct weft__calltree *t);  /* flame.c */

#endif
