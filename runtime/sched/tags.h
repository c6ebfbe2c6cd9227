/* SPDX-License-Identifier: MIT */
/* tags.h - the name and the labels of a task.
 *
 * A weft__tags never changes once a task has it. References to it are counted, and tasks share it.
 * There are two kinds:
 *
 *   - a set: labels and nothing else; its field `set` is itself. Tasks inherit sets.
 *
 *   - a task's own: a name, or the tags that weft_labels_do restores at its end (outer), over a set
 *     or none. Only the task and snapshots refer to it.
 *
 * A task with neither has NULL. `outer` belongs to the task's own tags and not to the set. So no
 * task inherits it, and it is freed with the task, also when the end of a run discards the task.
 *
 * There is no lock. Only the running task writes its pointer. Dumpers read it at any time, and take
 * a reference if the count is not 0 yet; keep.h keeps the memory that they read until then. */
#ifndef WEFT_TAGS_H
#define WEFT_TAGS_H

#include "runtime/base/keep.h"

#include <weft/label.h>

#include <string.h>

enum { WEFT__NAME_MAX = 31 };

typedef struct weft__tags weft__tags;

struct weft__tags {
    uint32_t refs;       /* references; 0: about to be freed; atomic */
    uint32_t n;          /* labels; 0 unless it is a set */
    uint64_t hash;       /* of the labels; equal sets may be two objects */
    weft__tags *set;     /* itself or a reference; NULL: no labels */
    weft__tags *outer;   /* a reference: the task's tags before its weft_labels_do, or NULL */
    const char *name;    /* NULL, or a string behind this struct */
    weft__kept kept;     /* used once refs is 0 */
    weft_label labels[]; /* sorted by key; the strings are behind them */
};

/* Returns the set of labels; NULL if there are none. */
static inline const weft__tags *weft__tags_set(const weft__tags *tags)
{
    return tags ? tags->set : NULL;
}

static inline const char *weft__tags_name(const weft__tags *tags)
{
    return tags ? tags->name : NULL;
}

struct weft__task;

/* Orders sets by their keys and values; NULL, no labels, is the least. */
static inline int weft__tags_compare(const weft__tags *a, const weft__tags *b)
{
    uint32_t n_a = a ? a->n : 0, n_b = b ? b->n : 0;

    for (uint32_t i = 0; a != b && i < n_a && i < n_b; i++) {
        int c = strcmp(a->labels[i].key, b->labels[i].key);

        if (c == 0)
            c = strcmp(a->labels[i].value, b->labels[i].value);
        if (c)
            return c;
    }
    return n_a < n_b ? -1 : n_a > n_b;
}

/* Take one more reference and return the tags; drop a reference. The caller has one. tags may be
 * NULL. */
weft__tags *weft__tags_ref(weft__tags *tags);
void weft__tags_drop(weft__tags *tags);
/* Returns a task's tags with a reference, or NULL. The caller holds (keep.h), or no other thread
 * can run t. */
weft__tags *weft__tags_of(const struct weft__task *t);
/* Give t the creator's labels, or a name (NULL: none). Called by the running task, or by its
 * creator before the task is visible. */
void weft__tags_inherit(struct weft__task *t, const struct weft__task *creator);
void weft__tags_rename(struct weft__task *t, const char *name);
/* Called by the running task. Gives it the labels of base, which may be NULL, with these added. 0;
 * or WEFT_EINVAL or WEFT_EAGAIN as weft_labels_set, and the labels stay. */
int weft__tags_relabel(struct weft__task *t, const weft__tags *base, const weft_label *labels,
                       int n);
/* Adds these until pop, which restores the labels from before under the name that the task has
 * then. Results as relabel; after a failure nothing is to be popped. */
int weft__tags_push(struct weft__task *t, const weft_label *labels, int n);
void weft__tags_pop(struct weft__task *t);
/* Drops the tags of a task that has ended or was discarded. */
void weft__tags_clear(struct weft__task *t);

#endif
