/* SPDX-License-Identifier: MIT */
/* table.c - an open hash table behind a read-write lock.
 *
 * Nearly every text is in the table already, and adding to its count only needs slots that do not
 * move. So tasks look up under the read lock, all at once, and insert only new texts under the
 * write lock. Both locks are taken for a batch of words, not for each: the lock's own word would
 * otherwise travel between the CPUs all the time. */
#include "table.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a, with the high half mixed in because slots are taken from the low bits. */
static uint64_t hash_of(const struct slice *s)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < s->len; i++)
        h = (h ^ (unsigned char)s->text[i]) * UINT64_C(1099511628211);
    return h ^ h >> 32;
}

/* Returns the slot of s, or the one where it belongs. Caller holds either lock; cap > 0. */
static struct entry **find(const struct table *t, const struct slice *s, uint64_t hash)
{
    size_t at = hash & (t->cap - 1);
    struct entry *e;

    while ((e = t->slots[at]) != NULL &&
           (e->hash != hash || e->len != s->len || memcmp(e->text, s->text, s->len) != 0))
        at = (at + 1) & (t->cap - 1);
    return &t->slots[at];
}

void out_of_memory(void)
{
    fputs("index: out of memory\n", stderr);
    _Exit(1);
}

void *must_alloc(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p)
        out_of_memory();
    return p;
}

/* Doubles the table. Caller holds the write lock. */
static void grow(struct table *t)
{
    struct table bigger = {.cap = t->cap ? 2 * t->cap : 1024};

    bigger.slots = must_alloc(bigger.cap, sizeof(*bigger.slots));
    for (size_t i = 0; i < t->cap; i++) {
        struct entry *e = t->slots[i];

        if (e)
            *find(&bigger, &(struct slice){e->text, e->len}, e->hash) = e;
    }
    free(t->slots);
    t->slots = bigger.slots;
    t->cap = bigger.cap;
}

/* Inserts s, or counts it if another task has inserted it meanwhile. Caller holds the write
 * lock. */
static void insert(struct table *t, const struct slice *s)
{
    uint64_t hash = hash_of(s);
    struct entry **slot;

    if (2 * (t->n + 1) > t->cap)
        grow(t);
    slot = find(t, s, hash);
    if (!*slot) {
        *slot = must_alloc(1, sizeof(**slot) + s->len + 1);
        (*slot)->hash = hash;
        (*slot)->len = s->len;
        memcpy((*slot)->text, s->text, s->len);
        t->n++;
    }
    atomic_fetch_add_explicit(&(*slot)->count, 1, memory_order_relaxed);
}

/* Counts s. Returns false if s is new. Caller holds the read lock. */
static bool bump(const struct table *t, const struct slice *s)
{
    struct entry *e = t->cap ? *find(t, s, hash_of(s)) : NULL;

    if (e)
        atomic_fetch_add_explicit(&e->count, 1, memory_order_relaxed);
    return e != NULL;
}

void table_add(struct table *t, struct slice *texts, size_t n)
{
    size_t n_new = 0;

    weft_rwmutex_read_lock(&t->mu);
    for (size_t i = 0; i < n; i++) {
        if (!bump(t, &texts[i]))
            texts[n_new++] = texts[i];
    }
    weft_rwmutex_read_unlock(&t->mu);
    if (n_new == 0)
        return;
    weft_rwmutex_lock(&t->mu);
    for (size_t i = 0; i < n_new; i++)
        insert(t, &texts[i]);
    weft_rwmutex_unlock(&t->mu);
}

static bool ranks_above(const struct entry *a, const struct entry *b)
{
    return a->count != b->count ? a->count > b->count : strcmp(a->text, b->text) < 0;
}

size_t table_top(const struct table *t, const struct entry **top, size_t n)
{
    size_t have = 0, at;

    for (size_t i = 0; i < t->cap; i++) {
        const struct entry *e = t->slots[i];

        if (!e || (have == n && !ranks_above(e, top[n - 1])))
            continue;
        at = have < n ? have++ : n - 1;
        for (; at > 0 && ranks_above(e, top[at - 1]); at--)
            top[at] = top[at - 1];
        top[at] = e;
    }
    return have;
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->cap; i++)
        free(t->slots[i]);
    free(t->slots);
}
