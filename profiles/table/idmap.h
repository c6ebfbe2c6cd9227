/* SPDX-License-Identifier: MIT */
/* idmap.h - finds ids by the hash of their keys; its owner has the keys, and compares them.
 *
 * Open addressing with linear probing; no id is ever removed. A slot has the lower half of the
 * hash, so that growing needs no key.
 * Always:
 *   a slot with id 0 is empty
 *   used * 3 <= slots * 2, so each search meets an empty slot
 * One thread uses a map at a time, or the owner's lock guards it. Calls malloc. All zero is a
 * valid, empty map.
 *
 *     uint32_t id, at = weft__idmap_first(m, hash);
 *     while ((id = weft__idmap_next(m, hash, &at)))
 *         if (same(id, key))
 *             return id;
 *     return weft__idmap_add(m, hash, new_id) ? new_id : 0;
 */
#ifndef WEFT_IDMAP_H
#define WEFT_IDMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct weft__idmap_slot {
    uint32_t tag; /* lower half of the hash */
    uint32_t id;
};

struct weft__idmap {
    struct weft__idmap_slot *slots; /* NULL until the first add */
    uint32_t n;                     /* slots, a power of two, or 0 */
    uint32_t used;
};

/* Spreads every bit of x over the whole word (the finalizer of MurmurHash3). */
static inline uint64_t weft__idmap_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
    return x ^ (x >> 33);
}

static inline uint32_t weft__idmap_first(const struct weft__idmap *m, uint64_t hash)
{
    return (uint32_t)hash & (m->n - 1);
}

/* Returns the next id with the same lower half of the hash; 0 if there is none. */
static inline uint32_t weft__idmap_next(const struct weft__idmap *m, uint64_t hash, uint32_t *at)
{
    while (m->n && m->slots[*at].id) {
        const struct weft__idmap_slot *slot = &m->slots[*at];

        *at = (*at + 1) & (m->n - 1);
        if (slot->tag == (uint32_t)hash)
            return slot->id;
    }
    return 0;
}

static inline void weft__idmap_insert(struct weft__idmap *m, uint32_t tag, uint32_t id)
{
    uint32_t at = tag & (m->n - 1);

    while (m->slots[at].id)
        at = (at + 1) & (m->n - 1);
    m->slots[at] = (struct weft__idmap_slot){tag, id};
}

/* Makes room for one more, so that the next add cannot fail. Returns false if memory ran out. */
static inline bool weft__idmap_reserve(struct weft__idmap *m)
{
    struct weft__idmap bigger = {.n = m->n ? m->n * 2 : 64, .used = m->used};

    if ((m->used + 1) * UINT64_C(3) <= m->n * UINT64_C(2))
        return true;
    if (!bigger.n || !(bigger.slots = calloc(bigger.n, sizeof *bigger.slots)))
        return false;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->slots[i].id)
            weft__idmap_insert(&bigger, m->slots[i].tag, m->slots[i].id);
    free(m->slots);
    *m = bigger;
    return true;
}

static inline bool weft__idmap_add(struct weft__idmap *m, uint64_t hash, uint32_t id)
{
    if (!weft__idmap_reserve(m))
        return false;
    weft__idmap_insert(m, (uint32_t)hash, id);
    m->used++;
    return true;
}

static inline void weft__idmap_free(struct weft__idmap *m)
{
    free(m->slots);
    *m = (struct weft__idmap){0};
}

#endif
