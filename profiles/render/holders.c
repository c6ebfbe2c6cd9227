/* SPDX-License-Identifier: MIT */
/* holders.c - see holders.h.
 *
 *   weft: 2 tasks wait for each other:
 *   weft: goroutine 5 waits for mutex 0x7f10, held by goroutine 6, taken in pay (/src/bank.c:42)
 *   weft: goroutine 6 waits for group 0x7f38, whose goroutine 5 has not ended
 *   weft: rwmutex 0x7f90 is held by 2 readers; goroutines 7, 8 wait for it
 *
 * Tasks and the objects that they wait for make a graph. An object that tasks wait for has an edge
 * for each task that can end the wait: a lock's holder, the task that runs a once's function, every
 * task of a group. The edge leads to the object for which that task itself waits. A task waits for
 * one object and is in one group, so there are about as many edges as tasks and locks. A
 * depth-first search finds a cycle wherever an edge leads back to the path of the search.
 *
 * Owns nothing beyond one call. Locks and tasks may be gone by now, so their memory is read by a
 * system call that may fail, and is believed only while a task still waits for the object. */
#include "profiles/render/holders.h"

#include "profiles/capture/locks.h"
#include "profiles/render/output.h"
#include "profiles/table/idmap.h"
#include "profiles/walk/learn.h"
#include "profiles/walk/symbolize.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sync/mutex.h"

#include <weft/sync.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
enum { NAMED = 8 };   /* waiters of an object whose ids are written */
enum { LINES = 100 }; /* objects that get a line */

enum kind { OTHER, MUTEX, RWMUTEX, ONCE, GROUP };

/* Where an object of each kind has its holder. */
static const struct {
    const char *name;
    size_t owner, site; /* offsets of the holder's id, and of where it took the lock; or 0 */
} kinds[] = {
    [MUTEX] = {"mutex ", offsetof(weft_mutex, _state), offsetof(weft_mutex, _site)},
    [RWMUTEX] = {"rwmutex ", offsetof(weft_rwmutex, _owner), offsetof(weft_rwmutex, _site)},
    [ONCE] = {"once ", offsetof(weft_once, _owner), 0},
    [GROUP] = {"group ", 0, 0},
};

/* An object that tasks wait for. */
struct awaited {
    const void *object;
    enum kind kind;
    bool owner_lives;        /* the holder has a record in the snapshot */
    bool told;               /* it was written as a part of a cycle */
    uint64_t owner;          /* the holder's id; 0 if it is not known, or for a group */
    uint64_t waiters[NAMED]; /* the ids of the first waiters */
    uint32_t n;              /* how many tasks wait for it */
    uint32_t first;          /* its first edge, or NONE */
    /* The state of the search. */
    bool seen, on_path;
    uint32_t at;   /* on the path: the edge that the search follows */
    uint32_t from; /* on the path: the object before it, or NONE */
};

/* Leads from an object, by a task that can end the wait for it, to the object for which that task
 * waits. */
struct edge {
    uint64_t task;
    uint32_t to;
    uint32_t next; /* the next edge from the same object, or NONE */
};

struct holders {
    const struct weft__snapshot *s;
    struct awaited *list;
    uint32_t n, room;
    struct weft__idmap ids; /* index + 1, by the object */
    struct edge *edges;
    uint32_t nedges, edges_room;
    struct weft__out *o;
    bool wrote; /* a line was written */
    struct weft__mapping *maps;
    size_t nmaps;
};

/* Objects -------------------------------------------------------------------------------------- */

static enum kind kind_of(unsigned reason)
{
    switch (reason) {
    case WEFT__WAIT_MUTEX:
        return MUTEX;
    case WEFT__WAIT_RWMUTEX_READ:
    case WEFT__WAIT_RWMUTEX_WRITE:
        return RWMUTEX;
    case WEFT__WAIT_ONCE:
        return ONCE;
    case WEFT__WAIT_GROUP:
    case WEFT__WAIT_JOIN:
        return GROUP;
    default:
        return OTHER;
    }
}

/* Returns the object's index, or NONE. */
static uint32_t find(const struct holders *h, const void *object)
{
    uint64_t hash = weft__idmap_mix((uintptr_t)object);
    uint32_t id, at = weft__idmap_first(&h->ids, hash);

    while ((id = weft__idmap_next(&h->ids, hash, &at))) {
        if (h->list[id - 1].object == object)
            return id - 1;
    }
    return NONE;
}

/* Returns the index of the object for which a task waits; NONE if it waits for none of these kinds.
 */
static uint32_t waited_for(const struct holders *h, const struct weft__record *r)
{
    bool waits = r->state == WEFT__REC_WAITING && r->object && kind_of(r->reason) != OTHER;

    return waits ? find(h, r->object) : NONE;
}

/* Makes sure that an array has room for one more than its n elements. Returns false if memory ran
 * out. */
static bool grow(void **list, uint32_t n, uint32_t *room, size_t size)
{
    uint32_t more = *room ? 2 * *room : 64;
    void *bigger = n < *room ? *list : realloc(*list, more * size);

    if (!bigger)
        return false;
    if (n == *room)
        *room = more;
    *list = bigger;
    return true;
}

static bool add_object(struct holders *h, const void *object, enum kind kind)
{
    void *list = h->list;
    bool ok = grow(&list, h->n, &h->room, sizeof(*h->list));

    h->list = list;
    if (!ok || !weft__idmap_add(&h->ids, weft__idmap_mix((uintptr_t)object), h->n + 1))
        return false;
    h->list[h->n++] = (struct awaited){.object = object, .kind = kind, .first = NONE};
    return true;
}

/* Returns the present holder of an object, which may be gone; 0 if it has none, or cannot be read.
 */
static uint64_t owner_now(const struct awaited *l)
{
    uint64_t owner = 0;

    if (l->kind == GROUP || !weft__lock_peek(l->object, kinds[l->kind].owner, &owner, sizeof owner))
        return 0;
    return l->kind == MUTEX ? owner >> WEFT__MUTEX_HOLDER : owner;
}

/* Returns the present holder if t still waits for the object: until then the object exists. Else
 * returns 0. */
static uint64_t owner_meanwhile(const weft__task *t, const struct weft__record *r,
                                const struct awaited *l)
{
    uint64_t ticket = weft__load_acq(&t->ticket), owner = 0;

    if (weft__load(&t->id) == r->id && weft__load(&t->object) == r->object)
        owner = owner_now(l);
    weft__fence_full();
    return (ticket & 1) && weft__load(&t->ticket) == ticket ? owner : 0;
}

/* Notes the holder of an object that t waits for. The snapshot does not have the task that runs a
 * once, nor the holder of a lock that waits for its own lock; these are read now. While t's wait is
 * open, no other task hands it the lock. */
static void note_owner(struct awaited *l, const weft__task *t, const struct weft__record *r)
{
    uint64_t owner;

    if (r->owner)
        l->owner = r->owner;
    if (l->owner || l->kind == GROUP)
        return;
    owner = owner_meanwhile(t, r, l);
    if (l->kind == ONCE || owner == r->id)
        l->owner = owner;
}

/* Adds the object that the task of a slot waits for, and the task as its waiter. Returns false if
 * memory ran out. */
static bool note_waiter(struct holders *h, uint32_t slot)
{
    const struct weft__record *r = &h->s->records[slot];
    enum kind kind = kind_of(r->reason);
    struct awaited *l;

    if (r->state != WEFT__REC_WAITING || !r->object || kind == OTHER)
        return true;
    if (find(h, r->object) == NONE && !add_object(h, r->object, kind))
        return false;
    l = &h->list[find(h, r->object)];
    if (l->n < NAMED)
        l->waiters[l->n] = r->id;
    l->n++;
    note_owner(l, weft__tasks_at(slot), r);
    return true;
}

/* Edges ---------------------------------------------------------------------------------------- */

static bool add_edge(struct holders *h, uint32_t from, uint64_t task, uint32_t to)
{
    void *edges = h->edges;
    bool ok = grow(&edges, h->nedges, &h->edges_room, sizeof(*h->edges));

    h->edges = edges;
    if (!ok)
        return false;
    h->edges[h->nedges] = (struct edge){task, to, h->list[from].first};
    h->list[from].first = h->nedges++;
    return true;
}

/* Returns the group of a task that the snapshot has; NULL if it is in none, or if it has ended
 * since. */
static const void *group_of(const weft__task *t, const struct weft__record *r)
{
    const void *group = NULL;

    if (weft__load_acq(&t->id) == r->id)
        group = weft__load_acq(&t->group);
    weft__fence_full();
    return weft__load(&t->id) == r->id ? group : NULL;
}

static int by_owner(const void *a, const void *b)
{
    const struct awaited *const *x = a, *const *y = b;

    return ((*x)->owner > (*y)->owner) - ((*x)->owner < (*y)->owner);
}

/* Returns the index of the first object with this holder, in a list ordered by holder, or the index
 * where it would be. */
static uint32_t first_of(struct awaited *const *ordered, uint32_t n, uint64_t owner)
{
    uint32_t lo = 0, hi = n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (ordered[mid]->owner < owner)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Adds the edges by the task of a slot. Returns false if memory ran out. */
static bool link_task(struct holders *h, struct awaited *const *ordered, uint32_t slot)
{
    const struct weft__record *r = &h->s->records[slot];
    uint32_t to, group, i;

    if (r->state == WEFT__REC_NONE)
        return true;
    to = waited_for(h, r);
    for (i = first_of(ordered, h->n, r->id); i < h->n && ordered[i]->owner == r->id; i++) {
        ordered[i]->owner_lives = true;
        if (to != NONE && !add_edge(h, (uint32_t)(ordered[i] - h->list), r->id, to))
            return false;
    }
    if (to == NONE)
        return true;
    group = find(h, group_of(weft__tasks_at(slot), r));
    return group == NONE || add_edge(h, group, r->id, to);
}

static bool link_all(struct holders *h)
{
    struct awaited **ordered = malloc(h->n * sizeof(struct awaited *));
    bool ok = ordered != NULL;

    for (uint32_t i = 0; ok && i < h->n; i++)
        ordered[i] = &h->list[i];
    if (ok)
        qsort(ordered, h->n, sizeof(struct awaited *), by_owner);
    for (uint32_t slot = 0; ok && slot < h->s->n; slot++)
        ok = link_task(h, ordered, slot);
    free(ordered);
    return ok;
}

/* Text ----------------------------------------------------------------------------------------- */

static void put_id(struct weft__out *o, const char *before, uint64_t id)
{
    weft__out_str(o, before);
    weft__out_dec(o, id);
}

static void put_object(struct weft__out *o, const struct awaited *l)
{
    weft__out_str(o, kinds[l->kind].name);
    weft__out_hex(o, (uintptr_t)l->object);
}

/* Finds the return address of which a lock keeps the lower 32 bits; 0 if there is none. */
static uintptr_t whole_address(const struct holders *h, uint32_t low)
{
    for (size_t i = 0; i < h->nmaps; i++) {
        uintptr_t at = (h->maps[i].start & ~(uintptr_t)UINT32_MAX) | low;

        if (at < h->maps[i].start)
            at += (uintptr_t)UINT32_MAX + 1;
        if (at < h->maps[i].limit && weft__is_return(at))
            return at;
    }
    return 0;
}

/* Writes where the holder took the lock, unless another task has it by now. */
static void put_site(const struct holders *h, const struct awaited *l)
{
    size_t at = kinds[l->kind].site;
    const struct weft__symbol *s;
    uint32_t low = 0, i = 0;
    uintptr_t site;

    if (!at || !weft__lock_peek(l->object, at, &low, sizeof low) || owner_now(l) != l->owner ||
        !(site = whole_address(h, low)))
        return;
    s = weft__symbolize(site - 1);
    while (i + 1 < s->n && strncmp(s->frames[i].function, "weft_", 5) == 0)
        i++;
    weft__out_str(h->o, ", taken in ");
    weft__out_clean(h->o, s->frames[i].function, SIZE_MAX);
    if (!s->frames[i].file)
        return;
    weft__out_str(h->o, " (");
    weft__out_clean(h->o, s->frames[i].file, SIZE_MAX);
    put_id(h->o, ":", s->frames[i].line);
    weft__out_char(h->o, ')');
}

static void put_owner(const struct holders *h, const struct awaited *l)
{
    struct weft__out *o = h->o;
    int32_t readers = 0;

    if (l->owner) {
        put_id(o, l->kind == ONCE ? "begun by goroutine " : "held by goroutine ", l->owner);
        if (!l->owner_lives)
            weft__out_str(o, ", which has ended");
        put_site(h, l);
        return;
    }
    if (l->kind == RWMUTEX)
        weft__lock_peek(l->object, offsetof(weft_rwmutex, _readers), &readers, sizeof readers);
    if (readers > 0) {
        put_id(o, "held by ", (uint64_t)readers);
        weft__out_str(o, readers == 1 ? " reader" : " readers");
    } else {
        weft__out_str(o, l->kind == ONCE ? "begun by a task that is not known"
                                         : "held by a task that is not known");
    }
}

/* Writes a line of a cycle: the object for which a task waits, and the task that keeps it waiting.
 */
static void put_wait(const struct holders *h, uint64_t task, const struct awaited *l,
                     uint64_t keeper)
{
    put_id(h->o, "weft: goroutine ", task);
    weft__out_str(h->o, " waits for ");
    put_object(h->o, l);
    if (l->kind == GROUP) {
        put_id(h->o, ", whose goroutine ", keeper);
        weft__out_str(h->o, " has not ended\n");
        return;
    }
    weft__out_str(h->o, ", ");
    put_owner(h, l);
    weft__out_char(h->o, '\n');
}

/* Returns the edge that the path follows from the object. */
static const struct edge *way(const struct holders *h, uint32_t i)
{
    return &h->edges[h->list[i].at];
}

/* Writes the cycle from first along the path back to first. Leaves it out if all its objects are in
 * cycles that were written: then it says nothing new. */
static void put_cycle(struct holders *h, uint32_t first)
{
    uint32_t i = first;
    bool is_new = false;
    uint64_t n = 0;

    do {
        is_new |= !h->list[i].told;
        n++;
        i = way(h, i)->to;
    } while (i != first);
    if (!is_new)
        return;
    h->wrote = true;
    if (n == 1) {
        weft__out_str(h->o, "weft: a task waits for itself:\n");
    } else {
        put_id(h->o, "weft: ", n);
        weft__out_str(h->o, " tasks wait for each other:\n");
    }
    do {
        const struct edge *e = way(h, i);

        h->list[i].told = true;
        put_wait(h, e->task, &h->list[e->to], way(h, e->to)->task);
        i = e->to;
    } while (i != first);
}

/* Adds an object to the end of the path, behind `from`. */
static void enter(struct holders *h, uint32_t i, uint32_t from)
{
    struct awaited *l = &h->list[i];

    l->seen = l->on_path = true;
    l->at = l->first;
    l->from = from;
}

/* Searches from an object that was not seen yet, and writes a cycle wherever an edge leads back to
 * the path. */
static void search(struct holders *h, uint32_t start)
{
    uint32_t i = start, to;

    enter(h, i, NONE);
    while (i != NONE) {
        struct awaited *l = &h->list[i];

        if (l->at == NONE) {
            l->on_path = false;
            i = l->from;
            if (i != NONE)
                h->list[i].at = way(h, i)->next;
            continue;
        }
        to = way(h, i)->to;
        if (!h->list[to].seen) {
            enter(h, to, i);
            i = to;
            continue;
        }
        if (h->list[to].on_path)
            put_cycle(h, to);
        l->at = way(h, i)->next;
    }
}

static void put_waiters(struct weft__out *o, const struct awaited *l)
{
    uint32_t named = l->n < NAMED ? l->n : NAMED;

    weft__out_str(o, l->n == 1 ? "; goroutine " : "; goroutines ");
    for (uint32_t i = 0; i < named; i++)
        put_id(o, i == 0 ? "" : ", ", l->waiters[i]);
    if (l->n > named) {
        put_id(o, " and ", l->n - named);
        weft__out_str(o, " more");
    }
    weft__out_str(o, l->n == 1 ? " waits for it\n" : " wait for it\n");
}

/* Writes a line for each lock and once that is in no cycle, or for which more tasks wait than the
 * one in its cycle. */
static void put_objects(struct holders *h)
{
    uint32_t lines = 0, left = 0;

    for (uint32_t i = 0; i < h->n; i++) {
        const struct awaited *l = &h->list[i];

        if (l->kind == GROUP || (l->told && l->n == 1))
            continue;
        if (lines++ >= LINES) {
            left++;
            continue;
        }
        h->wrote = true;
        weft__out_str(h->o, "weft: ");
        put_object(h->o, l);
        weft__out_str(h->o, l->kind == ONCE ? " was " : " is ");
        put_owner(h, l);
        put_waiters(h->o, l);
    }
    if (left > 0) {
        put_id(h->o, "weft: tasks wait for ", left);
        weft__out_str(h->o, " more locks\n");
    }
}

static void put_all(struct holders *h)
{
    for (uint32_t i = 0; i < h->n; i++) {
        if (!h->list[i].seen)
            search(h, i);
    }
    put_objects(h);
    if (h->wrote)
        weft__out_char(h->o, '\n');
}

int weft__holders_text(const struct weft__snapshot *s, const struct weft__sink *to)
{
    struct holders h = {.s = s, .o = weft__out_new(to)};
    bool ok = h.o != NULL;
    int rc = -ENOMEM;

    for (uint32_t slot = 0; ok && slot < s->n; slot++)
        ok = note_waiter(&h, slot);
    if (ok && (h.n == 0 || link_all(&h))) {
        h.maps = weft__maps_read(&h.nmaps);
        put_all(&h);
        rc = weft__out_end(h.o);
    } else {
        free(h.o);
    }
    free(h.maps);
    free(h.edges);
    weft__idmap_free(&h.ids);
    free(h.list);
    return rc;
}
