/* SPDX-License-Identifier: MIT */
/* holders.c - see holders.h.
 *
 *   weft: 2 tasks wait for each other:
 *   weft: goroutine 5 waits for mutex 0x7f10, held by goroutine 6, taken in pay (/src/bank.c:42)
 *   weft: goroutine 6 waits for mutex 0x7f38, held by goroutine 5, taken in pay (/src/bank.c:41)
 *   weft: rwmutex 0x7f90 is held by 2 readers; goroutines 7, 8 wait for it
 *
 * A lock has at most one holder that is known, and that task waits for at most one lock. So each
 * lock has at most one that follows it, and a cycle is found by going from lock to lock. */
#include "holders.h"

#include "../runtime/mutex.h"
#include "../runtime/scheduler.h"
#include "learn.h"
#include "locks.h"
#include "out.h"
#include "symbolize.h"
#include "unwind.h"

#include <weft/sync.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
enum { NAMED = 8 /* waiters by their ids */, LINES = 100 /* locks */ };

/* A lock that tasks wait for. */
struct held {
    const struct weft__lock *lock;
    bool is_mutex;
    uint64_t owner;          /* task id; 0: not known */
    bool owner_lives;        /* it has a record */
    uint64_t waiters[NAMED]; /* ids of the first */
    uint32_t n;              /* waiters */
    uint32_t next;           /* the lock that the owner waits for, or NONE */
    uint32_t seen;           /* the search that came by, from 1 on */
    bool told;               /* in a cycle */
};

struct holders {
    const struct weft__snapshot *s;
    struct held *list;
    uint32_t n;
    struct weft__out *o;
    struct weft__mapping *maps;
    size_t nmaps;
};

static struct held *held_of(struct holders *h, const struct weft__record *r)
{
    const struct weft__lock *lock;

    if (r->state != WEFT__REC_WAITING || !r->object)
        return NULL;
    lock = weft__locks_find(h->s->locks, r->object);
    return lock ? &h->list[lock - h->s->locks->list] : NULL;
}

static uint64_t owner_now(const struct held *l)
{
    size_t at = l->is_mutex ? offsetof(weft_mutex, _state) : offsetof(weft_rwmutex, _owner);
    uint64_t owner = 0;

    if (!weft__lock_peek(l->lock->object, at, &owner, sizeof owner))
        return 0;
    return l->is_mutex ? owner >> WEFT__MUTEX_HOLDER : owner;
}

/* Returns whether t waits for a lock that it holds itself. While its wait is open no task hands it
 * the lock. */
static bool waits_for_itself(const weft__task *t, const struct weft__record *r,
                             const struct held *l)
{
    uint64_t ticket = weft__load_acq(&t->ticket);
    bool itself =
        weft__load(&t->id) == r->id && weft__load(&t->object) == r->object && owner_now(l) == r->id;

    weft__fence_full();
    return itself && (ticket & 1) && weft__load(&t->ticket) == ticket;
}

static void note_waiter(struct holders *h, size_t slot)
{
    const struct weft__record *r = &h->s->records[slot];
    struct held *l = held_of(h, r);

    if (!l)
        return;
    l->is_mutex = r->reason == WEFT__WAIT_MUTEX;
    if (l->n < NAMED)
        l->waiters[l->n] = r->id;
    l->n++;
    if (r->owner)
        l->owner = r->owner;
    else if (!l->owner && waits_for_itself(weft__tasks_at((uint32_t)slot), r, l))
        l->owner = r->id;
}

static int by_owner(const void *a, const void *b)
{
    const struct held *const *x = a, *const *y = b;

    return ((*x)->owner > (*y)->owner) - ((*x)->owner < (*y)->owner);
}

/* Returns the index of the owner's first lock among those ordered by owner, or where it would be.
 */
static uint32_t first_of(struct held *const *ordered, uint32_t n, uint64_t owner)
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

/* Finds for each lock the lock that its owner waits for. */
static bool link_all(struct holders *h)
{
    struct held **ordered = malloc(h->n * sizeof(struct held *));

    if (!ordered)
        return false;
    for (uint32_t i = 0; i < h->n; i++)
        ordered[i] = &h->list[i];
    qsort(ordered, h->n, sizeof(struct held *), by_owner);
    for (size_t slot = 0; slot < h->s->n; slot++) {
        const struct weft__record *r = &h->s->records[slot];
        const struct held *waited = held_of(h, r);
        uint32_t i = r->state == WEFT__REC_NONE ? h->n : first_of(ordered, h->n, r->id);

        for (; i < h->n && ordered[i]->owner == r->id; i++) {
            ordered[i]->owner_lives = true;
            ordered[i]->next = waited ? (uint32_t)(waited - h->list) : NONE;
        }
    }
    free(ordered);
    return true;
}

/* ---- text ---- */

static void put_id(struct weft__out *o, const char *before, uint64_t id)
{
    weft__out_str(o, before);
    weft__out_dec(o, id);
}

static void put_lock(struct weft__out *o, const struct held *l)
{
    weft__out_str(o, l->is_mutex ? "mutex " : "rwmutex ");
    weft__out_hex(o, (uintptr_t)l->lock->object);
}

/* Finds the return address whose low half a lock holds; 0: there is none. */
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

/* Puts where the owner took the lock, unless another task has it by now. */
static void put_site(const struct holders *h, const struct held *l)
{
    size_t at = l->is_mutex ? offsetof(weft_mutex, _site) : offsetof(weft_rwmutex, _site);
    const struct weft__symbol *s;
    uint32_t low = 0, i = 0;
    uintptr_t site;

    if (!weft__lock_peek(l->lock->object, at, &low, sizeof low) || owner_now(l) != l->owner ||
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

static void put_owner(const struct holders *h, const struct held *l)
{
    struct weft__out *o = h->o;
    int32_t readers = 0;

    if (l->owner) {
        put_id(o, "held by goroutine ", l->owner);
        if (!l->owner_lives)
            weft__out_str(o, ", which has ended");
        put_site(h, l);
        return;
    }
    if (!l->is_mutex)
        weft__lock_peek(l->lock->object, offsetof(weft_rwmutex, _readers), &readers,
                        sizeof readers);
    if (readers > 0) {
        put_id(o, "held by ", (uint64_t)readers);
        weft__out_str(o, readers == 1 ? " reader" : " readers");
    } else {
        weft__out_str(o, "held by a task that is not known");
    }
}

static void put_cycle(struct holders *h, struct held *first)
{
    struct held *l = first;
    uint64_t n = 0;

    do {
        l->told = true;
        l = &h->list[l->next];
        n++;
    } while (l != first);
    if (n == 1) {
        weft__out_str(h->o, "weft: a task waits for itself:\n");
    } else {
        put_id(h->o, "weft: ", n);
        weft__out_str(h->o, " tasks wait for each other:\n");
    }
    do { /* the owner of l waits for the one that follows */
        struct held *next = &h->list[l->next];

        put_id(h->o, "weft: goroutine ", l->owner);
        weft__out_str(h->o, " waits for ");
        put_lock(h->o, next);
        weft__out_str(h->o, ", ");
        put_owner(h, next);
        weft__out_char(h->o, '\n');
        l = next;
    } while (l != first);
}

/* Tells all cycles. Each search goes on until it meets a lock that was seen; if this search saw it,
 * the lock is in a cycle. */
static void put_cycles(struct holders *h)
{
    for (uint32_t i = 0; i < h->n; i++) {
        uint32_t at = i;

        while (at != NONE && !h->list[at].seen) {
            h->list[at].seen = i + 1;
            at = h->list[at].next;
        }
        if (at != NONE && h->list[at].seen == i + 1)
            put_cycle(h, &h->list[at]);
    }
}

static void put_waiters(struct weft__out *o, const struct held *l)
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

/* Tells the locks of no cycle, and those of a cycle for which more tasks wait. */
static void put_locks(struct holders *h)
{
    uint32_t lines = 0, left = 0;

    for (uint32_t i = 0; i < h->n; i++) {
        const struct held *l = &h->list[i];

        if (l->n == 0 || (l->told && l->n == 1))
            continue;
        if (lines++ >= LINES) {
            left++;
            continue;
        }
        weft__out_str(h->o, "weft: ");
        put_lock(h->o, l);
        weft__out_str(h->o, " is ");
        put_owner(h, l);
        put_waiters(h->o, l);
    }
    if (left > 0) {
        put_id(h->o, "weft: tasks wait for ", left);
        weft__out_str(h->o, " more locks\n");
    }
}

int weft__holders_text(const struct weft__snapshot *s, const struct weft__sink *to)
{
    struct holders h = {.s = s, .n = s->locks ? s->locks->n : 0};
    int rc = -ENOMEM;

    if (h.n == 0)
        return 0;
    h.o = weft__out_new(to);
    h.maps = weft__maps_read(&h.nmaps);
    h.list = calloc(h.n, sizeof(struct held));
    for (uint32_t i = 0; h.list && i < h.n; i++)
        h.list[i] = (struct held){.lock = &s->locks->list[i], .next = NONE};
    for (size_t slot = 0; h.list && slot < s->n; slot++)
        note_waiter(&h, slot);
    if (h.o && h.list && link_all(&h)) {
        put_cycles(&h);
        put_locks(&h);
        weft__out_char(h.o, '\n');
        rc = 0;
    }
    if (h.o && rc == 0)
        rc = weft__out_end(h.o);
    else
        free(h.o);
    free(h.maps);
    free(h.list);
    return rc;
}
