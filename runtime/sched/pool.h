/* SPDX-License-Identifier: MIT */
/* pool.h - threads for calls that block and have no descriptor to wait for.
 *
 * weft_run's thread starts and stops the pools. Tasks post jobs, from inside the runtime; a pool's
 * lock is a mutex of rank GROUP, so they hold no lock of the runtime. */
#ifndef WEFT_POOL_H
#define WEFT_POOL_H

#include "runtime/base/base.h"

/* Each kind has threads of its own, so that a name never waits for work. */
enum weft__pool { WEFT__POOL_WORK, WEFT__POOL_NAMES, WEFT__POOLS };

/* A call for a thread of a pool. Belongs to the pool from weft__pool_post until ended is called or
 * weft__pool_take_back returns true. */
typedef struct weft__job {
    struct weft__job *next;
    void (*run)(struct weft__job *j);
    /* The call is over, or (alive is false) the run is: then no task waits for it any more, and run
     * may not have been called. Called with the pool's lock held. */
    void (*ended)(struct weft__job *j, bool alive);
} weft__job;

void weft__pools_start(void);
/* Waits until that instant (real monotonic time) for the calls under way. Returns false if one goes
 * on; its thread is left to it. */
bool weft__pools_stop(int64_t until);

/* Makes sure that a thread will take one job more, which the caller posts soon. Returns 0, or
 * WEFT_EAGAIN if the pool has no thread and the kernel gives none. */
int weft__pool_admit(enum weft__pool which);
void weft__pool_post(enum weft__pool which, weft__job *j);
/* Returns true if no thread had begun the job; then it is the caller's again. */
bool weft__pool_take_back(enum weft__pool which, weft__job *j);

#endif
