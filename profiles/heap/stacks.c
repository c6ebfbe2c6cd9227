/* SPDX-License-Identifier: MIT */
/* stacks.c - see stacks.h.
 *
 * Owns: chains of stacks by their hash, sets of labels with a reference each, and the pieces of
 * memory from which stacks are cut. Chains, sets and pieces only grow, by a CAS, so their readers
 * need no lock. If two threads add the same stack at once, the one that loses the CAS looks
 * again, and leaves unused the memory that it cut off. */
#include "profiles/heap/stacks.h"

#include "profiles/table/buckets.h"
#include "runtime/base/atomic.h"

#include <string.h>
#include <sys/mman.h>

enum { CHAINS = 1 << 14, PIECE = 1 << 20, SET_SLOTS = 2 * WEFT__HEAP_SETS };

struct piece {
    size_t used; /* atomic: bytes, with this struct */
};

static struct weft__heap_stack *chains[CHAINS], *newest; /* atomic */
static struct piece *piece;                              /* atomic */
static weft__tags *sets[SET_SLOTS];                      /* atomic; by their hash */
static uint32_t n_stacks, n_sets;                        /* atomic */
static size_t mapped;                                    /* atomic */

__extension__ static weft__tags too_many = {.refs = 1, .n = 1, .labels = {{"labels", "too many"}}};

/* Memory --------------------------------------------------------------------------------------- */

/* Maps one more piece, unless another thread does so first. Returns false if memory ran out. */
static bool add_piece(struct piece *full)
{
    struct piece *made = weft__map(PIECE);

    if (!made)
        return false;
    made->used = sizeof(*made);
    if (weft__cas(&piece, &full, made))
        weft__add(&mapped, PIECE);
    else
        munmap(made, PIECE);
    return true;
}

static void *cut(size_t n)
{
    for (;;) {
        struct piece *p = weft__load_acq(&piece);
        size_t at = p ? weft__add(&p->used, n) : PIECE;

        if (at + n <= PIECE)
            return (char *)p + at;
        if (!add_piece(p))
            return NULL;
    }
}

/* Labels --------------------------------------------------------------------------------------- */

static bool is_same_set(const weft__tags *a, const weft__tags *b)
{
    return a->hash == b->hash && weft__tags_compare(a, b) == 0;
}

/* Returns the set that stands for all equal ones. */
static weft__tags *set_of(weft__tags *set)
{
    for (uint64_t i = set ? set->hash : 0; set; i++) {
        weft__tags **slot = &sets[i % SET_SLOTS], *have = weft__load_acq(slot);

        if (have && is_same_set(have, set))
            return have;
        if (have)
            continue;
        if (weft__load(&n_sets) >= WEFT__HEAP_SETS)
            return &too_many;
        weft__tags_ref(set);
        if (weft__cas(slot, &have, set)) {
            weft__add(&n_sets, 1);
            return set;
        }
        weft__sub(&set->refs, 1); /* not the last: the caller has one */
        i--;                      /* look at the winner */
    }
    return NULL;
}

/* Stacks --------------------------------------------------------------------------------------- */

static uint64_t hash_of(const uintptr_t *pcs, uint32_t n, const weft__tags *set)
{
    uint64_t h = (uintptr_t)set ^ n;

    for (uint32_t i = 0; i < n; i++) {
        h = (h ^ pcs[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return h ^ h >> 32;
}

/* Looks in a chain from its first stack up to, and without, the stack `end`. */
static struct weft__heap_stack *find(struct weft__heap_stack *first,
                                     const struct weft__heap_stack *end, uint64_t hash,
                                     const uintptr_t *pcs, uint32_t n, const weft__tags *set)
{
    for (struct weft__heap_stack *s = first; s != end; s = s->next) {
        if (s->hash == hash && s->n == n && s->labels == set &&
            memcmp(s->pcs, pcs, n * sizeof(*pcs)) == 0)
            return s;
    }
    return NULL;
}

static void list(struct weft__heap_stack *s)
{
    struct weft__heap_stack *was = weft__load(&newest);

    do
        s->older = was;
    while (!weft__cas(&newest, &was, s));
    weft__add(&n_stacks, 1);
}

static struct weft__heap_stack *make(uint64_t hash, const uintptr_t *pcs, uint32_t n,
                                     weft__tags *set)
{
    struct weft__heap_stack *s = cut(sizeof(*s) + n * sizeof(*pcs)); /* zero */

    if (!s)
        return NULL;
    s->hash = hash;
    s->labels = set;
    s->n = n;
    memcpy(s->pcs, pcs, n * sizeof(*pcs));
    return s;
}

static struct weft__heap_stack *intern(const uintptr_t *pcs, uint32_t n, weft__tags *set)
{
    uint64_t hash = hash_of(pcs, n, set);
    struct weft__heap_stack **chain = &chains[hash % CHAINS], *first = weft__load_acq(chain);
    struct weft__heap_stack *have = find(first, NULL, hash, pcs, n, set), *made;

    if (have)
        return have;
    made = make(hash, pcs, n, set);
    if (!made)
        return NULL;
    made->next = first;
    while (!weft__cas(chain, &first, made)) {
        have = find(first, made->next, hash, pcs, n, set);
        if (have)
            return have;
        made->next = first;
    }
    list(made);
    return made;
}

struct weft__heap_stack *weft__heap_stack_of(const uintptr_t *pcs, uint32_t n, weft__tags *set)
{
    weft__tags *known = set_of(set);
    uint64_t hash = hash_of(pcs, n, known);

    if (weft__load(&n_stacks) < WEFT__HEAP_STACKS)
        return intern(pcs, n, known);
    struct weft__heap_stack *have =
        find(weft__load_acq(&chains[hash % CHAINS]), NULL, hash, pcs, n, known);

    return have ? have : intern(NULL, 0, NULL);
}

/* Sums ----------------------------------------------------------------------------------------- */

/* Writes the sums that a sample adds: as it is, and as what it stands for. */
static void sums_of(int64_t *sums, const struct weft__heap_sample *s)
{
    sums[WEFT__HEAP_ALLOCS] = 1;
    sums[WEFT__HEAP_ALLOC_BYTES] = (int64_t)s->size;
    sums[WEFT__HEAP_SAMPLED + WEFT__HEAP_ALLOCS] = weft__parts(s->weight);
    sums[WEFT__HEAP_SAMPLED + WEFT__HEAP_ALLOC_BYTES] = (int64_t)((double)s->size * s->weight + .5);
    for (int i = 0; i < WEFT__HEAP_SUMS; i += WEFT__HEAP_SAMPLED) {
        sums[i + WEFT__HEAP_LIVE] = sums[i + WEFT__HEAP_ALLOCS];
        sums[i + WEFT__HEAP_LIVE_BYTES] = sums[i + WEFT__HEAP_ALLOC_BYTES];
    }
}

void weft__heap_sums_add(int64_t *sums, const struct weft__heap_sample *s)
{
    int64_t more[WEFT__HEAP_SUMS];

    sums_of(more, s);
    for (int i = 0; i < WEFT__HEAP_SUMS; i++)
        sums[i] += more[i];
}

void weft__heap_stack_add(const struct weft__heap_sample *s, int allocated, int live)
{
    int64_t sums[WEFT__HEAP_SUMS];

    sums_of(sums, s);
    for (int i = 0; i < WEFT__HEAP_SUMS; i++) {
        int times = i % WEFT__HEAP_SAMPLED < WEFT__HEAP_LIVE ? allocated : live;

        if (times)
            weft__add(&s->stack->sums[i], times * sums[i]);
    }
}

/* Reading -------------------------------------------------------------------------------------- */

const struct weft__heap_stack *weft__heap_stack_next(const struct weft__heap_stack *s)
{
    return s ? s->older : weft__load_acq(&newest);
}

uint32_t weft__heap_stack_count(void)
{
    return weft__load(&n_stacks);
}

size_t weft__heap_stack_bytes(void)
{
    return weft__load(&mapped);
}
