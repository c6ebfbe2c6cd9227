/* SPDX-License-Identifier: MIT */
/* weft/task.h - starting tasks, grouping them and waiting for them.
 *
 *     static int fetch(void *url) { ... }           a task of a group has a result
 *
 *     static int run(void *arg)
 *     {
 *         weft_group g = WEFT_GROUP_INIT;
 *
 *         weft_group_deadline(&g, weft_after(2 * WEFT_SECOND));
 *         for (int i = 0; i < n; i++)
 *             weft_group_go(&g, fetch, url[i]);
 *         return weft_group_wait(&g);                first non-zero result, or 0
 *     }
 *     int main(void) { return weft_run(run, NULL) != 0; }
 *
 * A task has no public handle, so none can dangle. Its lifetime is either nobody's business
 * (weft_go) or a group's (weft_group_go).
 *
 * A stack does not grow. Every task has 64 KiB, the main task too: keep big locals (a char[64 *
 * 1024], a VLA or alloca of a size that others choose) off it, or ask for more: weft_run_with for
 * all tasks, weft_go_with for one, weft_http_options for handlers. C libraries need up to 30 KiB
 * for a printf or a regular expression. An overflow ends the program with a report, if its frames
 * are small, or are compiled with -fstack-clash-protection; a frame of other code that is larger
 * than the 64 KiB below the stack that nobody may touch can reach beyond them, into another task's
 * stack.
 *
 * Tasks run on WEFT_PROCS processors at once, and any call of this library may return on another
 * OS thread: keep no pointer to thread-local data, errno included, over one, or pin the task.
 * The state of C++ exceptions moves with the task: it may wait in a catch block, or in a destructor
 * while an exception unwinds. (A C++ runtime that dlopen brings in must be there before weft_run.)
 * An exception must not leave the task's function, which is std::terminate.
 * The rounding mode and the other floating point controls (fesetround, feenableexcept, mxcsr) are
 * the thread's and do not move: to keep them for each task would make a switch 12 % slower. What is
 * set before weft_run holds in all tasks; a task that changes them changes them back before its
 * next call of this library. */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/error.h>
#include <weft/time.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef void weft_task_fn(void *arg);
typedef int weft_main_fn(void *arg);

/* How a run differs from the default; all zero is the default. */
typedef struct weft_run_options {
    int procs;         /* processors; 0: WEFT_PROCS, else the CPUs this process may use */
    bool no_handoff;   /* a task that does not yield keeps its processor: with one processor this
                        * is cooperative, single-threaded running. Without it WEFT_PROCS=1 is NOT
                        * single-threaded: the thread of a task that was shed runs on beside. */
    bool no_signals;   /* install no handler: no dump at SIGQUIT, no report of faults and stack
                        * overflows */
    size_t stack_size; /* usable bytes of a task's stack, the main task's among them; 0: 64 KiB.
                        * Rounded up to pages, and to 16 KiB; more than 16 GiB panics. */
    int max_threads;   /* threads that may sit in blocking calls without a processor; 0: 512 */
} weft_run_options;

/* Starts the runtime, runs fn(arg) as the first task and returns its result. Tasks still
 * parked or runnable then are discarded, as in Go's main; calls into C that are under way are
 * waited for, for a second, then left to their threads. May be called again afterwards, never
 * while it runs (panics). Other threads of the process may call the library while it runs; their
 * cancelable waits end with it, calls under way are waited for, later ones panic. A thread counts
 * as one that could wake tasks from its first call on: tasks that all wait for a thread that has
 * not called yet are reported as a deadlock.
 * A child of fork has the forking thread alone: it may exec or _exit, and each call of the library
 * there panics (not weft_now, weft_after, weft_strerror and what tells a timer's channel). */
WEFT_API int weft_run(weft_main_fn *fn, void *arg);
WEFT_API int weft_run_with(const weft_run_options *options, weft_main_fn *fn, void *arg);

/* Starts fn(arg) as a task. Any thread of the process may call it while weft_run runs. May let
 * other tasks run first. */
WEFT_API void weft_go(weft_task_fn *fn, void *arg);

typedef struct weft_go_options {
    const char *name;  /* as by weft_task_name; may be NULL */
    size_t stack_size; /* usable bytes, as in weft_run_options; 0: the run's default */
} weft_go_options;
WEFT_API void weft_go_with(const weft_go_options *options, weft_task_fn *fn, void *arg);

WEFT_API void weft_yield(void); /* to the tasks that are runnable now */
/* Of the caller; never reused, in later runs neither. The main task of the first run is 1. */
WEFT_API uint64_t weft_task_id(void);
WEFT_API void weft_task_name(const char *name); /* shown in dumps; copied, cut at 31 bytes */
WEFT_API int weft_procs(void);                  /* processors of this run */

/* Ties the calling task to the OS thread it runs on; calls nest. While it waits that thread serves
 * nobody else. Shown as "locked to thread". A foreign thread is always pinned. */
WEFT_API void weft_pin(void);
WEFT_API void weft_unpin(void); /* panics without a pin */

/* Declares that the code between the two calls may block its thread: other tasks get the processor
 * at once (not with hand-off switched off). No call of this library may stand between them. An
 * undeclared call that blocks, or a loop that burns CPU, loses its processor too, but only after 10
 * ms. */
WEFT_API void weft_blocking_begin(void);
WEFT_API void weft_blocking_end(void);
WEFT_API void weft_blocking(weft_task_fn *fn, void *arg); /* fn(arg) between the two */

/* Task-local values. A key holds for the life of the process; destroy, if any, is called with a
 * task's last non-NULL value when the task ends. At most 64 keys (WEFT_EAGAIN). */
typedef struct weft_local {
    uint32_t _key;
} weft_local;
WEFT_API int weft_local_new(weft_local *key, void (*destroy)(void *value));
WEFT_API void weft_local_set(weft_local key, void *value);
WEFT_API void *weft_local_get(weft_local key); /* NULL if never set by this task */

/* A group is a Go WaitGroup, errgroup and context in one: it counts tasks, keeps the first error,
 * carries a deadline and cancels what it holds. All zero is a valid group. A group first used by
 * a task of another group is canceled with that one. Once a task was started in it or a deadline
 * was set, it must be waited for before its memory goes. */
typedef struct weft_group {
    uint32_t _lock;
    int32_t _err;
    uint32_t _count;
    uint32_t _state;
    void *_tasks;
    void *_waiters[2];
    struct weft_group *_parent, *_children, *_next, *_prev;
    void *_timer;
} weft_group;
#define WEFT_GROUP_INIT                                                                            \
    {                                                                                              \
        0, 0, 0, 0, 0, {0, 0}, 0, 0, 0, 0, 0                                                       \
    }

WEFT_API void weft_group_go(weft_group *g, weft_main_fn *fn, void *arg);
/* At that instant the group is canceled; WEFT_FOREVER: never. A second call moves the deadline. */
WEFT_API void weft_group_deadline(weft_group *g, weft_time when);
/* Every cancelable wait of the group's tasks, and of groups below, returns WEFT_ECANCELED, now
 * and from now on; tasks started in it later are born canceled. Does not wait. */
WEFT_API void weft_group_cancel(weft_group *g);
/* Waits until no task of the group is left. The first non-zero result of a task, or 0;
 * WEFT_ETIMEDOUT or, if the caller itself is canceled, WEFT_ECANCELED, with tasks left.
 * After 0 or a task's result the group is as new, save that its error and cancellation stay. */
WEFT_API int weft_group_wait_until(weft_group *g, weft_time deadline);
static inline int weft_group_wait(weft_group *g)
{
    return weft_group_wait_until(g, WEFT_FOREVER);
}
/* Waits to the very end even if the caller is canceled: for the frame that owns the group. */
WEFT_API int weft_group_join(weft_group *g);
WEFT_API bool weft_group_is_canceled(const weft_group *g);

#ifdef __cplusplus
}
#endif
#endif
