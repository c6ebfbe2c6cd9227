/* SPDX-License-Identifier: MIT */
/* calltree.c - see calltree.h. Owns the trees that are being made. */
#include "profiles/render/calltree.h"

#include "profiles/walk/symbolize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_STACK "-- no stack --" /* the name for samples without a frame */

static bool fail(struct weft__calltree *t, int rc)
{
    if (t->out->rc == 0)
        t->out->rc = rc;
    return false;
}

/* Names and calls ------------------------------------------------------------------------------ */

/* Makes room for one more item of size bytes. Returns the array; NULL if memory ran out. */
static void *grow(void *items, uint32_t n, uint32_t *room, size_t size)
{
    uint32_t more = *room ? *room * 2 : 64;
    void *bigger;

    if (n < *room)
        return items;
    bigger = realloc(items, more * size);
    if (bigger)
        *room = more;
    return bigger;
}

/* Finds or adds a name. Equal names with two addresses get two indexes. */
static bool name_index(struct weft__calltree *t, const char *name, uint32_t *index)
{
    uint64_t hash = weft__idmap_mix((uintptr_t)name);
    uint32_t id, at = weft__idmap_first(&t->name_ids, hash);
    const char **bigger;

    while ((id = weft__idmap_next(&t->name_ids, hash, &at))) {
        if (t->names[id - 1] == name) {
            *index = id - 1;
            return true;
        }
    }
    bigger = grow(t->names, t->n_names, &t->names_room, sizeof(*bigger));
    if (!bigger)
        return fail(t, -ENOMEM);
    t->names = bigger;
    if (!weft__idmap_add(&t->name_ids, hash, t->n_names + 1))
        return fail(t, -ENOMEM);
    *index = t->n_names;
    t->names[t->n_names++] = name;
    return true;
}

static bool make_room(struct weft__calltree *t)
{
    uint32_t room = t->room;
    struct weft__call *calls = grow(t->calls, t->n, &room, sizeof(*calls));
    int64_t *values;

    if (!calls)
        return fail(t, -ENOMEM);
    t->calls = calls;
    if (room == t->room)
        return true;
    values = realloc(t->values, room * t->head.n_types * sizeof(*values));
    if (!values)
        return fail(t, -ENOMEM);
    t->values = values;
    t->room = room;
    return true;
}

/* Adds a call as the last one below its parent. */
static bool add_call(struct weft__calltree *t, uint32_t parent, uint32_t name, uint64_t hash)
{
    uint32_t last;

    if (!make_room(t))
        return false;
    if (t->n > 0) { /* it is not the root */
        if (!weft__idmap_add(&t->call_ids, hash, t->n))
            return fail(t, -ENOMEM);
        last = t->calls[parent].last;
        t->calls[parent].last = t->n;
        if (last)
            t->calls[last].next = t->n;
        else
            t->calls[parent].first = t->n;
    }
    t->calls[t->n] = (struct weft__call){.name = name, .parent = parent};
    memset(t->values + t->n * t->head.n_types, 0, t->head.n_types * sizeof(*t->values));
    t->n++;
    return true;
}

/* Goes from a call to the one of that name below it. Returns false if there is none, and no room
 * for it. */
static bool descend(struct weft__calltree *t, uint32_t *at, const char *function)
{
    uint32_t name, id, slot;
    uint64_t hash;

    if (!name_index(t, function, &name))
        return false;
    hash = weft__idmap_mix((uint64_t)*at << 32 | name);
    slot = weft__idmap_first(&t->call_ids, hash);
    while ((id = weft__idmap_next(&t->call_ids, hash, &slot))) {
        if (t->calls[id].parent == *at && t->calls[id].name == name) {
            *at = id;
            return true;
        }
    }
    if (t->n == WEFT__CALLS_MOST || !add_call(t, *at, name, hash))
        return false;
    *at = t->n - 1;
    return true;
}

/* Samples -------------------------------------------------------------------------------------- */

/* Names an address that has no name by the file of its mapping, as go tool pprof does: so calls
 * within a library without symbols are merged. */
static const char *file_name(struct weft__calltree *t, uintptr_t addr, const char *otherwise)
{
    const char *file;
    size_t i = 0;

    while (i < t->n_maps && (addr < t->maps[i].start || addr >= t->maps[i].limit))
        i++;
    if (i == t->n_maps || !t->maps[i].file[0])
        return otherwise;
    if (!t->file_names[i]) {
        file = strrchr(t->maps[i].file, '/');
        file = file ? file + 1 : t->maps[i].file;
        t->file_names[i] = malloc(strlen(file) + sizeof("[]"));
        if (!t->file_names[i]) {
            fail(t, -ENOMEM);
            return otherwise;
        }
        sprintf(t->file_names[i], "[%s]", file);
    }
    return t->file_names[i];
}

/* Goes through the functions at an address, or through a mark. */
static bool descend_address(struct weft__calltree *t, uint32_t *at, uintptr_t addr, uint32_t *depth)
{
    const char *mark = weft__mark_name(addr + 1);
    const struct weft__symbol *s = mark ? NULL : weft__symbolize(addr);

    for (uint32_t i = mark ? 1 : s->n; i > 0; i--) {
        const char *name = mark       ? mark
                           : s->found ? s->frames[i - 1].function
                                      : file_name(t, addr, s->frames[i - 1].function);

        if (!descend(t, at, name))
            return false;
        ++*depth;
    }
    return true;
}

int weft__calltree_add(struct weft__calltree *t, const struct weft__pprof_sample *sample)
{
    uint32_t at = 0, depth = 0;
    bool whole = t->out->rc == 0;

    if (whole && sample->n == 0)
        whole = descend(t, &at, NO_STACK) && ++depth;
    for (size_t i = sample->n; i > 0 && whole; i--)
        whole =
            descend_address(t, &at, sample->pcs[i - 1] - !(i == 1 && sample->leaf_exact), &depth);
    t->cut += !whole;
    if (depth > t->depth)
        t->depth = depth;
    for (size_t k = 0; k < t->head.n_types && t->out->rc == 0; k++)
        t->values[at * t->head.n_types + k] += sample->values[k];
    return t->out->rc;
}

uint32_t weft__calltree_next(const struct weft__calltree *t, uint32_t i, uint32_t *depth)
{
    if (t->calls[i].first) {
        ++*depth;
        return t->calls[i].first;
    }
    while (i && !t->calls[i].next) {
        i = t->calls[i].parent;
        --*depth;
    }
    return i ? t->calls[i].next : 0;
}

/* Begin and end -------------------------------------------------------------------------------- */

static int dispose(struct weft__calltree *t)
{
    int rc = weft__out_end(t->out);

    for (size_t i = 0; t->file_names && i < t->n_maps; i++)
        free(t->file_names[i]);
    free(t->file_names);
    free(t->maps);
    free(t->names);
    free(t->calls);
    free(t->values);
    weft__idmap_free(&t->name_ids);
    weft__idmap_free(&t->call_ids);
    free(t);
    return rc;
}

static size_t type_shown(const struct weft__pprof_head *head)
{
    size_t i = head->n_types - 1;

    while (i > 0 && head->default_type && strcmp(head->types[i].type, head->default_type) != 0)
        i--;
    return i;
}

struct weft__calltree *weft__calltree_begin(const struct weft__pprof_head *head,
                                            const struct weft__sink *to)
{
    struct weft__calltree *t = calloc(1, sizeof(*t));

    if (!t || !(t->out = weft__out_new(to))) {
        free(t);
        return NULL;
    }
    t->head = *head;
    t->head.comments = NULL;
    t->head.n_comments = 0;
    t->shown = type_shown(head);
    t->maps = weft__maps_read(&t->n_maps);
    if (!t->maps)
        t->n_maps = 0; /* such a tree is still of use */
    t->file_names = calloc(t->n_maps + 1, sizeof(*t->file_names));
    if (t->file_names && add_call(t, 0, 0, 0))
        return t;
    dispose(t);
    return NULL;
}

int weft__calltree_end(struct weft__calltree *t, int rc)
{
    if (rc < 0)
        fail(t, rc);
    return dispose(t);
}
