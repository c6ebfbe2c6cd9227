/* SPDX-License-Identifier: MIT */
/* live.c - see live.h.
 *
 * Owns: levels of slots. An address may be in one group of each level, by its hash. If the groups
 * of all levels are full, one more level is mapped, with twice the slots. A level never goes. So
 * adding takes the first free slot, removing frees the slot, and neither moves others.
 * A slot belongs to the thread that changed its key from FREE to TAKEN, and, once the key is an
 * address, to the thread that changed it from there to TAKEN. Its owner alone writes the words. */
#include "profiles/heap/live.h"

#include "runtime/base/atomic.h"

#include <string.h>
#include <sys/mman.h>

enum { FREE, TAKEN }; /* keys that are no address */
enum { GROUP = 8 /* keys on one cache line */, LEVELS = 20, FIRST_GROUPS = 512, WORDS = 4 };

struct words {
    uint64_t of[WORDS]; /* atomic: a sample's bytes */
};
_Static_assert(sizeof(struct words) == sizeof(struct weft__heap_sample), "a sample is WORDS long");
enum { TIME = offsetof(struct weft__heap_sample, time) / sizeof(uint64_t) };

struct group {
    _Alignas(64) uintptr_t keys[GROUP]; /* atomic */
};

static struct group *levels[LEVELS]; /* atomic; behind its groups a level has their words */
static size_t mapped;                /* atomic */

static size_t groups_of(int level)
{
    return (size_t)FIRST_GROUPS << level;
}

static size_t size_of(int level)
{
    return groups_of(level) * (sizeof(struct group) + GROUP * sizeof(struct words));
}

static struct words *words_of(struct group *groups, int level, size_t slot)
{
    return (struct words *)(void *)(groups + groups_of(level)) + slot;
}

/* Returns the index of the address's group. */
static size_t home_of(uintptr_t address, int level)
{
    return (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (groups_of(level) - 1);
}

/* Returns a level, and maps it if it is not there yet; NULL if memory ran out. */
static struct group *level_at(int level)
{
    struct group *have = weft__load_acq(&levels[level]), *made;

    if (have)
        return have;
    made = weft__map(size_of(level));
    if (made && !weft__cas(&levels[level], &have, made)) {
        munmap(made, size_of(level));
        return have;
    }
    if (made)
        weft__add(&mapped, size_of(level));
    return made;
}

static void put(struct words *to, const struct weft__heap_sample *s)
{
    struct words w;

    memcpy(&w, s, sizeof(w));
    for (int i = 0; i < WORDS; i++)
        weft__store(&to->of[i], w.of[i]);
}

static void get(struct weft__heap_sample *s, const struct words *from)
{
    struct words w;

    for (int i = 0; i < WORDS; i++)
        w.of[i] = weft__load(&from->of[i]);
    memcpy(s, &w, sizeof(w));
}

bool weft__heap_live_add(uintptr_t address, const struct weft__heap_sample *s)
{
    struct group *groups;

    for (int level = 0; level < LEVELS && (groups = level_at(level)) != NULL; level++) {
        size_t home = home_of(address, level);

        for (size_t i = 0; i < GROUP; i++) {
            uintptr_t *key = &groups[home].keys[i], none = FREE;

            if (weft__load(key) != FREE || !weft__cas(key, &none, TAKEN))
                continue;
            put(words_of(groups, level, home * GROUP + i), s);
            weft__store_rel(key, address);
            return true;
        }
    }
    return false;
}

bool weft__heap_live_remove(uintptr_t address, struct weft__heap_sample *s)
{
    struct group *groups;

    for (int level = 0; level < LEVELS && (groups = weft__load_acq(&levels[level])); level++) {
        size_t home = home_of(address, level);

        for (size_t i = 0; i < GROUP; i++) {
            uintptr_t *key = &groups[home].keys[i], have = address;

            if (weft__load(key) != address || !weft__cas(key, &have, TAKEN))
                continue;
            get(s, words_of(groups, level, home * GROUP + i));
            weft__store_rel(key, FREE);
            return true;
        }
    }
    return false;
}

/* Reads a slot. Returns false if it is not taken, or changes meanwhile: two samples at one address
 * have different times. */
static bool read_slot(struct group *groups, int level, size_t slot, struct weft__heap_sample *s)
{
    const uintptr_t *key = &groups[slot / GROUP].keys[slot % GROUP];
    const struct words *w = words_of(groups, level, slot);
    uintptr_t address = weft__load_acq(key);

    if (address == FREE || address == TAKEN)
        return false;
    get(s, w);
    weft__fence_full();
    return weft__load_acq(key) == address && weft__load(&w->of[TIME]) == (uint64_t)s->time;
}

void weft__heap_live_each(void (*fn)(void *arg, const struct weft__heap_sample *s), void *arg)
{
    struct weft__heap_sample s;
    struct group *groups;

    for (int level = 0; level < LEVELS && (groups = weft__load_acq(&levels[level])); level++) {
        for (size_t i = 0; i < groups_of(level) * GROUP; i++) {
            if (read_slot(groups, level, i, &s))
                fn(arg, &s);
        }
    }
}

size_t weft__heap_live_bytes(void)
{
    return weft__load(&mapped);
}
