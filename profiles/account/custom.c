/* SPDX-License-Identifier: MIT */
/* custom.c - profiles of the program's own (see weft/profile.h).
 *
 * Owns: for each profile its descriptor, a table of stacks and, in shards by the hash of the value,
 * a map from each value to the stack that added it. Programs add and remove values on any thread; a
 * walk asks for unknown rules, so none is done under a lock.
 * Lock: shard->lock (rank TASKS) guards the shard.
 * Always:
 *   entries[i].stack == 0 means that slot i is free; at least one slot in four is
 *   a value is in the first free slot from its own on (removing moves up the values that follow) */
#include "profiles/account/profile.h"
#include "profiles/capture/running.h"
#include "profiles/render/stack_text.h"
#include "profiles/table/buckets.h"
#include "profiles/table/idmap.h"
#include "runtime/base/utf8.h"
#include "runtime/sched/scheduler.h"

#include <stdlib.h>
#include <string.h>

enum { SHARD_BITS = 5, SHARDS = 1 << SHARD_BITS, ROOM_FIRST = 16 };

struct entry {
    const void *value;
    uint32_t stack; /* in the profile's table; 0: free */
};

/* Has a cache line of its own, so that threads in other shards do not slow it down. */
struct shard {
    _Alignas(64) uint32_t lock; /* rank TASKS */
    uint32_t n;                 /* atomic: values; written under the lock */
    uint32_t room;              /* of entries: a power of two, or 0 */
    struct entry *entries;
};

struct weft_profile {
    struct weft__profile profile; /* the first, so that its address is that of the whole */
    struct weft__pprof_type value;
    weft__stacktab *stacks;
    struct shard *shards;
    char name[WEFT__PROFILE_NAME_MAX + 1];
};

/* Names ---------------------------------------------------------------------------------------- */

static bool is_printable(const char *name)
{
    size_t n;

    for (; *name; name += n) {
        n = weft__utf8_length(name);
        if (n == 0 || (n == 1 && (*name < ' ' || *name == 127)) ||
            (n > 1 && weft__is_hidden(weft__utf8_char(name, n))))
            return false;
    }
    return true;
}

static bool is_name(const char *name)
{
    size_t n = strnlen(name, WEFT__PROFILE_NAME_MAX + 1);

    return n > 0 && n <= WEFT__PROFILE_NAME_MAX && name[0] != '/' && name[n - 1] != '/' &&
           is_printable(name);
}

static WEFT__NORETURN void refuse(const char *name)
{
    char shown[WEFT__PROFILE_NAME_MAX + 1];
    size_t n = strnlen(name, WEFT__PROFILE_NAME_MAX);

    for (size_t i = 0; i < n; i++)
        shown[i] = (unsigned char)name[i] < ' ' || name[i] == 127 ? '?' : name[i];
    shown[n] = 0;
    weft__panic("weft: weft_profile_new: \"%s\" is no name for a profile", shown);
}

/* A shard -------------------------------------------------------------------------------------- */

static uint64_t hash_of(const void *value)
{
    return weft__idmap_mix((uintptr_t)value);
}

static struct shard *shard_of(const weft_profile *p, uint64_t hash)
{
    return &p->shards[hash >> (64 - SHARD_BITS)];
}

/* Finds the slot of value, or the free one for it. There is room. Caller holds the lock, if other
 * threads know s. */
static uint32_t place_of(const struct shard *s, const void *value, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (s->room - 1);

    while (s->entries[i].stack && s->entries[i].value != value)
        i = (i + 1) & (s->room - 1);
    return i;
}

/* Makes room for one more. Caller holds the lock. */
static void reserve(struct shard *s)
{
    weft__check_holds(&s->lock);
    struct shard bigger = {.room = s->room ? s->room * 2 : ROOM_FIRST};

    if ((s->n + 1) * UINT64_C(4) <= s->room * UINT64_C(3))
        return;
    bigger.entries = weft__alloc(bigger.room, sizeof(*bigger.entries));
    for (uint32_t i = 0; i < s->room; i++) {
        const struct entry *e = &s->entries[i];

        if (e->stack)
            bigger.entries[place_of(&bigger, e->value, hash_of(e->value))] = *e;
    }
    weft__free(s->entries);
    s->entries = bigger.entries;
    s->room = bigger.room;
}

/* Adds value. Returns false if it is there already. */
static bool shard_add(struct shard *s, const void *value, uint64_t hash, uint32_t stack)
{
    uint32_t i;
    bool added;

    weft__lock(&s->lock, WEFT__RANK_TASKS);
    reserve(s);
    i = place_of(s, value, hash);
    added = !s->entries[i].stack;
    if (added) {
        s->entries[i] = (struct entry){value, stack};
        weft__store(&s->n, s->n + 1);
    }
    weft__unlock(&s->lock);
    return added;
}

/* Frees place i: an entry that would be there had it been free moves up, and so on. Caller holds
 * the lock. */
static void close_gap(struct shard *s, uint32_t i)
{
    weft__check_holds(&s->lock);
    uint32_t mask = s->room - 1;

    for (uint32_t k = (i + 1) & mask; s->entries[k].stack; k = (k + 1) & mask) {
        uint32_t own = (uint32_t)hash_of(s->entries[k].value) & mask;

        if (((k - own) & mask) < ((k - i) & mask)) /* its own place is behind the gap */
            continue;
        s->entries[i] = s->entries[k];
        i = k;
    }
    s->entries[i].stack = 0;
}

static void shard_remove(struct shard *s, const void *value, uint64_t hash)
{
    uint32_t i;

    weft__lock(&s->lock, WEFT__RANK_TASKS);
    i = s->n > 0 ? place_of(s, value, hash) : 0;
    if (s->n > 0 && s->entries[i].stack) {
        close_gap(s, i);
        weft__store(&s->n, s->n - 1);
    }
    weft__unlock(&s->lock);
}

/* Adding and removing -------------------------------------------------------------------------- */

static void walk_caller(void *walk)
{
    weft__walk_saved(walk, weft__self()->task);
}

/* Saves the context in here, so that the innermost frame of the walk is the call itself. */
void weft_profile_add(weft_profile *p, const void *value)
{
    weft__task *t = weft__enter("weft_profile_add")->task;
    struct weft__walk *walk = weft__alloc_try(sizeof(*walk)); /* too large for a task's stack */
    uint64_t hash = hash_of(value);
    uint32_t stack = 0;

    if (walk) {
        weft__ctx_call(&t->ctx.sp, walk_caller, walk);
        stack = weft__stacktab_intern(p->stacks, walk);
    }
    if (!stack)
        weft__no_memory(NULL, "profile");
    weft__free(walk);
    if (!shard_add(shard_of(p, hash), value, hash, stack))
        weft__panic("weft: weft_profile_add of a value that is in \"%s\" already: %p", p->name,
                    value);
    weft__exit_as(t);
}

/* Works after a run, too: its values may still be removed. */
void weft_profile_remove(weft_profile *p, const void *value)
{
    bool inside = weft__enter_try("weft_profile_remove") != NULL;
    uint64_t hash = hash_of(value);

    shard_remove(shard_of(p, hash), value, hash);
    if (inside)
        weft__exit();
}

/* Taking --------------------------------------------------------------------------------------- */

static int count(const struct weft__profile *of)
{
    const weft_profile *p = (const weft_profile *)of;
    uint32_t n = 0;

    for (int i = 0; i < SHARDS; i++)
        n += weft__load(&p->shards[i].n);
    return (int)n;
}

/* How many values each stack added, by its id, for free(); their number in n. NULL without memory.
 * Stacks that come meanwhile, and their values, are left out. */
static uint32_t *count_stacks(const weft_profile *p, uint32_t *n)
{
    uint32_t *counts;

    *n = weft__stacktab_count(p->stacks);
    counts = calloc(*n + 1u, sizeof(*counts));
    for (int i = 0; counts && i < SHARDS; i++) {
        struct shard *s = &p->shards[i];

        weft__lock(&s->lock, WEFT__RANK_TASKS);
        for (uint32_t k = 0; k < s->room; k++)
            counts[s->entries[k].stack <= *n ? s->entries[k].stack : 0]++;
        weft__unlock(&s->lock);
    }
    return counts;
}

static void add_stack(weft__buckets *b, const struct weft__stack_entry *e, uint32_t count,
                      struct weft__walk *walk)
{
    size_t skip = weft__stack_text_caller(e->pcs, e->kept);

    weft__walk_set(walk, e->pcs + skip, e->kept - skip);
    weft__buckets_add(b, walk, &(int64_t){count});
}

/* Takes the values that are in the profile now, by the stacks that added them, from the caller of
 * the library on. Asks the symbolizer. */
static void *take(const struct weft__asked *a)
{
    const weft_profile *p = (const weft_profile *)a->profile;
    struct weft__walk *walk = malloc(sizeof(*walk));
    weft__buckets *b = weft__buckets_new(1);
    uint32_t n, *counts = count_stacks(p, &n);

    if (walk && b && counts) {
        for (uint32_t id = 1; id <= n; id++) {
            if (counts[id] > 0)
                add_stack(b, weft__stacktab_get(p->stacks, id), counts[id], walk);
        }
    } else {
        weft__buckets_free(b);
        b = NULL;
    }
    free(counts);
    free(walk);
    return b;
}

/* Making one ----------------------------------------------------------------------------------- */

static weft_profile *profile_make(const char *name)
{
    weft_profile *p = weft__alloc(1, sizeof(*p));

    memcpy(p->name, name, strlen(name));
    p->value = (struct weft__pprof_type){p->name, "count"};
    p->profile = (struct weft__profile){.name = p->name,
                                        .about = "A profile of the program's own.",
                                        .values = &p->value,
                                        .n_values = 1,
                                        .take = take,
                                        .count = count};
    p->stacks = weft__stacktab_new();
    p->shards = aligned_alloc(64, SHARDS * sizeof(*p->shards));
    if (!p->stacks || !p->shards)
        weft__no_memory(NULL, "profile");
    memset(p->shards, 0, SHARDS * sizeof(*p->shards));
    return p;
}

weft_profile *weft_profile_new(const char *name)
{
    weft_profile *p;

    weft__not_forked("weft_profile_new");
    if (!name)
        weft__panic("weft: weft_profile_new: NULL is no name for a profile");
    if (!is_name(name))
        refuse(name);
    p = profile_make(name);
    if (!weft__profile_add(&p->profile))
        weft__panic("weft: weft_profile_new: the name \"%s\" is taken", name);
    return p;
}
