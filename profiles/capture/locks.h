/* SPDX-License-Identifier: MIT */
/* locks.h - the locks that tasks wait for at a snapshot's cut, with the holder of each. */
#ifndef WEFT_LOCKS_H
#define WEFT_LOCKS_H

#include "profiles/capture/snapshot.h"
#include "profiles/table/idmap.h"
#include "runtime/sched/task.h"

/* A lock at the cut. */
struct weft__lock {
    const void *object;
    uint64_t owner;  /* the holder's task id; 0: free, held by readers, or not known */
    int64_t charged; /* ticks when a holder was last charged with what others waited; 0: never */
    bool known;      /* the two are those of the cut */
};

/* All zero is valid and empty. The dumper's alone until the snapshot is complete. */
struct weft__locks {
    struct weft__lock *list;
    uint32_t n, room;
    struct weft__idmap ids;
    uint32_t epoch; /* of the snapshot */
    int64_t cut;    /* ticks, taken before the epoch was raised */
    bool late;      /* a mutant: takes the present holder for the one at the cut */
};

/* Looks at the lock that t waits for by r, its record, unless it is known. ticket: that of t before
 * it was recorded. Without memory the lock stays unknown. */
void weft__locks_look(struct weft__locks *l, const weft__task *t, uint64_t ticket,
                      const struct weft__record *r);
/* Stores the owners in the records, now that all are there. */
void weft__locks_settle(struct weft__locks *l, struct weft__record *records, size_t n);
/* Finds a lock; NULL: no task waits for it, or memory ran out. */
const struct weft__lock *weft__locks_find(const struct weft__locks *l, const void *object);
void weft__locks_free(struct weft__locks *l);

/* Copies n bytes of a lock from at on. Returns false if that memory is gone, or the kernel forbids
 * the look: the wait for the lock may have ended, and its memory with it. */
bool weft__lock_peek(const void *object, size_t at, void *to, size_t n);

#endif
