/* SPDX-License-Identifier: MIT */
/* ruletable.c - the table of rules by PC.
 *
 * Owns: the table. Any thread reads it, without a lock, also in signal handlers. The symbolizer
 * thread writes what it learns from libdw, and each walk that may learn what it finds in the rows
 * of a file (rows.h), so that it is found faster next time.
 * Lock: `writing` guards all writes. A walk only tries it.
 *
 * A slot's rule is written before its key (release; pairs with the acquire in weft__rule_in) and
 * never changes; forgetting a rule turns its key into GONE. A table that was outgrown is never
 * freed, since a reader may still be in it. After ten seconds its memory is used again for a table
 * of the same size. A reader that was descheduled for ten seconds in the middle of a lookup may
 * then find a wrong rule; its walk still stays inside its stack. At most RESTING outgrown tables of
 * a size exist, however often files come and go.
 *
 * Addresses outside every loaded file get no rule: _dl_find_object, which is async-signal-safe,
 * tells them. So walks over garbage add nothing to the table, and dlopen needs no notice.
 * weft__symbolizer_look notices a file that took another's place. A walk that does not come to an
 * outermost function calls it. A walk that comes there by rules of both files is not noticed. */
#include "profiles/walk/ruletable.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/walk/rows.h"

enum { RESTING = 3 }; /* outgrown tables of one size, at most */
time_t weft__rules_rest = 10;

enum {
    FIRST_BITS = 10,
    RULES_MAX =
        WEFT__RULES_MOST, /* 32 MiB; further rules are not kept, so each walk learns them again */
};

_Atomic(struct weft__rule_table *) weft__rule_table;
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static _Atomic size_t n_bytes;   /* of all tables */
static _Atomic uint32_t n_rules; /* live in the present one */

/* async-signal-safe */
bool weft__rule_kept(struct weft__rule *out, uintptr_t addr)
{
    const struct weft__rule *r =
        weft__rule_in(atomic_load_explicit(&weft__rule_table, memory_order_acquire), addr);

    if (r != NULL)
        *out = *r;
    return r != NULL;
}

/* async-signal-safe */
bool weft__rule_find(struct weft__rule *out, uintptr_t addr)
{
    const struct weft__rule *r;

    if (weft__rule_kept(out, addr))
        return true;
    r = weft__rows_find(addr);
    if (r != NULL)
        *out = *r;
    return r != NULL;
}

/* Adds a rule, for which t has room. TSan does not check this: it sees no order between a reader of
 * ten seconds ago and the reuse of a table. */
__attribute__((no_sanitize("thread"))) static void
insert(struct weft__rule_table *t, uintptr_t addr, const struct weft__rule *r)
{
    size_t mask = ((size_t)1 << t->bits) - 1;
    size_t i = weft__rule_slot(t, addr);

    while (atomic_load_explicit(&t->slots[i].key, memory_order_relaxed) != WEFT__RULE_FREE)
        i = (i + 1) & mask;
    t->slots[i].rule = *r;
    atomic_store_explicit(&t->slots[i].key, addr, memory_order_release);
    t->used++;
    t->live++;
}

static time_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

static size_t size_of(unsigned bits)
{
    return sizeof(struct weft__rule_table) + (sizeof(struct weft__rule_slot) << bits);
}

/* Takes a table of this size out of the list behind outgrown, and clears it. Returns NULL if none
 * has rested long enough; *resting receives how many have that size. */
__attribute__((no_sanitize("thread"))) static struct weft__rule_table *
table_again(unsigned bits, struct weft__rule_table *outgrown, int *resting)
{
    struct weft__rule_table *t, **at, **found = NULL;

    *resting = 0;
    for (at = &outgrown->older; *at != NULL; at = &(*at)->older) {
        if ((*at)->bits != bits)
            continue;
        ++*resting;
        if (seconds() - (*at)->outgrown >= weft__rules_rest)
            found = at;
    }
    if (found == NULL)
        return NULL;
    t = *found;
    *found = t->older;
    for (size_t i = 0; i < (size_t)1 << bits; i++)
        atomic_store_explicit(&t->slots[i].key, WEFT__RULE_FREE, memory_order_relaxed);
    t->used = t->live = 0;
    return t;
}

/* Returns an empty table of this size. Returns NULL if memory ran out, or if RESTING tables of the
 * size rest. */
static struct weft__rule_table *table_new(unsigned bits, struct weft__rule_table *older)
{
    int resting = 0;
    struct weft__rule_table *t = older != NULL ? table_again(bits, older, &resting) : NULL;

    if (t == NULL && resting < RESTING && (t = aligned_alloc(64, size_of(bits))) != NULL) {
        memset(t, 0, size_of(bits));
        atomic_fetch_add_explicit(&n_bytes, size_of(bits), memory_order_relaxed);
    }
    if (t == NULL)
        return NULL;
    t->bits = bits;
    t->older = older;
    if (older != NULL)
        older->outgrown = seconds();
    return t;
}

uint32_t weft__rules_count(size_t *bytes)
{
    *bytes = atomic_load_explicit(&n_bytes, memory_order_relaxed);
    return atomic_load_explicit(&n_rules, memory_order_relaxed);
}

/* Makes sure that the table has room for one more rule. Returns false if memory or room ran out. */
static bool make_room(void)
{
    struct weft__rule_table *old = atomic_load_explicit(&weft__rule_table, memory_order_relaxed);
    unsigned bits = FIRST_BITS;
    struct weft__rule_table *t;

    if (old != NULL && old->used < (size_t)1 << (old->bits - 1))
        return true;
    if (old != NULL && old->live >= RULES_MAX)
        return false;
    if (old != NULL) /* a table that is mostly WEFT__RULE_GONE gets a successor of the same size */
        bits = old->live < (size_t)1 << (old->bits - 2) ? old->bits : old->bits + 1;
    t = table_new(bits, old);
    if (t == NULL)
        return false;
    for (size_t i = 0; old != NULL && i < (size_t)1 << old->bits; i++) {
        uintptr_t key = atomic_load_explicit(&old->slots[i].key, memory_order_relaxed);
        if (key > WEFT__RULE_GONE)
            insert(t, key, &old->slots[i].rule);
    }
    atomic_store_explicit(&weft__rule_table, t, memory_order_release);
    return true;
}

static void count_rules(void)
{
    const struct weft__rule_table *t =
        atomic_load_explicit(&weft__rule_table, memory_order_relaxed);

    atomic_store_explicit(&n_rules, t != NULL ? (uint32_t)t->live : 0, memory_order_relaxed);
}

/* Caller holds `writing`. */
static void add(uintptr_t addr, const struct weft__rule *r)
{
    if (addr > WEFT__RULE_GONE && make_room())
        insert(atomic_load_explicit(&weft__rule_table, memory_order_relaxed), addr, r);
    count_rules();
}

void weft__rule_add(uintptr_t addr, const struct weft__rule *r)
{
    struct weft__rule there;

    pthread_mutex_lock(&writing);
    if (!weft__rule_kept(&there, addr))
        add(addr, r);
    pthread_mutex_unlock(&writing);
}

/* The rows of a file that is gone are dropped before its rules here: so a rule that is still in the
 * rows will be found by weft__rule_drop. */
void weft__rule_keep(uintptr_t addr, const struct weft__rule *r)
{
    struct weft__rule there;

    if (pthread_mutex_trylock(&writing) != 0)
        return;
    if (!weft__rule_kept(&there, addr) && weft__rows_find(addr) == r)
        add(addr, r);
    pthread_mutex_unlock(&writing);
}

void weft__rule_drop(uintptr_t lo, uintptr_t hi)
{
    struct weft__rule_table *t;

    pthread_mutex_lock(&writing);
    t = atomic_load_explicit(&weft__rule_table, memory_order_relaxed);
    for (size_t i = 0; t != NULL && i < (size_t)1 << t->bits; i++) {
        uintptr_t key = atomic_load_explicit(&t->slots[i].key, memory_order_relaxed);
        if (key < lo || key >= hi || key <= WEFT__RULE_GONE)
            continue;
        atomic_store_explicit(&t->slots[i].key, WEFT__RULE_GONE, memory_order_relaxed);
        t->live--;
    }
    count_rules();
    pthread_mutex_unlock(&writing);
}
