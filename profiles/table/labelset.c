/* SPDX-License-Identifier: MIT */
/* labelset.c - see labelset.h.
 *
 * Owns: the sets, each with a reference that is never dropped, at the place that its hash names or
 * the next free one; its number is that place + 1. A place is filled once. */
#include "profiles/table/labelset.h"

#include "profiles/render/labels.h"

enum { PLACES = 2 * WEFT__LABELSETS, TOO_MANY = PLACES + 1 };

static weft__tags *kept[PLACES]; /* atomic */
static uint32_t n_kept;          /* atomic; at least the number of places that are filled */

static bool are_equal(const weft__tags *a, const weft__tags *b)
{
    return a->hash == b->hash && weft__labels_compare(a, b) == 0;
}

/* Fills the place with the set; false if others have filled it, or all there may be. */
static bool fill(uint32_t place, weft__tags *set)
{
    weft__tags *none = NULL;

    if (weft__add(&n_kept, 1) < WEFT__LABELSETS) {
        weft__tags_ref(set);
        if (weft__cas(&kept[place], &none, set))
            return true;
        weft__tags_drop(set);
    }
    weft__sub(&n_kept, 1);
    return false;
}

uint32_t weft__labelset_keep(const weft__tags *set)
{
    weft__tags *own = (weft__tags *)(uintptr_t)set; /* to count a reference */

    for (uint32_t i = 0; set && i < PLACES; i++) {
        uint32_t place = (uint32_t)((set->hash + i) % PLACES);
        const weft__tags *have = weft__load_acq(&kept[place]);

        if (!have && fill(place, own))
            return place + 1;
        if (!have && !(have = weft__load_acq(&kept[place])))
            return TOO_MANY;
        if (are_equal(have, set))
            return place + 1;
    }
    return set ? TOO_MANY : 0;
}

const weft__tags *weft__labelset_of(uint32_t id)
{
    __extension__ static const weft__tags too_many = {.n = 1, .labels = {{"labels", "too many"}}};

    if (id == TOO_MANY)
        return &too_many;
    return id ? weft__load_acq(&kept[id - 1]) : NULL;
}

uint32_t weft__labelset_count(void)
{
    return weft__load(&n_kept);
}
