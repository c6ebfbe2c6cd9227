/* SPDX-License-Identifier: MIT */
/* tags.c - the names and labels of tasks; label.c has the public calls.
 *
 * Owns: every weft__tags, by its count of references. There is no lock; tags.h says who may call.
 *
 * Only the running task writes task->tags, when the tags are complete (release). It replaces the
 * pointer before it drops the reference to the old tags: a dumper that finds their count at 0 finds
 * the new pointer when it reads again. */
#include "runtime/sched/tags.h"

#include "runtime/base/utf8.h"
#include "runtime/sched/chaos.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/task.h"

#include <string.h>

/* References ----------------------------------------------------------------------------------- */

weft__tags *weft__tags_ref(weft__tags *tags)
{
    if (tags)
        weft__add(&tags->refs, 1);
    return tags;
}

static void end(weft__kept *kept)
{
    weft__free(weft__container_of(kept, weft__tags, kept));
}

/* Drops a reference. Recurses once at most: a set has no outer and no other set. */
void weft__tags_drop(weft__tags *tags)
{
    while (tags && weft__sub(&tags->refs, 1) == 1) {
        weft__tags *outer = tags->outer;

        if (tags->set != tags)
            weft__tags_drop(tags->set);
        if (weft__keeps()) {
            tags->kept.end = end;
            weft__keep(&tags->kept);
        } else {
            weft__free(tags);
        }
        tags = outer;
    }
}

static bool is_had(weft__tags *tags)
{
    uint32_t refs = weft__load(&tags->refs);

    while (refs > 0) {
        if (weft__cas(&tags->refs, &refs, refs + 1))
            return true;
    }
    return false;
}

weft__tags *weft__tags_of(const weft__task *t)
{
    weft__tags *tags;

    do {
        tags = weft__load_acq(&t->tags);
        weft__chaos();
    } while (tags && !is_had(tags));
    return tags;
}

static void replace(weft__task *t, weft__tags *tags)
{
    weft__tags *old = t->tags;

    weft__store_rel(&t->tags, tags);
    weft__tags_drop(old);
}

/* Making them ---------------------------------------------------------------------------------- */

/* Makes tags, which take over the references to set and outer. */
static weft__tags *tags_new(const char *name, weft__tags *set, weft__tags *outer)
{
    size_t n = name ? strnlen(name, WEFT__NAME_MAX) : 0;
    weft__tags *tags;
    char *copy;

    if (!name && !outer)
        return set;
    tags = weft__alloc(1, sizeof(*tags) + n + 1);
    copy = (char *)(tags + 1);
    if (name) {
        memcpy(copy, name, n);
        tags->name = copy;
    }
    tags->refs = 1;
    tags->set = set;
    tags->outer = outer;
    return tags;
}

static weft__tags *set_of(const weft__tags *tags)
{
    return tags ? tags->set : NULL;
}

static weft__tags *outer_of(const weft__tags *tags)
{
    return tags ? tags->outer : NULL;
}

void weft__tags_inherit(weft__task *t, const weft__task *creator)
{
    weft__store_rel(&t->tags, weft__tags_ref(set_of(creator->tags)));
}

void weft__tags_rename(weft__task *t, const char *name)
{
    const weft__tags *old = t->tags;

    if (name && !*name)
        name = NULL;
    replace(t, tags_new(name, weft__tags_ref(set_of(old)), weft__tags_ref(outer_of(old))));
}

/* Gives t, the caller's task, other labels. */
static void relabel(weft__task *t, weft__tags *tags)
{
    replace(t, tags);
    weft__tell(tagged, t);
}

void weft__tags_clear(weft__task *t)
{
    replace(t, NULL);
}

/* Sets of labels ------------------------------------------------------------------------------- */

/* Labels by key; the strings are others'. */
struct labels {
    int n;
    weft_label list[WEFT_LABELS_MAX];
};

static int check_text(const char *s, size_t max)
{
    size_t n = 0, step;

    if (!s)
        return WEFT_EINVAL;
    for (; s[n]; n += step) {
        if (n >= max)
            return WEFT_EAGAIN;
        step = weft__utf8_length(s + n);
        if (step == 0)
            return WEFT_EINVAL;
    }
    return n > max ? WEFT_EAGAIN : 0;
}

static int add_label(struct labels *to, const weft_label *l)
{
    int rc = check_text(l->key, WEFT_LABEL_KEY_MAX), at = 0, order = 1;

    if (rc == 0)
        rc = l->key[0] ? check_text(l->value, WEFT_LABEL_VALUE_MAX) : WEFT_EINVAL;
    if (rc < 0)
        return rc;
    while (at < to->n && (order = strcmp(to->list[at].key, l->key)) < 0)
        at++;
    if (at == to->n || order != 0) {
        if (to->n == WEFT_LABELS_MAX)
            return WEFT_EAGAIN;
        memmove(&to->list[at + 1], &to->list[at], (size_t)(to->n - at) * sizeof(*l));
        to->n++;
    }
    to->list[at] = *l;
    return 0;
}

/* Copies a string behind the labels, and returns the end of the copy. Adds its bytes, with the NUL,
 * to the set's hash (FNV-1a). */
static char *copy_text(weft__tags *set, const char **to, const char *from, char *at)
{
    *to = at;
    do {
        *at = *from++;
        set->hash = (set->hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    } while (*at++);
    return at;
}

static weft__tags *set_new(const struct labels *from)
{
    size_t n = (size_t)from->n, size = sizeof(weft__tags) + n * sizeof(weft_label);
    weft__tags *set;
    char *at;

    if (n == 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        size += strlen(from->list[i].key) + strlen(from->list[i].value) + 2;
    set = weft__alloc(1, size);
    set->refs = 1;
    set->n = (uint32_t)n;
    set->set = set;
    set->hash = UINT64_C(0xcbf29ce484222325);
    at = (char *)&set->labels[n];
    for (size_t i = 0; i < n; i++) {
        at = copy_text(set, &set->labels[i].key, from->list[i].key, at);
        at = copy_text(set, &set->labels[i].value, from->list[i].value, at);
    }
    return set;
}

/* Makes the set of the labels of base, which may be NULL, with these added or replaced. */
static int set_with(const weft__tags *base, const weft_label *labels, int n, weft__tags **out)
{
    struct labels all;
    int rc = n < 0 || (n > 0 && !labels) ? WEFT_EINVAL : 0;

    all.n = base ? (int)base->n : 0;
    for (int i = 0; i < all.n; i++)
        all.list[i] = base->labels[i];
    for (int i = 0; i < n && rc == 0; i++)
        rc = add_label(&all, &labels[i]);
    if (rc == 0)
        *out = set_new(&all);
    return rc;
}

/* Labels of a task ----------------------------------------------------------------------------- */

int weft__tags_relabel(weft__task *t, const weft__tags *base, const weft_label *labels, int n)
{
    const weft__tags *old = t->tags;
    weft__tags *set;
    int rc = set_with(base, labels, n, &set);

    if (rc == 0)
        relabel(t, tags_new(weft__tags_name(old), set, weft__tags_ref(outer_of(old))));
    return rc;
}

int weft__tags_push(weft__task *t, const weft_label *labels, int n)
{
    weft__tags *old = t->tags, *set;
    int rc = set_with(weft__tags_set(old), labels, n, &set);

    if (rc == 0) /* the reference to old is the new tags' from here on */
        weft__store_rel(&t->tags, tags_new(weft__tags_name(old), set, old));
    return rc;
}

void weft__tags_pop(weft__task *t)
{
    const weft__tags *now = t->tags;
    weft__tags *before = outer_of(now);
    const char *name = weft__tags_name(now), *had = weft__tags_name(before);

    if (name == had || (name && had && strcmp(name, had) == 0))
        relabel(t, weft__tags_ref(before));
    else
        relabel(t,
                tags_new(name, weft__tags_ref(set_of(before)), weft__tags_ref(outer_of(before))));
}
