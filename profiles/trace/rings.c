/* SPDX-License-Identifier: MIT */
/* rings.c - the tape's memory, and the rings through which threads write to it.
 *
 * Owns: the tape. Lock: tape_lock (rank LEAF) guards the list of rings and the giving out of
 * pieces; it is taken inside the scheduler. tape.c makes and frees the tape while no thread writes.
 *
 * Pieces are given out in turn. The piece that a strand is writing to is passed over, so the others
 * are written over oldest first. */
#include "profiles/trace/rings.h"

#include "profiles/trace/texts.h"
#include "profiles/walk/deferred.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { OWN_SIZE = 64 << 20, STACKS_MOST = 1 << 16, LEARN_MOST = 64 };
enum { SLOTS_MOST = 1 << 25 };

struct weft__tape weft__tape;

static uint32_t tape_lock;
static struct weft__tape_head *head; /* NULL: no tape */
static uint32_t next_piece;          /* guarded by tape_lock */
static weft__ring *rings;            /* atomic; written under tape_lock; only grows */
static struct weft__deferred *to_learn[LEARN_MOST]; /* atomic */
static struct {
    void *memory;
    size_t size;
} placed;

/* Rings ---------------------------------------------------------------------------------------- */

/* Returns whether a strand is writing to the piece. Caller holds tape_lock. */
static bool is_open(const struct weft__tape_piece *p)
{
    for (const weft__ring *r = rings; r; r = r->next) {
        if (r->piece == p)
            return true;
    }
    return false;
}

bool weft__ring_turn(weft__ring *r)
{
    struct weft__tape_piece *p = NULL;

    weft__lock(&tape_lock, WEFT__RANK_LEAF);
    for (uint32_t i = 0; i < weft__tape.n_pieces && (!p || is_open(p)); i++)
        p = &weft__tape.pieces[next_piece++ % weft__tape.n_pieces];
    if (!p || is_open(p)) {
        weft__unlock(&tape_lock);
        return false;
    }
    r->before += r->n;
    r->n = 0;
    r->piece = p;
    weft__store_rel(&p->serial, 0);
    weft__fence_full(); /* a reader that sees a new event sees that the piece has changed */
    weft__store(&p->strand, r->strand);
    weft__store(&p->before, r->before);
    weft__store(&p->n, 0);
    weft__store(&weft__tape.serials, weft__tape.serials + 1);
    weft__store_rel(&p->serial, weft__tape.serials);
    weft__unlock(&tape_lock);
    return true;
}

static void enlist(weft__ring *r)
{
    weft__lock(&tape_lock, WEFT__RANK_LEAF);
    r->strand = weft__tape.n_strands;
    weft__store(&weft__tape.n_strands, r->strand + 1);
    r->next = rings;
    weft__store_rel(&rings, r);
    weft__unlock(&tape_lock);
}

weft__ring *weft__ring_new(weft__worker *w)
{
    weft__ring *r = aligned_alloc(_Alignof(weft__ring), sizeof(*r));

    if (!r)
        return NULL;
    memset(r, 0, sizeof(*r));
    enlist(r);
    w->ring = r;
    w->ring_age = weft__load(&weft__tape.age);
    return r;
}

void weft__tape_wait(void)
{
    weft__fence_heavy();
    for (const weft__ring *r = weft__load_acq(&rings); r; r = r->next) {
        while (weft__load_acq(&r->busy))
            sched_yield();
    }
}

void weft__tape_learn(struct weft__deferred *d)
{
    for (int i = 0; i < LEARN_MOST; i++) {
        struct weft__deferred *none = NULL;

        if (!weft__load(&to_learn[i]) && weft__cas(&to_learn[i], &none, d))
            return;
    }
    free(d);
}

void weft__tape_learn_all(bool really)
{
    for (int i = 0; i < LEARN_MOST; i++) {
        struct weft__deferred *d = weft__load(&to_learn[i]) ? weft__xchg(&to_learn[i], NULL) : NULL;

        if (d && really)
            weft__deferred_finish(d);
        free(d);
    }
}

/* The memory ----------------------------------------------------------------------------------- */

void weft__tape_place(void *memory, size_t size)
{
    placed.memory = memory;
    placed.size = size;
}

void weft__tape_free(void)
{
    if (head && head != placed.memory)
        munmap(head, OWN_SIZE);
    head = NULL;
    if (weft__tape.lasts)
        munmap(weft__tape.lasts, SLOTS_MOST * sizeof(*weft__tape.lasts));
    weft__tape.lasts = NULL;
    if (weft__tape.stacks)
        weft__stacktab_free(weft__tape.stacks);
    weft__tape.stacks = NULL;
    for (weft__ring *r = rings, *next; r; r = next) {
        next = r->next;
        if (r != &weft__tape.common)
            free(r);
    }
    rings = NULL;
    weft__tape_learn_all(false);
    weft__texts_clear();
}

bool weft__tape_new(void)
{
    size_t size = placed.memory ? placed.size : OWN_SIZE;

    head = placed.memory ? placed.memory : weft__map(OWN_SIZE);
    weft__tape.lasts = weft__map(SLOTS_MOST * sizeof(*weft__tape.lasts));
    weft__tape.stacks = weft__stacktab_new();
    if (!head || !weft__tape.lasts || !weft__tape.stacks) {
        weft__tape_free();
        return false;
    }
    weft__stacktab_limit(weft__tape.stacks, STACKS_MOST);
    weft__tape.pieces = (struct weft__tape_piece *)(void *)((char *)head + WEFT__TAPE_HEAD_SIZE);
    weft__tape.n_pieces = (uint32_t)((size - WEFT__TAPE_HEAD_SIZE) / sizeof(*weft__tape.pieces));
    weft__tape.n_strands = next_piece = 0;
    weft__tape.serials = 0;
    memset(&weft__tape.common, 0, sizeof(weft__tape.common));
    head->version = 1;
    head->piece_size = sizeof(*weft__tape.pieces);
    head->pieces = weft__tape.n_pieces;
    head->base_ticks = weft__ticks();
    head->base_nanos = weft__ticks_to_nanos(head->base_ticks);
    weft__store_rel(&head->magic, WEFT__TAPE_MAGIC);
    weft__store(&weft__tape.age, weft__tape.age + 1);
    enlist(&weft__tape.common);
    return true;
}

const struct weft__stack_entry *weft__tape_stack(uint32_t id)
{
    return weft__stacktab_get(weft__tape.stacks, id);
}

uint32_t weft__tape_intern(const struct weft__walk *walk)
{
    return weft__stacktab_intern(weft__tape.stacks, walk);
}

uint32_t weft__tape_stacks(void)
{
    return weft__stacktab_count(weft__tape.stacks);
}

void weft__tape_run_begins(struct weft__event_sink *s)
{
    (void)s;
    weft__store_rel(&weft__tape.cut, weft__load(&weft__tape.cuts));
}

/* No task runs, so no event comes before the next run. Takes no lock: weft__tape_close waits for
 * the list of sinks, whose lock the caller holds. */
void weft__tape_run_ends(struct weft__event_sink *s)
{
    (void)s;
    weft__store_rel(&weft__tape.cut, 0);
    weft__tape_wait();
    weft__store_rel(&weft__tape.ended_run, weft__run_number);
}
