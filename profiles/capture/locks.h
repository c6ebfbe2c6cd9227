/* SPDX-License-Identifier: MIT */
/* locks.h - the locks that tasks wait for at a snapshot's cut, with the holder of each.
 *
 * While the snapshot is made, the dumper alone calls these functions. Afterwards a struct
 * weft__locks never changes, and any thread may call weft__locks_find. weft__lock_peek needs no
 * snapshot, and may be called by any thread at any time. No function takes a lock. */
#ifndef WEFT_LOCKS_H
#define WEFT_LOCKS_H

#include "profiles/capture/snapshot.h"
#include "profiles/table/idmap.h"
#include "runtime/sched/task.h"

/* A lock at the cut. */
struct weft__lock {
    const void *object;
    uint64_t owner;  /* the holder's task id; 0: free, held by readers, or not known */
    int64_t charged; /* ticks when a holder was last charged with the others' waits; 0: never */
    bool known;      /* owner and charged are certain to be those of the cut */
};

/* All zero is valid and empty. */
struct weft__locks {
    struct weft__lock *list;
    uint32_t n, room;
    struct weft__idmap ids;
    uint32_t epoch; /* of the snapshot */
    int64_t cut;    /* ticks, read before the epoch was raised */
    bool late;      /* a mutant for tests: takes the present holder for the one at the cut */
};

/* Reads the lock for which t waits, as its record r says, unless that lock is known already. ticket
 * is t's ticket before t was recorded. The lock stays unknown if memory ran out. */
void weft__locks_look(struct weft__locks *l, const weft__task *t, uint64_t ticket,
                      const struct weft__record *r);
/* Stores the holders in the records, once all records are there. */
void weft__locks_settle(struct weft__locks *l, struct weft__record *records, size_t n);
/* Finds a lock. Returns NULL if no task waits for it, or if memory ran out. */
const struct weft__lock *weft__locks_find(const struct weft__locks *l, const void *object);
void weft__locks_free(struct weft__locks *l);

/* Copies n bytes of a lock, from offset at on, by a system call: the wait for the lock may have
 * ended by now, and the lock's memory may be gone. Returns false if it is, or if the kernel forbids
 * the call. Any thread. */
bool weft__lock_peek(const void *object, size_t at, void *to, size_t n);

#endif
