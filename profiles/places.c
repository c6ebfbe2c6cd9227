/* SPDX-License-Identifier: MIT */
/* places.c - see places.h.
 *
 * Owns: the places, in chains that only grow; and the ties, one in the slot that its hash names,
 * where the last one set is. No locks: a place is complete before it is in its chain, and a tie's
 * seq is odd while it changes and another afterwards. Cells are never freed, so the worst that can
 * come of a tie is that it is not found. */
#include "places.h"

#include "learn.h"

#include <stdlib.h>
#include <string.h>

enum { HEADS = 1024, PLACES_MOST = 4096, TIES = 4096 };

static weft__place *heads[HEADS]; /* atomic */
static uint32_t n_places;         /* atomic */

static struct tie {
    uint32_t seq; /* atomic; what follows, too */
    struct weft__tie is;
    weft__cell *cell;
} ties[TIES];

static uint64_t mix(uint64_t h, uint64_t word)
{
    return (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Of what the task runs, and how deep it is in it: that tells most places apart. */
static uint64_t key_of(const weft__task *t)
{
    uint64_t h = mix((uintptr_t)t->fn, t->ctx.hi - weft__task_color(t) - (uintptr_t)t->ctx.sp);

    return h ^ h >> 32;
}

const weft__place *weft__place_find(const weft__task *t)
{
    uint64_t key = key_of(t);
    const weft__place *p = weft__load_acq(&heads[key % HEADS]);

    for (; p; p = p->next) {
        if (p->key == key && weft__trail_fits(&p->trail, t->ctx.sp, t->ctx.hi))
            return p->age == weft__learned_age() ? p : NULL;
    }
    return NULL;
}

const weft__place *weft__place_add(const weft__task *t, const struct weft__walk *walk)
{
    weft__place *p;

    if (walk->kept == 0 || walk->kept > WEFT__PLACE_FRAMES ||
        weft__load(&n_places) >= PLACES_MOST || !(p = malloc(sizeof(*p))))
        return NULL;
    p->key = key_of(t);
    p->age = weft__learned_age();
    p->n = walk->kept;
    memcpy(p->pcs, walk->pcs, p->n * sizeof(*p->pcs));
    if (!weft__trail_learn(&p->trail, t->ctx.sp, t->ctx.hi, walk)) {
        free(p);
        return NULL;
    }
    weft__add(&n_places, 1);
    p->next = weft__load(&heads[p->key % HEADS]);
    while (!weft__cas(&heads[p->key % HEADS], &p->next, p))
        ;
    return p;
}

/* Ties ----------------------------------------------------------------------------------------- */

static struct tie *slot_of(const struct weft__tie *t)
{
    uint64_t h = mix((uintptr_t)t->place, (uintptr_t)t->holder);

    h = mix(h ^ h >> 32, (uintptr_t)t->object ^ (uintptr_t)t->buckets);
    return &ties[(mix(h, t->labels_reason) >> 40) % TIES];
}

static bool is_tie(const struct tie *s, const struct weft__tie *t)
{
    return weft__load(&s->is.buckets) == t->buckets && weft__load(&s->is.place) == t->place &&
           weft__load(&s->is.holder) == t->holder && weft__load(&s->is.object) == t->object &&
           weft__load(&s->is.labels_reason) == t->labels_reason;
}

weft__cell *weft__tie_find(const struct weft__tie *tie)
{
    struct tie *s = slot_of(tie);
    uint32_t seq = weft__load_acq(&s->seq);
    weft__cell *cell;

    if ((seq & 1) || !is_tie(s, tie))
        return NULL;
    cell = weft__load_acq(&s->cell); /* the fields first, then seq again */
    return weft__load_acq(&s->seq) == seq ? cell : NULL;
}

/* Whoever comes while another sets it, leaves it. */
void weft__tie_set(const struct weft__tie *tie, weft__cell *cell)
{
    struct tie *s = slot_of(tie);
    uint32_t seq = weft__load(&s->seq);

    if ((seq & 1) || !weft__cas(&s->seq, &seq, seq + 1))
        return;
    weft__store_rel(&s->is.buckets, tie->buckets);
    weft__store_rel(&s->is.place, tie->place);
    weft__store_rel(&s->is.holder, tie->holder);
    weft__store_rel(&s->is.object, tie->object);
    weft__store_rel(&s->is.labels_reason, tie->labels_reason);
    weft__store_rel(&s->cell, cell);
    weft__store_rel(&s->seq, seq + 2);
}
