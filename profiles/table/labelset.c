/* SPDX-License-Identifier: MIT */
/* labelset.c - see labelset.h.
 *
 * Owns: the sets, each in a slot, with a reference. An id is the number of a slot and how often the
 * slot was filled. The filled slots are a list in the order of their last use. So no sorting is
 * needed to drop the half that was used least recently, while threads that record waits spin on the
 * lock.
 * Lock: sets.lock (rank TABLES) guards all of it. */
#include "profiles/table/labelset.h"

#include "runtime/base/clock.h"
#include "runtime/base/lock.h"

#include <string.h>

enum { PLACES = 2 * WEFT__LABELSETS, SLOT_BITS = 10, TOO_MANY = 1 /* no slot is filled 0 times */ };
_Static_assert(WEFT__LABELSETS == 1 << SLOT_BITS, "an id's lower bits are a slot");

int64_t weft__labelset_least = INT64_C(10000000000);

struct slot {
    weft__tags *set;            /* NULL: free */
    uint32_t filled;            /* times */
    struct slot *older, *newer; /* by their last use; NULL: it is the oldest, the newest */
};

static struct {
    uint32_t lock;
    uint32_t n;    /* atomic */
    uint64_t gone; /* atomic */
    struct slot *oldest, *newest;
    int64_t last;            /* ns, when sets went last */
    uint16_t places[PLACES]; /* slot + 1 by the set's hash, or the next free place */
    struct slot slots[WEFT__LABELSETS];
} sets;

__extension__ static weft__tags too_many = {.refs = 1, .n = 1, .labels = {{"labels", "too many"}}};

static uint32_t id_of(const struct slot *s)
{
    return s->filled << SLOT_BITS | (uint32_t)(s - sets.slots);
}

/* Returns the slot of an id, or NULL if its set went. Caller holds the lock. */
static struct slot *slot_of(uint32_t id)
{
    struct slot *s = &sets.slots[id % WEFT__LABELSETS];

    return s->set && id_of(s) == id ? s : NULL;
}

/* Finds the place of a set, or the free one where it would be. Caller holds the lock. */
static uint16_t *place_of(const weft__tags *set)
{
    for (uint64_t i = set->hash;; i++) {
        uint16_t *place = &sets.places[i % PLACES];
        const weft__tags *have = *place ? sets.slots[*place - 1].set : NULL;

        if (!have || (have->hash == set->hash && weft__tags_compare(have, set) == 0))
            return place;
    }
}

/* Caller holds the lock. */
static void take_out(struct slot *s)
{
    *(s->older ? &s->older->newer : &sets.oldest) = s->newer;
    *(s->newer ? &s->newer->older : &sets.newest) = s->older;
}

/* Caller holds the lock. */
static void link_newest(struct slot *s)
{
    s->older = sets.newest;
    s->newer = NULL;
    *(s->older ? &s->older->newer : &sets.oldest) = s;
    sets.newest = s;
}

/* Drops the half that was used least recently, and gives each set that stays its place. Returns
 * false if a half went just before. Caller holds the lock. */
static bool drop_half(void)
{
    weft__check_holds(&sets.lock);
    int64_t now = weft__mono();

    if (sets.last && now - sets.last < weft__labelset_least)
        return false;
    sets.last = now;
    for (uint32_t i = 0; i < WEFT__LABELSETS / 2; i++) {
        struct slot *s = sets.oldest;

        take_out(s);
        weft__tags_drop(s->set);
        s->set = NULL;
    }
    memset(sets.places, 0, sizeof(sets.places));
    for (struct slot *s = sets.oldest; s; s = s->newer)
        *place_of(s->set) = (uint16_t)(s - sets.slots + 1);
    weft__store(&sets.n, sets.n - WEFT__LABELSETS / 2);
    weft__store(&sets.gone, sets.gone + WEFT__LABELSETS / 2);
    return true;
}

/* Puts a set into a free slot, and the slot into its place. Caller holds the lock. */
static struct slot *fill(weft__tags *set)
{
    struct slot *s = sets.slots;

    while (s->set)
        s++;
    s->set = weft__tags_ref(set);
    s->filled++;
    link_newest(s);
    *place_of(set) = (uint16_t)(s - sets.slots + 1);
    weft__store(&sets.n, sets.n + 1);
    return s;
}

uint32_t weft__labelset_keep(const weft__tags *set)
{
    uint32_t id = TOO_MANY;
    struct slot *s = NULL;
    uint16_t *place;

    if (!set)
        return 0;
    weft__lock(&sets.lock, WEFT__RANK_TABLES);
    place = place_of(set);
    if (*place) {
        s = &sets.slots[*place - 1];
        take_out(s);
        link_newest(s);
    } else if (sets.n < WEFT__LABELSETS || drop_half()) {
        s = fill((weft__tags *)(uintptr_t)set); /* to count a reference */
    }
    if (s)
        id = id_of(s);
    weft__unlock(&sets.lock);
    return id;
}

uint32_t weft__labelset_now(uint32_t id)
{
    uint32_t now;

    if (id <= TOO_MANY)
        return id;
    weft__lock(&sets.lock, WEFT__RANK_TABLES);
    now = slot_of(id) ? id : TOO_MANY;
    weft__unlock(&sets.lock);
    return now;
}

weft__tags *weft__labelset_get(uint32_t id)
{
    weft__tags *set;

    if (id == 0)
        return NULL;
    weft__lock(&sets.lock, WEFT__RANK_TABLES);
    set = id != TOO_MANY && slot_of(id) ? slot_of(id)->set : &too_many;
    weft__tags_ref(set);
    weft__unlock(&sets.lock);
    return set;
}

uint32_t weft__labelset_count(void)
{
    return weft__load(&sets.n);
}

uint64_t weft__labelset_gone(void)
{
    return weft__load(&sets.gone);
}
