/* SPDX-License-Identifier: MIT */
/* names.c - see names.h. Owns nothing but its tables. */
#include "profiles/trace/names.h"

#include "profiles/render/stack_text.h"
#include "profiles/table/idmap.h"
#include "profiles/table/labelset.h"
#include "profiles/table/marks.h"
#include "profiles/trace/tape.h"
#include "profiles/trace/words.h"
#include "profiles/walk/symbolize.h"

#include <stdio.h>
#include <string.h>

enum { KINDS = 4 };
/* The kinds of stacks, in the upper bits of their keys. */
enum { OF_TAPE, OUTERMOST, OF_FUNCTION, ALONE };
/* The places of frames without an address; ALONE adds the number of the name. */
enum { NO_FRAME = 15, ALONE_AT = 16 };

/* Keys by number; the first has number 1. */
struct list {
    struct weft__idmap map;
    uint64_t *keys; /* a string's address, or a stack's key */
    uint8_t *kinds;
    uint32_t n, cap, given;
};

const struct weft__trace_words *weft__names_words;

struct weft__names {
    struct list strings, stacks;
};

static uint64_t hash_of(const char *s)
{
    uint64_t h = 14695981039346656037u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211u;
    return weft__idmap_mix(h);
}

static bool make_room(struct list *l)
{
    uint32_t cap = l->cap ? 2 * l->cap : 64;
    uint64_t *keys;
    uint8_t *kinds;

    if (l->n < l->cap)
        return true;
    keys = realloc(l->keys, cap * sizeof(*keys));
    if (!keys)
        return false;
    l->keys = keys;
    kinds = realloc(l->kinds, cap);
    if (!kinds)
        return false;
    l->kinds = kinds;
    l->cap = cap;
    return true;
}

static uint32_t add(struct list *l, uint64_t hash, uint64_t key, uint8_t kind)
{
    if (!make_room(l) || !weft__idmap_add(&l->map, hash, l->n + 1))
        return 0;
    l->keys[l->n] = key;
    l->kinds[l->n] = kind;
    return ++l->n;
}

static void list_clear(struct list *l)
{
    weft__idmap_free(&l->map);
    memset(&l->map, 0, sizeof(l->map));
    l->n = l->given = 0;
}

static void list_free(struct list *l)
{
    list_clear(l);
    free(l->keys);
    free(l->kinds);
}

static const char *string_at(const struct list *l, uint32_t i)
{
    return (const char *)(uintptr_t)l->keys[i];
}

weft__names *weft__names_new(void)
{
    return calloc(1, sizeof(struct weft__names));
}

void weft__names_clear(weft__names *n)
{
    for (uint32_t i = 0; i < n->strings.n; i++)
        free((void *)(uintptr_t)n->strings.keys[i]);
    list_clear(&n->strings);
    list_clear(&n->stacks);
}

void weft__names_end(weft__names *n)
{
    if (!n)
        return;
    weft__names_clear(n);
    list_free(&n->strings);
    list_free(&n->stacks);
    free(n);
}

uint32_t weft__names_string(weft__names *n, const char *s)
{
    size_t length = s ? strlen(s) : 0;
    struct list *l = &n->strings;
    uint64_t hash;
    uint32_t id, at;
    char *copy;

    if (length == 0)
        return 0;
    if (length > WEFT__NAME_MOST)
        s += length - WEFT__NAME_MOST;
    hash = hash_of(s);
    at = weft__idmap_first(&l->map, hash);
    while ((id = weft__idmap_next(&l->map, hash, &at))) {
        if (strcmp(string_at(l, id - 1), s) == 0)
            return id;
    }
    copy = strdup(s);
    id = copy ? add(l, hash, (uintptr_t)copy, 0) : 0;
    if (!id)
        free(copy);
    return id;
}

static uint32_t stack(weft__names *n, uint64_t key, uint8_t kind)
{
    struct list *l = &n->stacks;
    uint64_t hash = weft__idmap_mix(key * KINDS + kind);
    uint32_t id, at = weft__idmap_first(&l->map, hash);

    while ((id = weft__idmap_next(&l->map, hash, &at))) {
        if (l->keys[id - 1] == key && l->kinds[id - 1] == kind)
            return id;
    }
    return add(l, hash, key, kind);
}

uint32_t weft__names_stack(weft__names *n, uint32_t tape_stack)
{
    return tape_stack ? stack(n, tape_stack, OF_TAPE) : 0;
}

uint32_t weft__names_outermost(weft__names *n, uint32_t tape_stack)
{
    return tape_stack ? stack(n, tape_stack, OUTERMOST) : 0;
}

uint32_t weft__names_function(weft__names *n, uint64_t address)
{
    return address ? stack(n, address, OF_FUNCTION) : 0;
}

uint32_t weft__names_alone(weft__names *n, const char *name)
{
    uint32_t id = weft__names_string(n, name);

    return id ? stack(n, id, ALONE) : 0;
}

/* Adds a label to a text of n bytes. Returns its new length; the same if there is no room. */
static size_t add_label(char to[WEFT__NAME_MOST], size_t n, const char *key, const char *value)
{
    int more = snprintf(to + n, WEFT__NAME_MOST - n, "%s%s=%s", n ? " " : "", key, value);

    return more > 0 && (size_t)more < WEFT__NAME_MOST - n ? n + (size_t)more : n;
}

uint32_t weft__names_labels(weft__names *n, uint64_t task, uint32_t set)
{
    const struct weft__trace_words *words = weft__names_words;
    weft__tags *tags = words ? NULL : weft__labelset_get(set);
    char text[WEFT__NAME_MOST];
    const char *key, *value;
    size_t size = 0;

    for (unsigned i = 0; words && words->label(words->arg, task, i, &key, &value); i++)
        size = add_label(text, size, key, value);
    for (uint32_t i = 0; tags && i < tags->n; i++)
        size = add_label(text, size, tags->labels[i].key, tags->labels[i].value);
    text[size] = '\0';
    weft__tags_drop(tags);
    return weft__names_string(n, text);
}

const char *weft__names_next_string(weft__names *n, uint32_t *id)
{
    if (n->strings.given == n->strings.n)
        return NULL;
    *id = ++n->strings.given;
    return string_at(&n->strings, *id - 1);
}

/* Adds the frames of one address, innermost first. Each gets a number of its own for the place of
 * its address: readers keep one function for each. */
static size_t add_frames(weft__names *n, uintptr_t addr, struct weft__named_frame *to, size_t room)
{
    const struct weft__symbol *symbol = weft__symbolize(addr);
    size_t i;

    for (i = 0; i < symbol->n && i < room; i++) {
        const struct weft__frame *f = &symbol->frames[i];

        to[i] = (struct weft__named_frame){
            .pc = addr | (uint64_t)(symbol->n - 1 - i) << 56,
            .function = weft__names_string(n, f->function),
            .file = weft__names_string(n, f->file),
            .line = f->line,
        };
    }
    return i;
}

/* The frames of a stack as the words of a record say. */
static size_t frames_of_record(weft__names *n, uint32_t id, struct weft__named_frame *to)
{
    struct weft__trace_frame frames[WEFT__TRACE_FRAMES];
    size_t k = weft__names_words->frames(weft__names_words->arg, id, frames);

    for (size_t i = 0; i < k; i++)
        to[i] = (struct weft__named_frame){
            .pc = frames[i].pc,
            .function = weft__names_string(n, frames[i].function),
            .file = weft__names_string(n, frames[i].file),
            .line = frames[i].line,
        };
    if (k == 0)
        *to = (struct weft__named_frame){.pc = NO_FRAME};
    return k > 0 ? k : 1;
}

/* The address may also be a caller's in a stack, with another line, so it gets a number that none
 * of those has. */
static size_t function_of_record(weft__names *n, uint64_t address, struct weft__named_frame *to)
{
    const char *name = weft__names_words->function(weft__names_words->arg, address);

    *to = (struct weft__named_frame){.pc = address | UINT64_C(1) << 63,
                                     .function = weft__names_string(n, name)};
    return 1;
}

static size_t frames_of_tape(weft__names *n, uint32_t id, struct weft__named_frame *to)
{
    const struct weft__stack_entry *e = weft__tape_stack(id);
    size_t k = 0, i = weft__stack_text_first(e->pcs, e->kept, 0);

    for (; i < e->kept && k < WEFT__FRAMES_MOST; i++) {
        const char *mark = weft__mark_name(e->pcs[i]);

        if (mark)
            to[k++] = (struct weft__named_frame){.pc = e->pcs[i],
                                                 .function = weft__names_string(n, mark)};
        else
            k += add_frames(n, e->pcs[i] - 1, to + k, WEFT__FRAMES_MOST - k);
    }
    if (k == 0)
        to[k++] = (struct weft__named_frame){.pc = NO_FRAME};
    return k;
}

static size_t frames_of(weft__names *n, uint32_t id, struct weft__named_frame *to)
{
    return weft__names_words ? frames_of_record(n, id, to) : frames_of_tape(n, id, to);
}

size_t weft__names_next_stack(weft__names *n, uint32_t *id,
                              struct weft__named_frame frames[WEFT__FRAMES_MOST])
{
    uint64_t key;
    size_t count;

    if (n->stacks.given == n->stacks.n)
        return 0;
    *id = ++n->stacks.given;
    key = n->stacks.keys[*id - 1];
    switch (n->stacks.kinds[*id - 1]) {
    case OF_TAPE:
        return frames_of(n, (uint32_t)key, frames);
    case OUTERMOST:
        count = frames_of(n, (uint32_t)key, frames);
        frames[0] = frames[count - 1];
        return 1;
    case OF_FUNCTION:
        if (weft__names_words)
            return function_of_record(n, key, frames);
        return add_frames(n, (uintptr_t)key, frames, WEFT__FRAMES_MOST);
    default:
        frames[0] = (struct weft__named_frame){.pc = ALONE_AT + key, .function = (uint32_t)key};
        return 1;
    }
}
