/* SPDX-License-Identifier: MIT */
/* symboltable.c - the table from PC to symbol.
 *
 * Owns: the table. The symbolizer thread writes it, or a thread that holds symbolize.c's lock while
 * there is no symbolizer. A reader takes no lock (a slot's release store pairs with the acquire
 * load in weft__symbol_lookup) and never sees a slot become empty. */
#include "profiles/walk/learn.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A slot is 0 (free), or the address of a symbol. FLOATING marks a symbol for an address where no
 * file is mapped (any more): it is made again when a file is mapped there. */
enum { FLOATING = 1, FIRST_BITS = 10 };

struct table {
    struct table *older; /* outgrown, but a reader may be in it */
    unsigned bits;
    size_t used;
    _Atomic uintptr_t slots[];
};

static _Atomic(struct table *) symbols;
static _Atomic uint32_t n_made, n_nowhere; /* symbols so far; of addresses where no file was */

static const struct weft__symbol *symbol_of(uintptr_t slot)
{
    return (const struct weft__symbol *)(slot & ~(uintptr_t)FLOATING);
}

/* Finds the slot where pc is, or the free one where it would go. */
static _Atomic uintptr_t *slot_for(struct table *t, uintptr_t pc)
{
    size_t mask = ((size_t)1 << t->bits) - 1;
    size_t i = (size_t)((pc * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - t->bits));

    for (;; i = (i + 1) & mask) {
        uintptr_t v = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (v == 0 || symbol_of(v)->pc == pc)
            return &t->slots[i];
    }
}

static bool is_mapped(uintptr_t addr)
{
    struct dl_find_object o;

    return _dl_find_object((void *)addr, &o) == 0;
}

const struct weft__symbol *weft__symbol_lookup(uintptr_t pc)
{
    struct table *t = atomic_load_explicit(&symbols, memory_order_acquire);
    uintptr_t v;

    if (t == NULL)
        return NULL;
    v = atomic_load_explicit(slot_for(t, pc), memory_order_acquire);
    if (v == 0 || ((v & FLOATING) && is_mapped(pc)))
        return NULL;
    return symbol_of(v);
}

/* Makes sure that the table is at most half full. Returns false if memory ran out. */
static bool make_room(void)
{
    struct table *old = atomic_load_explicit(&symbols, memory_order_relaxed);
    unsigned bits = old == NULL ? FIRST_BITS : old->bits + 1;
    struct table *t;

    if (old != NULL && old->used < (size_t)1 << (old->bits - 1))
        return true;
    t = calloc(1, sizeof *t + (sizeof t->slots[0] << bits));
    if (t == NULL)
        return false;
    t->older = old;
    t->bits = bits;
    for (size_t i = 0; old != NULL && i < (size_t)1 << old->bits; i++) {
        uintptr_t v = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (v == 0)
            continue;
        atomic_store_explicit(slot_for(t, symbol_of(v)->pc), v, memory_order_relaxed);
        t->used++;
    }
    atomic_store_explicit(&symbols, t, memory_order_release);
    return true;
}

void weft__symbol_keep(const struct weft__symbol *s, bool is_floating)
{
    struct table *t;
    _Atomic uintptr_t *slot;

    if (!make_room())
        return;
    t = atomic_load_explicit(&symbols, memory_order_relaxed);
    slot = slot_for(t, s->pc);
    t->used += atomic_load_explicit(slot, memory_order_relaxed) == 0;
    atomic_store_explicit(slot, (uintptr_t)s | (is_floating ? FLOATING : 0), memory_order_release);
    atomic_fetch_add_explicit(&n_made, 1, memory_order_relaxed);
    if (!is_mapped(s->pc))
        atomic_fetch_add_explicit(&n_nowhere, 1, memory_order_relaxed);
}

void weft__symbols_float(uintptr_t lo, uintptr_t hi)
{
    struct table *t = atomic_load_explicit(&symbols, memory_order_relaxed);

    for (size_t i = 0; t != NULL && i < (size_t)1 << t->bits; i++) {
        uintptr_t v = atomic_load_explicit(&t->slots[i], memory_order_relaxed);
        if (v != 0 && symbol_of(v)->pc >= lo && symbol_of(v)->pc < hi)
            atomic_store_explicit(&t->slots[i], v | FLOATING, memory_order_release);
    }
}

const struct weft__symbol *weft__symbol_last(uintptr_t pc)
{
    struct table *t = atomic_load_explicit(&symbols, memory_order_relaxed);

    return t == NULL ? NULL
                     : symbol_of(atomic_load_explicit(slot_for(t, pc), memory_order_relaxed));
}

bool weft__symbol_may_make(uintptr_t addr)
{
    return atomic_load_explicit(&n_made, memory_order_relaxed) < WEFT__SYMBOLS_MOST &&
           (is_mapped(addr) ||
            atomic_load_explicit(&n_nowhere, memory_order_relaxed) < WEFT__NOWHERE_MOST);
}

void weft__symbols_count(uint32_t *all, uint32_t *nowhere)
{
    *all = atomic_load_explicit(&n_made, memory_order_relaxed);
    *nowhere = atomic_load_explicit(&n_nowhere, memory_order_relaxed);
}
