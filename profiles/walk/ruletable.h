/* SPDX-License-Identifier: MIT */
/* ruletable.h - the rules of single PCs, which a walk looks up first: some 6 ns each.
 *
 * Any thread may look up, without a lock, also in signal handlers. */
#ifndef WEFT_RULETABLE_H
#define WEFT_RULETABLE_H

#include <stdatomic.h>
#include <time.h>

#include "profiles/walk/learn.h"

enum {
    WEFT__RULE_FREE = 0, /* keys that are no address of code: the slot was never used */
    WEFT__RULE_GONE = 1, /* its rule was forgotten; a search goes on behind it */
};

struct weft__rule_slot {
    _Atomic uintptr_t key;
    struct weft__rule rule; /* constant once the key is there */
};

struct weft__rule_table {
    struct weft__rule_table *older; /* the next in the list of outgrown ones */
    time_t outgrown;                /* when this one was, by seconds() */
    unsigned bits;                  /* it has 1 << bits slots */
    size_t used;                    /* slots that are not FREE */
    size_t live;                    /* slots that are neither FREE nor GONE */
    _Alignas(64) struct weft__rule_slot slots[];
};

/* The present table; NULL before the first rule. */
extern _Atomic(struct weft__rule_table *) weft__rule_table;

static inline size_t weft__rule_slot(const struct weft__rule_table *t, uintptr_t addr)
{
    return (size_t)((addr * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - t->bits));
}

/* Returns the rule of addr in t; NULL if there is none. The rule never changes until t's memory is
 * used again. async-signal-safe */
static inline const struct weft__rule *weft__rule_in(const struct weft__rule_table *t,
                                                     uintptr_t addr)
{
    size_t mask = t == NULL ? 0 : ((size_t)1 << t->bits) - 1;

    if (t == NULL)
        return NULL;
    for (size_t i = weft__rule_slot(t, addr);; i = (i + 1) & mask) {
        uintptr_t key = atomic_load_explicit(&t->slots[i].key, memory_order_acquire);
        if (__builtin_expect(key == addr, 1))
            return &t->slots[i].rule;
        if (key == WEFT__RULE_FREE)
            return NULL;
    }
}

/* Copies the rule of addr that the table has. Returns false if it has none. async-signal-safe */
bool weft__rule_kept(struct weft__rule *out, uintptr_t addr);
/* Adds a rule. Symbolizer thread. */
void weft__rule_add(uintptr_t addr, const struct weft__rule *r);
/* Adds a rule that weft__rows_find gave, unless another thread writes just now. Any thread. */
void weft__rule_keep(uintptr_t addr, const struct weft__rule *r);
/* Drops all rules in [lo, hi). Symbolizer thread. */
void weft__rule_drop(uintptr_t lo, uintptr_t hi);
/* How many seconds pass before the memory of an outgrown table is used again. Tests set less. */
extern time_t weft__rules_rest;

#endif
