/* SPDX-License-Identifier: MIT */
/* weft/sync.h - locks for tasks. All are valid when zeroed and need no destroy call:
 * waiters live on the stacks of the tasks that wait.
 *
 *     static struct {
 *         weft_mutex mutex; // guards jobs
 *         weft_cond more;   // jobs rose
 *         int jobs;
 *     } q = {WEFT_MUTEX_INIT, WEFT_COND_INIT, 0};
 *
 *     static void add_job(void *arg)
 *     {
 *         weft_mutex_lock(&q.mutex);
 *         q.jobs++;
 *         weft_cond_signal(&q.more);
 *         weft_mutex_unlock(&q.mutex);
 *     }
 *
 *     static int take_job(void *arg)
 *     {
 *         weft_go(add_job, NULL);
 *         weft_mutex_lock(&q.mutex);
 *         while (q.jobs == 0)
 *             weft_cond_wait(&q.more, &q.mutex);
 *         q.jobs--;
 *         weft_mutex_unlock(&q.mutex);
 *         return 0;
 *     }
 *     int main(void) { return weft_run(take_job, NULL); }
 *
 * Taking a lock is never a cancellation point, so it cannot fail, and it has no _until form: a wait
 * that may be given up is for a condition or a semaphore. The objects are the caller's; their
 * memory may go as soon as the call that proved the object idle returned. Tasks, and other threads
 * while weft_run runs, may make every call. Calls that wake many tasks let others run in between.
 *
 * They may outlive a run, which takes its waiters with it. A lock stays locked: a task of a later
 * run panics if it waits for a mutex or rwmutex that was locked in an earlier one, or for the end
 * of a weft_once_do that began there, since the tasks that could unlock it are gone. */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <stdbool.h>
#include <stdint.h>
#include <weft/error.h>
#include <weft/time.h>
#ifdef __cplusplus
extern "C" {
#endif

/* A mutex. A running task may take it ahead of those that wait; one that waited 1 ms is served
 * first, in order, until none has waited so long. It knows which task holds it and where the task
 * took it: deadlock reports and SIGQUIT show both for each lock that tasks wait for. They begin
 * with the cycles of tasks that wait for each other's locks, onces and groups. */
typedef struct weft_mutex {
    uint64_t _state;  /* has the id of the holding task */
    uint32_t _site;   /* where it was taken: the low half of a return address */
    uint32_t _epoch;  /* of snapshots, when the holder last changed while others waited */
    int64_t _charged; /* when a holder was last charged with the time of waiters */
    void *_waiters[2];
    uint32_t _lock;
    uint32_t _run;
} weft_mutex;
#define WEFT_MUTEX_INIT WEFT__ZEROS

/* Waits until the caller holds m. Not cancelable. */
WEFT_API void weft_mutex_lock(weft_mutex *m);
WEFT_API bool weft_mutex_trylock(weft_mutex *m); /* returns false, at once, if m is held */
/* Panics if m is not locked. Any task may unlock, as in Go. */
WEFT_API void weft_mutex_unlock(weft_mutex *m);
/* Panics if the caller does not hold m. */
WEFT_API void weft_mutex_assert_held(const weft_mutex *m);

/* Many readers or one writer; a writer that waits keeps new readers out. */
typedef struct weft_rwmutex {
    uint32_t _lock;
    int32_t _readers; /* -1: a writer */
    void *_readq[2];
    void *_writeq[2];
    uint64_t _owner;
    int64_t _charged; /* as a mutex has it */
    uint32_t _run;
    uint32_t _site; /* of the writer, as a mutex has it */
} weft_rwmutex;
#define WEFT_RWMUTEX_INIT WEFT__ZEROS

/* Wait until the caller is in: the writer alone, a reader beside other readers. Not cancelable. The
 * try forms return false in place of the wait. */
WEFT_API void weft_rwmutex_lock(weft_rwmutex *m);
WEFT_API bool weft_rwmutex_trylock(weft_rwmutex *m);
WEFT_API void weft_rwmutex_unlock(weft_rwmutex *m); /* panics if no writer holds m */
WEFT_API void weft_rwmutex_read_lock(weft_rwmutex *m);
WEFT_API bool weft_rwmutex_read_trylock(weft_rwmutex *m);
WEFT_API void weft_rwmutex_read_unlock(weft_rwmutex *m); /* panics if no reader holds m */

typedef struct weft_cond {
    uint32_t _lock;
    uint32_t _run;
    void *_waiters[2];
} weft_cond;
#define WEFT_COND_INIT WEFT__ZEROS

/* Unlocks m, which the caller holds, and waits for a signal or a broadcast. 0; WEFT_ETIMEDOUT;
 * WEFT_ECANCELED. m is held again in every case. No spurious wakes. */
WEFT_API int weft_cond_wait_until(weft_cond *c, weft_mutex *m, weft_time deadline);
static inline int weft_cond_wait(weft_cond *c, weft_mutex *m)
{
    return weft_cond_wait_until(c, m, WEFT_FOREVER);
}
WEFT_API void weft_cond_signal(weft_cond *c);    /* the one that waits longest */
WEFT_API void weft_cond_broadcast(weft_cond *c); /* all that wait now */

typedef struct weft_once {
    uint32_t _state;
    uint32_t _lock;
    void *_waiters[2];
    uint64_t _owner; /* id of the task that runs the function */
} weft_once;
#define WEFT_ONCE_INIT WEFT__ZEROS

/* The first caller runs fn(arg), all others wait until it returned. Not cancelable, and without an
 * _until form: after the return fn has run. */
WEFT_API void weft_once_do(weft_once *o, void (*fn)(void *arg), void *arg);

/* A counting semaphore, first come first served. */
typedef struct weft_sema {
    uint32_t _lock;
    uint32_t _run;
    int64_t _count;
    void *_waiters[2];
} weft_sema;
/* n units at the start; an all-zero semaphore has none. */
#define WEFT_SEMA_INIT(n)                                                                          \
    {                                                                                              \
        0, 0, (n), WEFT__ZEROS                                                                     \
    }

/* Takes n units together; n <= 0 panics. 0; WEFT_ETIMEDOUT; WEFT_ECANCELED. */
WEFT_API int weft_sema_wait_until(weft_sema *s, int64_t n, weft_time deadline);
static inline int weft_sema_wait(weft_sema *s, int64_t n)
{
    return weft_sema_wait_until(s, n, WEFT_FOREVER);
}
/* Gives n units back. Panics if n <= 0, or if that is more than fit in an int64_t. */
WEFT_API void weft_sema_add(weft_sema *s, int64_t n);

/* Go's sync.WaitGroup: a counter that can be waited for. */
typedef struct weft_waitgroup {
    uint32_t _lock;
    uint32_t _run;
    int64_t _count;
    void *_waiters[2];
} weft_waitgroup;
#define WEFT_WAITGROUP_INIT WEFT__ZEROS

/* Adds n, which may be negative. Panics below zero, and beyond what fits in an int64_t. */
WEFT_API void weft_waitgroup_add(weft_waitgroup *wg, int64_t n);
static inline void weft_waitgroup_done(weft_waitgroup *wg)
{
    weft_waitgroup_add(wg, -1);
}
/* Waits for zero. 0; WEFT_ETIMEDOUT; WEFT_ECANCELED. */
WEFT_API int weft_waitgroup_wait_until(weft_waitgroup *wg, weft_time deadline);
static inline int weft_waitgroup_wait(weft_waitgroup *wg)
{
    return weft_waitgroup_wait_until(wg, WEFT_FOREVER);
}

#ifdef __cplusplus
}
#endif
#endif
