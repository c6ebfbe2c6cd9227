/* SPDX-License-Identifier: MIT */
/* places.c - see places.h.
 *
 * The words of a fingerprint (fingerprint.h) determine, one after another, where the next one is.
 * So the fingerprints of all places make a tree: a node stands for the words so far, and has the
 * position of the next. All nodes are in one hash table, by their parent and the word. Finding a
 * stack takes as many probes as it has frames, however many places there are. Before that, the
 * stack is compared with the two places that were found last for the same function and depth. One
 * is right most often, and costs a nanosecond or two for each frame.
 *
 * Places belong to a generation. A new one begins, without any node or place of the last, when the
 * table is full, or when the rules of a file that is gone were dropped. So the table is bounded,
 * and places in use are soon known again. A generation lasts at least weft__places_least; if it
 * would have to end earlier, no place is added until then. The generation after the next uses the
 * memory of a place again, with another id. So keys name places by id, not by address, and a reader
 * checks the id again after it has read a place.
 *
 * Readers take no lock. A node's seq is odd while the node changes, and different afterwards; so is
 * that of a remembered cell. `adding` guards all writes but those of remembered cells; a second
 * writer gives up. Cells are never freed, so the worst outcome is that a cell is not found. */
#include "profiles/table/places.h"

#include "profiles/walk/learn.h"
#include "runtime/base/clock.h"
#include "runtime/base/lock.h"

#include <stdlib.h>

enum { NODES = 1 << 17, NODES_MOST = NODES / 4 * 3, CELLS = 4096, RECENT = 1024 };
enum { FROM_SP = 1 /* flag of next */, FIRST = WEFT__CTX_PC * 8, CHAIN = WEFT__CTX_BP * 8 };
_Static_assert(FIRST == CHAIN + 8, "a saved context begins a chain");

int64_t weft__places_least = 1000000000; /* tests set less */

/* The NODES nodes. All members are atomic; `adding` guards writes. They are mapped when the first
 * run begins, for the life of the process: as static data they would keep a process from starting
 * under a small ulimit -d, without a message. */
static struct node {
    uint32_t seq, generation;
    uint32_t parent; /* index + 1; 0: the first word */
    uint32_t next;  /* where the next word is, in bytes above sp, and FROM_SP (words are aligned) */
    uintptr_t word; /* as a fingerprint's step has it */
    const weft__place *place; /* the word was the last; else NULL */
} * nodes;

static uint32_t generation = 1;    /* atomic */
static uint32_t adding;            /* lock; guards what follows */
static uint32_t age;               /* atomic: of the rules by which this generation was walked */
static int64_t began;              /* ns, when it began */
static uint32_t n_nodes, n_places; /* atomic; of this generation */
static weft__place *places[2][WEFT__PLACES]; /* by odd and even generations */

void weft__places_start(void)
{
    if (!nodes && !(nodes = weft__map(NODES * sizeof(*nodes))))
        weft__no_memory(NULL, "table of places, %zu bytes", NODES * sizeof(*nodes));
}

uint32_t weft__places_count(void)
{
    return weft__load(&n_places);
}

static uint64_t mix(uint64_t h, uint64_t word)
{
    return (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t slot_of(uint32_t parent, uintptr_t word)
{
    uint64_t h = mix(mix(parent, word) >> 17, word);

    return (uint32_t)(h >> 40) % NODES;
}

/* Finds the child of parent by this word, in this generation, and copies it to out. Returns its
 * index + 1; 0: there is none. */
static uint32_t child(uint32_t parent, uintptr_t word, uint32_t of, struct node *out)
{
    for (uint32_t i = slot_of(parent, word);; i = (i + 1) % NODES) {
        const struct node *n = &nodes[i];
        uint32_t seq = weft__load_acq(&n->seq);
        bool is_it;

        if ((seq & 1) || weft__load_acq(&n->generation) != of)
            return 0;
        is_it = weft__load_acq(&n->parent) == parent && weft__load_acq(&n->word) == word;
        out->next = weft__load_acq(&n->next);
        out->place = weft__load_acq(&n->place);
        if (weft__load_acq(&n->seq) != seq)
            return 0;
        if (is_it)
            return i + 1;
    }
}

/* Reads a word of a stack, which may change meanwhile. */
WEFT__NO_SANITIZE static inline uintptr_t word_at(uintptr_t addr)
{
    return *(const volatile uintptr_t *)addr;
}

static const weft__place *recent[RECENT]; /* atomic */

/* Picks two slots by the task's function and the depth of its stack, which differ in most places. A
 * task often waits in turn at two places of one depth. */
static const weft__place **recent_of(const weft__task *t)
{
    uint64_t h = mix((uintptr_t)t->fn, t->ctx.hi - weft__task_color(t) - (uintptr_t)t->ctx.sp);

    return &recent[(h >> 40) % RECENT & ~UINT64_C(1)];
}

/* Returns whether the stack has these words of a place, whose values count from base. The place may
 * change meanwhile, so each position is checked. */
static inline bool has_words(const weft__place *p, uint32_t from, uint32_t to, uintptr_t base,
                             uintptr_t sp, uintptr_t room)
{
    for (uint32_t i = from; i < to; i++) {
        uintptr_t at = weft__load_acq(&p->words[i].at);

        if (at > room || word_at(sp + at) - base != weft__load_acq(&p->words[i].value))
            return false;
    }
    return true;
}

static WEFT__NOINLINE bool has_rest(const weft__place *p, uintptr_t sp, uintptr_t room)
{
    uint32_t n = weft__load_acq(&p->n_words), returns = weft__load_acq(&p->n_returns);

    return n - 1 < WEFT__PLACE_STEPS && returns <= n && has_words(p, 0, returns, 0, sp, room) &&
           has_words(p, returns, n, sp, sp, room);
}

/* Most places are a chain, and no more. room: the highest position of a word. */
static inline bool is_at(const weft__place *p, uintptr_t sp, uintptr_t room)
{
    const struct weft__place_frame *f = p->chain, *end = f + weft__load_acq(&p->n_chained);
    bool all = f != end && weft__load_acq(&p->n_words) == 0;
    uintptr_t at = CHAIN, next, last = weft__load_acq(&p->last);

    for (; f != end; f++, at = next) {
        next = weft__load_acq(&f->next);
        if (at >= room ||
            ((word_at(sp + at) - sp) ^ next) | (word_at(sp + at + 8) ^ weft__load_acq(&f->pc)))
            return false;
    }
    return (last == 0 || (at < room && word_at(sp + at + 8) == last)) &&
           (weft__likely(all) || has_rest(p, sp, room));
}

static bool is_of(uint64_t id, uint32_t of)
{
    return id >> 32 == of;
}

static WEFT__FRAMELESS bool fits(struct weft__known k, uint32_t of, uintptr_t sp, uintptr_t hi)
{
    return is_of(k.id, of) && is_at(k.place, sp, hi - sp - 8) &&
           weft__load_acq(&k.place->id) == k.id;
}

static inline struct weft__known known_of(const weft__place *p)
{
    return (struct weft__known){p, p ? weft__load_acq(&p->id) : 0};
}

static const weft__place *find_node(uintptr_t sp, uintptr_t hi, uint32_t of)
{
    struct node n = {.next = FIRST};
    uint32_t id = 0;

    do {
        uint32_t at = n.next & ~(uint32_t)FROM_SP;

        if (hi - sp < at + 8)
            return NULL;
        id = child(id, word_at(sp + at) - (n.next & FROM_SP ? sp : 0), of, &n);
    } while (id && !n.place);
    return id ? n.place : NULL;
}

/* Tries the second slot, then the tree; remembers what the tree has. */
static WEFT__NOINLINE struct weft__known find_slowly(const weft__task *t, const weft__place **last)
{
    const struct weft__known none = {NULL, 0};
    bool is_valid = weft__load_acq(&age) == weft__learned_age();
    uint32_t of = weft__load_acq(&generation);
    uintptr_t sp = (uintptr_t)t->ctx.sp;
    struct weft__known known = known_of(weft__load_acq(&last[1]));

    if (!is_valid)
        return none;
    if (fits(known, of, sp, t->ctx.hi))
        return known;
    known = known_of(find_node(sp, t->ctx.hi, of));
    if (!is_of(known.id, of)) /* or a later generation has its memory */
        return none;
    weft__store_rel(&last[1], weft__load(&last[0]));
    weft__store_rel(&last[0], known.place);
    return known;
}

/* Reads age before generation: then the generation is that of these rules, or a later one. */
struct weft__known weft__place_find(const weft__task *t)
{
    bool is_valid = weft__load_acq(&age) == weft__learned_age();
    const weft__place **last = recent_of(t);
    struct weft__known known = known_of(weft__load_acq(last));

    if (weft__likely(is_valid &&
                     fits(known, weft__load_acq(&generation), (uintptr_t)t->ctx.sp, t->ctx.hi)))
        return known;
    return find_slowly(t, last);
}

bool weft__place_read(struct weft__known known, struct weft__walk *walk)
{
    walk->kept = walk->depth = weft__load_acq(&known.place->n);
    for (uint32_t i = 0; i < walk->kept; i++)
        walk->pcs[i] = weft__load_acq(&known.place->pcs[i]);
    return weft__load_acq(&known.place->id) == known.id;
}

/* Adding --------------------------------------------------------------------------------------- */

/* Begins a generation. Returns false if the last one is too young. Caller holds adding. */
static bool begin_generation(uint32_t rules)
{
    weft__check_holds(&adding);
    int64_t now = weft__mono();

    if (now - began < weft__places_least)
        return false;
    began = now;
    weft__store_rel(&generation, generation + 1);
    weft__store_rel(&age, rules);
    weft__store(&n_nodes, 0);
    weft__store(&n_places, 0);
    return true;
}

static uint32_t add_node(uint32_t parent, uintptr_t word, uint32_t next, const weft__place *place)
{
    uint32_t i = slot_of(parent, word);
    struct node *n;

    while (nodes[i].generation == generation)
        i = (i + 1) % NODES;
    n = &nodes[i];
    weft__store(&n->seq, n->seq + 1);
    weft__fence_full();
    weft__store(&n->parent, parent);
    weft__store(&n->word, word);
    weft__store(&n->next, next);
    weft__store(&n->place, place);
    weft__store_rel(&n->generation, generation);
    weft__store_rel(&n->seq, n->seq + 1);
    weft__store(&n_nodes, n_nodes + 1);
    return i + 1;
}

static uint32_t step_at(const struct weft__fingerprint_step *s)
{
    return s->at | (s->from_sp ? FROM_SP : 0);
}

/* Returns the step at this position that counts from sp, or the one that does not; NULL: there is
 * none. */
static const struct weft__fingerprint_step *step_of(const struct weft__fingerprint *fingerprint,
                                                    uintptr_t at, bool from_sp)
{
    for (uint32_t i = 0; i < fingerprint->n; i++) {
        const struct weft__fingerprint_step *s = &fingerprint->steps[i];

        if (s->at == at && s->from_sp == from_sp)
            return s;
    }
    return NULL;
}

/* Writes the chain and what is behind it. Returns where that is. */
static uintptr_t write_chain(weft__place *p, const struct weft__fingerprint *fingerprint)
{
    const struct weft__fingerprint_step *base, *pc;
    uintptr_t at = CHAIN;
    uint32_t n = 0;

    while ((pc = step_of(fingerprint, at + 8, false)) != NULL &&
           (base = step_of(fingerprint, at, true)) != NULL && n < WEFT__PLACE_STEPS / 2) {
        weft__store_rel(&p->chain[n].next, base->value);
        weft__store_rel(&p->chain[n++].pc, pc->value);
        at = base->value;
    }
    weft__store_rel(&p->n_chained, n);
    weft__store_rel(&p->last, pc ? pc->value : 0);
    return at;
}

/* Returns whether the chain of a place, which ends at this position, has the step. */
static bool is_chained(const weft__place *p, uintptr_t end, const struct weft__fingerprint_step *s)
{
    uintptr_t at = CHAIN, of = s->from_sp ? s->at : s->at - 8;

    for (uint32_t i = 0; i < p->n_chained; at = p->chain[i++].next) {
        if (at == of)
            return true;
    }
    return end == of && !s->from_sp;
}

/* Writes the other words that count from sp, or the others, behind the first n. Returns how many
 * there are now. */
static uint32_t write_words(weft__place *p, const struct weft__fingerprint *fingerprint,
                            uintptr_t end, bool from_sp, uint32_t n)
{
    for (uint32_t i = 0; i < fingerprint->n; i++) {
        const struct weft__fingerprint_step *s = &fingerprint->steps[i];

        if (s->from_sp == from_sp && !is_chained(p, end, s)) {
            weft__store_rel(&p->words[n].at, s->at);
            weft__store_rel(&p->words[n++].value, s->value);
        }
    }
    return n;
}

static void write_steps(weft__place *p, const struct weft__fingerprint *fingerprint)
{
    uintptr_t end = write_chain(p, fingerprint);
    uint32_t returns = write_words(p, fingerprint, end, false, 0);

    weft__store_rel(&p->n_returns, returns);
    weft__store_rel(&p->n_words, write_words(p, fingerprint, end, true, returns));
}

static void write_place(weft__place *p, const struct weft__fingerprint *fingerprint,
                        const struct weft__walk *walk)
{
    static const struct weft__fingerprint none;

    weft__store(&p->n, walk->kept);
    for (uint32_t i = 0; i < walk->kept; i++)
        weft__store_rel(&p->pcs[i], walk->pcs[i]);
    write_steps(p, fingerprint->n <= WEFT__PLACE_STEPS ? fingerprint : &none);
}

static weft__place *new_place(const struct weft__fingerprint *fingerprint,
                              const struct weft__walk *walk)
{
    weft__place **at = &places[generation % 2][n_places], *p;

    if (!*at && !(*at = calloc(1, sizeof(**at))))
        return NULL;
    p = *at;
    weft__store(&p->id, 0);
    weft__fence_full();
    write_place(p, fingerprint, walk);
    weft__store(&n_places, n_places + 1);
    weft__store_rel(&p->id, (uint64_t)generation << 32 | n_places);
    return p;
}

/* Adds the place of a fingerprint, unless another thread did. Returns NULL without memory. Caller
 * holds adding. */
static const weft__place *add_fingerprint(const struct weft__fingerprint *fingerprint,
                                          const struct weft__walk *walk)
{
    weft__check_holds(&adding);
    const weft__place *place;
    struct node n;
    uint32_t id = 0, have, i;

    for (i = 0; i < fingerprint->n; i++, id = have) {
        have = child(id, fingerprint->steps[i].value, generation, &n);
        if (!have)
            break;
        if (n.place)
            return n.place;
    }
    place = new_place(fingerprint, walk);
    for (; place && i < fingerprint->n; i++) {
        bool last = i + 1 == fingerprint->n;

        id = add_node(id, fingerprint->steps[i].value,
                      last ? 0 : step_at(&fingerprint->steps[i + 1]), last ? place : NULL);
    }
    return place;
}

struct weft__known weft__place_add(const weft__task *t, const struct weft__walk *walk,
                                   struct weft__fingerprint *fingerprint)
{
    struct weft__known known = {NULL, 0};
    uint32_t rules = weft__learned_age();
    bool room;

    if (walk->kept == 0 || walk->kept > WEFT__PLACE_FRAMES ||
        !weft__fingerprint_learn(fingerprint, t->ctx.sp, t->ctx.hi, walk) ||
        !weft__trylock(&adding, WEFT__RANK_TASKS))
        return known;
    room = age == rules && n_places < WEFT__PLACES && n_nodes + fingerprint->n < NODES_MOST;
    if (room || begin_generation(rules))
        known = known_of(add_fingerprint(fingerprint, walk));
    weft__unlock(&adding);
    return known;
}

/* Cells that were found before ---------------------------------------------------------------- */

static struct kept_cell {
    uint32_t seq; /* this field and the next two are atomic */
    struct weft__cell_key key;
    weft__cell *cell;
} kept_cells[CELLS];

static struct kept_cell *kept_at(const struct weft__cell_key *key)
{
    uint64_t h = mix(key->place, key->holder);

    h = mix(h ^ h >> 32, (uintptr_t)key->object ^ key->table << 48);
    return &kept_cells[(mix(h, key->labels_reason) >> 40) % CELLS];
}

static bool is_for(const struct kept_cell *s, const struct weft__cell_key *key)
{
    return weft__load_acq(&s->key.table) == key->table &&
           weft__load_acq(&s->key.place) == key->place &&
           weft__load_acq(&s->key.holder) == key->holder &&
           weft__load_acq(&s->key.object) == key->object &&
           weft__load_acq(&s->key.labels_reason) == key->labels_reason;
}

weft__cell *weft__cell_find(const struct weft__cell_key *key)
{
    struct kept_cell *s = kept_at(key);
    uint32_t seq = weft__load_acq(&s->seq);
    weft__cell *cell;

    if ((seq & 1) || !is_for(s, key))
        return NULL;
    cell = weft__load_acq(&s->cell); /* the fields first, then seq again */
    return weft__load_acq(&s->seq) == seq ? cell : NULL;
}

/* Gives up if another thread is writing the same slot. */
void weft__cell_remember(const struct weft__cell_key *key, weft__cell *cell)
{
    struct kept_cell *s = kept_at(key);
    uint32_t seq = weft__load(&s->seq);

    if ((seq & 1) || !weft__cas(&s->seq, &seq, seq + 1))
        return;
    weft__store_rel(&s->key.table, key->table);
    weft__store_rel(&s->key.place, key->place);
    weft__store_rel(&s->key.holder, key->holder);
    weft__store_rel(&s->key.object, key->object);
    weft__store_rel(&s->key.labels_reason, key->labels_reason);
    weft__store_rel(&s->cell, cell);
    weft__store_rel(&s->seq, seq + 2);
}
