/* SPDX-License-Identifier: MIT */
/* locks.c - see locks.h. Owns nothing.
 *
 * The dumper reads a lock while tasks go on. So it must find out whether the holder that it reads
 * is the one of the cut. For a task T that has waited for the lock since before the cut, it reads
 *   1. T's ticket, odd, before T is recorded
 *   2. the lock's holder, then the lock's mark: _charged, and a mutex's _epoch
 *   3. T's ticket again, which must be the same
 * Then T's wait went on from the cut to 3. So T was in the lock's queue, or was let in as a reader
 * and is not awake yet; the lock existed, and every task that changed the holder stored the mark
 * before. If the mark is of the cut or later, the holder may be later, too, and counts as not
 * known. Else the holder is the one of the cut, with one exception: a task may have read the epoch
 * or the clock before the cut and stored the holder after it. That task ran at the cut, so no
 * record shows which came first, unless it handed the lock to a task that is recorded as waiting.
 * weft__locks_settle drops a holder that is recorded as waiting for its own lock. */
#include "profiles/capture/locks.h"

#include "runtime/sched/wait.h"
#include "runtime/sync/mutex.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <weft/sync.h>

/* weft__peek would read the memory itself where a sandbox forbids the call, and might fault. */
bool weft__lock_peek(const void *object, size_t at, void *to, size_t n)
{
    struct iovec local = {to, n};
    struct iovec remote = {(char *)(uintptr_t)object + at, n};

    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n;
}

/* Copies one member. Each takes a call of its own, since the kernel may copy the bytes of one call
 * in any order. */
#define PEEK(object, type, member, to)                                                             \
    weft__lock_peek(object, offsetof(type, member), to, sizeof(*(to)))

static bool read_mutex(struct weft__lock *lock, uint32_t *epoch)
{
    if (!PEEK(lock->object, weft_mutex, _state, &lock->owner) ||
        !PEEK(lock->object, weft_mutex, _epoch, epoch) ||
        !PEEK(lock->object, weft_mutex, _charged, &lock->charged))
        return false;
    lock->owner >>= WEFT__MUTEX_HOLDER;
    return true;
}

static bool read_rwmutex(struct weft__lock *lock)
{
    return PEEK(lock->object, weft_rwmutex, _owner, &lock->owner) &&
           PEEK(lock->object, weft_rwmutex, _charged, &lock->charged);
}

/* Reads a lock, and whether the holder read is the one of the cut as far as the mark tells. */
static void read_lock(const struct weft__locks *l, struct weft__lock *lock, unsigned reason)
{
    uint32_t epoch = 0;

    lock->known = reason == WEFT__WAIT_MUTEX ? read_mutex(lock, &epoch) : read_rwmutex(lock);
    if ((epoch == l->epoch || lock->charged > l->cut) && !l->late)
        lock->known = false;
}

static struct weft__lock *find(const struct weft__locks *l, const void *object)
{
    uint64_t hash = weft__idmap_mix((uintptr_t)object);
    uint32_t id, at = weft__idmap_first(&l->ids, hash);

    while ((id = weft__idmap_next(&l->ids, hash, &at))) {
        if (l->list[id - 1].object == object)
            return &l->list[id - 1];
    }
    return NULL;
}

static struct weft__lock *add(struct weft__locks *l, const void *object)
{
    if (l->n == l->room) {
        uint32_t room = l->room ? 2 * l->room : 64;
        struct weft__lock *bigger = realloc(l->list, room * sizeof(*bigger));

        if (!bigger)
            return NULL;
        l->list = bigger;
        l->room = room;
    }
    if (!weft__idmap_add(&l->ids, weft__idmap_mix((uintptr_t)object), l->n + 1))
        return NULL;
    l->list[l->n] = (struct weft__lock){.object = object};
    return &l->list[l->n++];
}

void weft__locks_look(struct weft__locks *l, const weft__task *t, uint64_t ticket,
                      const struct weft__record *r)
{
    struct weft__lock *lock;

    if (r->state != WEFT__REC_WAITING || !weft__wait_is_for_lock(r->reason) ||
        (!(ticket & 1) && !l->late))
        return;
    lock = find(l, r->object);
    if (lock && lock->known && !l->late)
        return;
    if (!lock && !(lock = add(l, r->object)))
        return;
    read_lock(l, lock, r->reason);
    weft__fence_full();
    if (weft__load(&t->ticket) != ticket && !l->late)
        lock->known = false;
}

const struct weft__lock *weft__locks_find(const struct weft__locks *l, const void *object)
{
    return find(l, object);
}

/* Forgets a holder that waits for the lock at the cut: it does not hold it then. */
static void drop_waiting_owners(struct weft__locks *l, const struct weft__record *r)
{
    struct weft__lock *lock = find(l, r->object);

    if (lock && lock->owner == r->id && !l->late)
        lock->known = false;
}

void weft__locks_settle(struct weft__locks *l, struct weft__record *records, size_t n)
{
    for (size_t i = 0; l->n > 0 && i < n; i++) {
        if (records[i].state == WEFT__REC_WAITING && weft__wait_is_for_lock(records[i].reason))
            drop_waiting_owners(l, &records[i]);
    }
    for (uint32_t i = 0; i < l->n; i++) {
        if (!l->list[i].known)
            l->list[i].owner = 0;
    }
    for (size_t i = 0; l->n > 0 && i < n; i++) {
        const struct weft__lock *lock;

        if (records[i].state == WEFT__REC_WAITING && weft__wait_is_for_lock(records[i].reason) &&
            (lock = find(l, records[i].object)) != NULL)
            records[i].owner = lock->owner;
    }
}

void weft__locks_free(struct weft__locks *l)
{
    weft__idmap_free(&l->ids);
    free(l->list);
    *l = (struct weft__locks){0};
}
