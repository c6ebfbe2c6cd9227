/* SPDX-License-Identifier: MIT */
/* stacktab.c - see stacktab.h.
 *
 * Owns: the entries, in chunks that never move, and the directory from an id to its entry. The top
 * bits of a stack's hash choose the shard that it belongs to.
 * Locks, in this order:
 *   shard->lock      guards the shard's map and its newest chunk
 *   table->id_lock   guards the next id, which all shards share
 *   spare.lock       guards the chunks that no table has
 * Always:
 *   an entry never changes once it has its id
 *   all ids 1..count have an entry; count grows after the pointer to the entry is stored
 *   an id in a shard's map is <= count
 * Readers take no lock: segments of the directory never move; segment k has 2^k *
 * WEFT__SEGMENT_FIRST pointers. */
#include "profiles/table/stacktab.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/table/idmap.h"
#include "profiles/walk/unwind.h"

enum {
    SHARD_BITS = 4,
    SHARDS = 1 << SHARD_BITS,
    CHUNK_FIRST = 16 * 1024, /* bytes; every further chunk of a shard doubles, up to */
    CHUNK_LAST = 1024 * 1024,
    CHUNK_SIZES = 7, /* from the one to the other */
    SPARE_MOST = 8 * 1024 * 1024,
    SPINS = 64, /* tries before the processor is given away */
};

struct chunk {
    struct chunk *next; /* older */
    size_t used, size;  /* of data */
    _Alignas(8) char data[];
};

_Static_assert(CHUNK_FIRST >=
                   sizeof(struct weft__stack_entry) + WEFT__WALK_ROOM * sizeof(uintptr_t),
               "every stack fits into every chunk");

struct spin {
    atomic_uint held;
};

/* Each shard has a cache line of its own, so that threads in different shards do not slow each
 * other down. */
struct shard {
    _Alignas(64) struct spin lock;
    struct weft__idmap ids;
    struct chunk *chunks; /* newest first */
};

typedef _Atomic(struct weft__stack_entry *) entry_ref;

struct weft__stacktab {
    struct shard shards[SHARDS];
    struct spin id_lock;
    atomic_uint count;
    uint32_t most; /* 0: no limit; written before others use the table */
    _Atomic(entry_ref *) segments[WEFT__SEGMENTS]; /* NULL until needed; written under id_lock */
};

/* Spin locks: a pthread mutex would cost more than the work that these locks guard. */
static void spin_lock(struct spin *l)
{
    unsigned tries = 0;

    while (atomic_exchange_explicit(&l->held, 1, memory_order_acquire)) {
        while (atomic_load_explicit(&l->held, memory_order_relaxed))
            if (++tries % SPINS == 0)
                sched_yield();
    }
}

static void spin_unlock(struct spin *l)
{
    atomic_store_explicit(&l->held, 0, memory_order_release);
}

/* Chunks of freed tables, by size, to be used again. Scrapers cause tables of the same size again
 * and again, and the first touch of new memory costs more than its use. */
static struct {
    struct spin lock;
    size_t bytes; /* in all */
    struct chunk *chunks[CHUNK_SIZES];
} spare;

static unsigned size_class(size_t size)
{
    return (unsigned)__builtin_ctzll(size / CHUNK_FIRST);
}

static struct chunk *chunk_get(size_t size)
{
    struct chunk *c, **list = &spare.chunks[size_class(size)];

    spin_lock(&spare.lock);
    c = *list;
    if (c) {
        *list = c->next;
        spare.bytes -= size;
    }
    spin_unlock(&spare.lock);
    if (!c && (c = malloc(sizeof *c + size)) != NULL)
        c->size = size;
    return c;
}

static void chunk_put(struct chunk *c)
{
    struct chunk **list = &spare.chunks[size_class(c->size)];
    bool keep;

    spin_lock(&spare.lock);
    keep = spare.bytes + c->size <= SPARE_MOST;
    if (keep) {
        spare.bytes += c->size;
        c->next = *list;
        *list = c;
    }
    spin_unlock(&spare.lock);
    if (!keep)
        free(c);
}

weft__stacktab *weft__stacktab_new(void)
{
    weft__stacktab *s = aligned_alloc(_Alignof(struct weft__stacktab), sizeof *s);

    if (s)
        memset(s, 0, sizeof *s);
    return s;
}

void weft__stacktab_free(weft__stacktab *s)
{
    if (!s)
        return;
    for (int i = 0; i < SHARDS; i++) {
        struct chunk *c = s->shards[i].chunks;

        while (c) {
            struct chunk *next = c->next;
            chunk_put(c);
            c = next;
        }
        weft__idmap_free(&s->shards[i].ids);
    }
    for (int i = 0; i < WEFT__SEGMENTS; i++)
        free((void *)atomic_load_explicit(&s->segments[i], memory_order_relaxed));
    free(s);
}

void weft__stacktab_limit(weft__stacktab *s, uint32_t most)
{
    s->most = most;
}

static uint64_t hash_walk(const struct weft__walk *w)
{
    uint64_t h = w->kept;

    for (uint32_t i = 0; i < w->kept; i++) {
        h = (h ^ w->pcs[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return weft__idmap_mix(h);
}

static bool same(const struct weft__stack_entry *e, uint64_t hash, const struct weft__walk *w)
{
    return e->hash == hash && e->kept == w->kept &&
           memcmp(e->pcs, w->pcs, w->kept * sizeof e->pcs[0]) == 0;
}

static struct weft__stack_entry *shard_alloc(struct shard *sh, size_t size)
{
    struct chunk *c = sh->chunks;

    if (!c || c->size - c->used < size) {
        size_t next = c ? c->size * 2 : CHUNK_FIRST;

        if (next > CHUNK_LAST)
            next = CHUNK_LAST;
        c = chunk_get(next);
        if (!c)
            return NULL;
        c->next = sh->chunks;
        c->used = 0;
        sh->chunks = c;
    }
    c->used += size;
    return (void *)(c->data + c->used - size);
}

/* Gives the entry its id. Returns 0 if memory ran out. */
static uint32_t publish(weft__stacktab *s, struct weft__stack_entry *e)
{
    uint32_t id, at;
    entry_ref *segment;
    unsigned k;

    spin_lock(&s->id_lock);
    id = atomic_load_explicit(&s->count, memory_order_relaxed) + 1;
    k = weft__segment_of(id, &at);
    segment = atomic_load_explicit(&s->segments[k], memory_order_relaxed);
    if (!segment) {
        segment = calloc((size_t)WEFT__SEGMENT_FIRST << k, sizeof *segment);
        if (!segment) {
            spin_unlock(&s->id_lock);
            return 0;
        }
        atomic_store_explicit(&s->segments[k], segment, memory_order_relaxed);
    }
    atomic_store_explicit(&segment[at], e, memory_order_relaxed);
    /* Pairs with the acquire load in weft__stacktab_count; a thread that has the id by other
     * means got it from the thread that interned, and is ordered after it by that. */
    atomic_store_explicit(&s->count, id, memory_order_release);
    spin_unlock(&s->id_lock);
    return id;
}

static uint32_t add(weft__stacktab *s, struct shard *sh, uint64_t hash, const struct weft__walk *w)
{
    size_t pcs = w->kept * sizeof w->pcs[0];
    struct weft__stack_entry *e;
    uint32_t id;

    /* Room in the map comes first: nothing may fail once the id is out. */
    if (!weft__idmap_reserve(&sh->ids))
        return 0;
    e = shard_alloc(sh, sizeof *e + pcs);
    if (!e)
        return 0;
    e->hash = hash;
    e->kept = w->kept;
    memcpy(e->pcs, w->pcs, pcs);
    id = publish(s, e);
    if (id)
        weft__idmap_add(&sh->ids, hash, id);
    return id;
}

uint32_t weft__stacktab_intern(weft__stacktab *s, const struct weft__walk *w)
{
    uint64_t hash = hash_walk(w);
    struct shard *sh = &s->shards[hash >> (64 - SHARD_BITS)];
    uint32_t id, at;

    spin_lock(&sh->lock);
    at = weft__idmap_first(&sh->ids, hash);
    while ((id = weft__idmap_next(&sh->ids, hash, &at)))
        if (same(weft__stacktab_get(s, id), hash, w))
            break;
    if (!id && (s->most == 0 || weft__stacktab_count(s) < s->most))
        id = add(s, sh, hash, w);
    spin_unlock(&sh->lock);
    return id;
}

const struct weft__stack_entry *weft__stacktab_get(const weft__stacktab *s, uint32_t id)
{
    uint32_t at;
    unsigned k = weft__segment_of(id, &at);
    entry_ref *segment = atomic_load_explicit(&s->segments[k], memory_order_relaxed);

    return atomic_load_explicit(&segment[at], memory_order_relaxed);
}

uint32_t weft__stacktab_count(const weft__stacktab *s)
{
    return atomic_load_explicit(&s->count, memory_order_acquire);
}
