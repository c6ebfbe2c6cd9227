/* SPDX-License-Identifier: MIT */
/* weft/task.h - starting tasks, grouping them and waiting for them.
 *
 *     static int fetch(void *answer)
 *     {
 *         int rc = weft_sleep(10 * WEFT_MILLISECOND); // stands for a call to another service
 *
 *         if (rc == 0)
 *             *(int *)answer = 42;
 *         return rc;
 *     }
 *
 *     static int serve(void *arg)
 *     {
 *         weft_group g = WEFT_GROUP_INIT;
 *         int answers[2];
 *
 *         weft_group_deadline(&g, weft_after(2 * WEFT_SECOND));
 *         for (int i = 0; i < 2; i++)
 *             weft_group_go(&g, fetch, &answers[i]);
 *         switch (weft_group_wait(&g)) { // no task is left that could use g or answers
 *         case 0:
 *             return 200;
 *         case WEFT_ETIMEDOUT: // the deadline has canceled g
 *             return 504;
 *         default: // the first failure, which has canceled the other task
 *             return 502;
 *         }
 *     }
 *     int main(void) { return weft_run(serve, NULL) != 200; }
 *
 * A task has no public handle, so none can dangle. Either nobody waits for its end (weft_go), or a
 * group does (weft_group_go).
 *
 * A stack does not grow. Every task has 64 KiB, the main task too: keep big locals (a char[64 *
 * 1024], a VLA or alloca of a size that others choose) off it, or ask for more: weft_run_with for
 * all tasks, weft_go_with for one, weft_http_options for handlers. C libraries need up to 30 KiB
 * for a printf or a regular expression. An overflow ends the program with a report, if its frames
 * are small, or are compiled with -fstack-clash-protection. Below each stack are 64 KiB that no
 * code may touch; other code with a frame larger than that can reach beyond, into another task's
 * stack.
 *
 * Tasks run on WEFT_PROCS processors at once, and any call of this library may return on another
 * OS thread: keep no pointer to thread-local data, errno included, over one, or pin the task.
 * The state of C++ exceptions moves with the task: it may wait in a catch block, or in a destructor
 * while an exception unwinds. (A C++ runtime that dlopen brings in must be there before weft_run.)
 * An exception must not leave the task's function, which is std::terminate.
 * The rounding mode and the other floating point controls (fesetround, feenableexcept, mxcsr) are
 * the thread's and do not move: to keep them for each task would make a switch 12 % slower. Those
 * set before weft_run hold in all tasks; a task that changes them changes them back before its next
 * call of this library. */
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

/* The functions of tasks. weft_go and weft_group_go take either. */
typedef void weft_task_fn(void *arg);
typedef int weft_main_fn(void *arg); /* the result: 0, or an error, any other number */

/* How a run differs from the default; all zero is the default. */
typedef struct weft_run_options {
    int procs;            /* processors; 0: WEFT_PROCS, else the CPUs this process may use */
    bool no_handoff;      /* a task that does not yield keeps its processor: with one processor this
                           * is cooperative, single-threaded running. Without it WEFT_PROCS=1 is NOT
                           * single-threaded: the thread of a task that was shed runs on beside. */
    bool no_signals;      /* install no handler: no dump at SIGQUIT, no report of faults and stack
                           * overflows, no stack in dumps and profiles of a task that computes */
    size_t stack_size;    /* usable bytes of a task's stack, the main task's among them; 0: 64 KiB.
                           * Rounded up to pages, and to 16 KiB; more than 16 GiB panics. */
    int max_hogs;         /* tasks that may burn CPU at once without a processor, beside those that
                           * have one; 0: WEFT_HOGS, else the number of processors. More use idle CPUs
                           * and let long computations end sooner; fewer leave more of a CPU quota to
                           * the others. Beyond it tasks that burn CPU take turns, but a loop that
                           * makes no call for a second no longer counts: C cannot stop it. So any
                           * number of threads may be in such loops. While more than max_hogs tasks
                           * burn CPU without a processor, all of them run on max_hogs of the CPUs,
                           * and so do the threads and children that they make then (but not a child
                           * of fork). A task has its CPUs back at its next call of the library. */
    int max_threads;      /* tasks that may sit in blocking calls at once, each with a thread; 0:
                           * 10,000. Beyond it, or where the kernel gives no more threads, stderr
                           * has a line about it once. Then these wait for a thread: new tasks of a
                           * function that was seen to block, and tasks that blocked themselves,
                           * before they run; a task that calls weft_blocking_begin, before its call;
                           * and where no spare thread is left, the other tasks of such a function. A
                           * run that gets no thread beside those of its processors ends before any
                           * task runs, with a message and status 2. */
    bool keep_file_limit; /* leave the soft limit on descriptors as it is. Without it the run raises
                           * it to the hard limit, unless WEFT_RAISE_FILES is 0, and restores it at
                           * its end. A child of fork has the old limit; one of posix_spawn or
                           * weft_process_run has the raised one. Programs that use select(2) keep
                           * it, since a set of descriptors has no room for numbers from 1,024. */
    const char *flight; /* the file of the flight recorder (weft/flight.h), as in WEFT_FLIGHT; NULL:
                         * WEFT_FLIGHT, else nothing is recorded; "": nothing is */
    int flight_mb;      /* its size in megabytes; 0: WEFT_FLIGHT_MB, else 32 */
    int flight_signal;  /* the signal at which the recorder takes a snapshot; 0: WEFT_FLIGHT_SIGNAL,
                         * else none. Not with no_signals. Panics for a signal that
                         * weft_signal_start refuses, and for SIGQUIT. */
    weft_time flight_stall; /* ns; the recorder takes a snapshot if a processor runs one task for so
                             * long while others wait; 0: WEFT_FLIGHT_STALL, else a second;
                             * WEFT_FOREVER: never */
} weft_run_options;

/* Starts the runtime, runs fn(arg) as the first task and returns its result. Tasks still
 * parked or runnable then are discarded, as in Go's main; calls into C that are under way are
 * waited for, for a second, then left to their threads. May be called again afterwards, never
 * while it runs (panics). Other threads of the process may call the library while it runs; their
 * cancelable waits end with it, calls under way are waited for, later ones panic. A thread counts
 * as one that could wake tasks from its first call on: tasks that all wait for a thread that has
 * not called yet are reported as a deadlock.
 * exit() in a task ends the process with its code; pthread_exit there panics.
 * A child of fork has the forking thread alone: it may run code that makes no call of the library,
 * exec or _exit. Each call of the library there panics (not weft_now, weft_after, weft_strerror,
 * weft_timer_chan, weft_log_set). Signals have the dispositions there that they had before
 * weft_run. */
WEFT_API int weft_run(weft_main_fn *fn, void *arg);
WEFT_API int weft_run_with(const weft_run_options *options, weft_main_fn *fn, void *arg);

/* Starts fn(arg) as a task; a result is dropped. Any thread of the process may call it while
 * weft_run runs. May let other tasks run first. */
WEFT_API void weft_go(weft_task_fn *fn, void *arg);
WEFT_API void weft_go_int(weft_main_fn *fn, void *arg); /* weft_go of a function with a result */

typedef struct weft_go_options {
    const char *name;  /* as by weft_task_name; may be NULL */
    size_t stack_size; /* usable bytes, as in weft_run_options; 0: the run's default */
} weft_go_options;
WEFT_API void weft_go_with(const weft_go_options *options, weft_task_fn *fn, void *arg);

/* Lets the tasks run that are runnable now. Not cancelable. */
WEFT_API void weft_yield(void);
/* Returns the caller's id. No other task ever has it, in later runs neither. The main task of the
 * first run is 1. */
WEFT_API uint64_t weft_task_id(void);
/* Names the calling task, for dumps. The text is copied, and cut at 31 bytes. */
WEFT_API void weft_task_name(const char *name);
/* Returns the number of processors that run tasks. It follows the CPUs that the process may use,
 * unless the option procs or WEFT_PROCS fixed it: every three seconds while tasks run, the affinity
 * of weft_run's thread and the CPU quotas of the process's cgroups and their ancestors are looked
 * at, of both versions of cgroups. The dump WEFT_DUMP_FULL and /debug/vars tell what decided. */
WEFT_API int weft_procs(void);
/* Has n processors run tasks, in place of that number: 1 to 256; 0 goes back to it. Takes effect
 * within some milliseconds, or in part if the system gives no more threads or descriptors. Returns
 * what the latest call in this run has set, or 0. Panics if n is out of range. */
WEFT_API int weft_procs_set(int n);

/* Ties the calling task to the OS thread that it runs on; calls nest. While the task waits, its
 * thread runs no other. Dumps show it as "locked to thread". A foreign thread is always pinned. */
WEFT_API void weft_pin(void);
WEFT_API void weft_unpin(void); /* panics without a pin */

/* Declares that the code between the two calls may block its thread (no effect with hand-off
 * switched off). If it lasts, other tasks get the processor within about a millisecond, or at once
 * where the same place in the program was slow before; a call that is quicker costs some
 * nanoseconds. No call of this library may stand between them: a wait, a second begin and the end
 * of the task panic there, and other calls may panic. On a thread that is no task the two do
 * nothing. A task in an undeclared call that blocks, or in a loop that burns CPU, loses its
 * processor, too, but only after 10 ms; after less than 1 ms where other tasks of the same function
 * did so before. */
WEFT_API void weft_blocking_begin(void);
WEFT_API void weft_blocking_end(void);                    /* panics without a begin */
WEFT_API void weft_blocking(weft_task_fn *fn, void *arg); /* fn(arg) between the two */

/* Task-local values. weft_local_new makes a key, for the life of the process, and returns 0, or
 * WEFT_EAGAIN if there are 64 keys already. destroy may be NULL; else the end of a task calls it,
 * in that task, with the task's last value that is not NULL. weft_local_set sets the calling task's
 * value, which stays the caller's. None of them waits. */
typedef struct weft_local {
    uint32_t _key;
} weft_local;
WEFT_API int weft_local_new(weft_local *key, void (*destroy)(void *value));
WEFT_API void weft_local_set(weft_local key, void *value);
WEFT_API void *weft_local_get(weft_local key); /* NULL if never set by this task */

/* A group is a Go WaitGroup, errgroup and context in one: it counts the tasks started in it, keeps
 * their first error, and cancels them. All zero is a valid group.
 *
 * The first of these cancels a group, which then stays canceled:
 *   an error: a task returns another result than 0 (unless weft_group_keep_going was called);
 *   its deadline;
 *   weft_group_cancel;
 *   the cancellation of a task that waits for it in weft_group_wait.
 * Then every cancelable wait of its tasks returns WEFT_ECANCELED, now and from now on, and tasks
 * started in it later are born canceled. Nothing else ties groups to each other or to the task that
 * uses one first: a group of the whole process may be used from anywhere.
 *
 * weft_group_wait returns only when no task is left. So the group, and what its tasks were given,
 * may be in the frame that calls it; a group in which a task was started must not go before it, and
 * every other call on the group, has returned. Several tasks may wait for one group. A group that
 * is done may be used again, by any of them at once: each wait returns the result of its own round.
 * The first error, the cancellation and the deadline stay until WEFT_GROUP_INIT is assigned to it.
 */
typedef struct weft_group {
    uint32_t _lock, _state;
    int32_t _err, _cause;
    uint32_t _count, _limit, _run;
    void *_tasks, *_uncanceled;
    void *_waiters[2], *_starters[2];
    uint64_t _timer[3];
    weft_time _deadline;
} weft_group;
#define WEFT_GROUP_INIT WEFT__ZEROS

/* Starts fn(arg) as a task of g. Returns 0, always if g has no limit. With a limit it waits while
 * that is reached, and returns WEFT_ECANCELED, with nothing started, if g is canceled or if the
 * caller is canceled while it waits. */
WEFT_API int weft_group_go(weft_group *g, weft_main_fn *fn, void *arg);
/* weft_group_go of a function without a result: that counts as 0. */
WEFT_API int weft_group_go_void(weft_group *g, weft_task_fn *fn, void *arg);
/* From now on at most n tasks of g run at once; 0: any number. Tasks that run already stay. A task
 * of g that starts others in it keeps its own place meanwhile, so n such tasks can wait for each
 * other for ever. */
WEFT_API void weft_group_limit(weft_group *g, uint32_t n);
/* From now on errors cancel nothing: each task runs to its end. The first error is still kept. */
WEFT_API void weft_group_keep_going(weft_group *g);
/* At that instant g is canceled, and at once if it has passed; WEFT_FOREVER: never. A second call
 * moves the deadline. It stays after a wait. */
WEFT_API void weft_group_deadline(weft_group *g, weft_time when);
/* Cancels g. Does not wait for its tasks to end, but may let others run. Called on a thread that is
 * no task it may return before the last of many tasks is canceled. */
WEFT_API void weft_group_cancel(weft_group *g);

/* Waits until no task of g is left, without exception. If the caller is canceled, so is g, with the
 * same cause, and the wait goes on. Returns the first result of a task that is not 0, or 0. Where
 * that result is WEFT_ECANCELED because g was canceled, the cause is returned in its place: after
 * its deadline WEFT_ETIMEDOUT. A thread that is no task gets WEFT_ECANCELED when the run ends.
 * Panics in a task of g, which would wait for itself. */
WEFT_API int weft_group_wait(weft_group *g);
static inline int weft_group_join(weft_group *g) /* the same, by the name that threads have */
{
    return weft_group_wait(g);
}
/* Waits and returns as weft_group_wait, but comes back early, at the deadline or if the caller is
 * canceled, with WEFT_EPENDING: g is not canceled by that, tasks are left, and g must be waited for
 * again. No task's result is taken for it: a task that returns WEFT_EPENDING counts as one that
 * returned WEFT_ETIMEDOUT. */
WEFT_API int weft_group_wait_until(weft_group *g, weft_time deadline);

/* Returns why g was canceled: the first error; WEFT_ETIMEDOUT for the deadline; WEFT_ECANCELED for
 * weft_group_cancel; the cause of the canceled task that waited. Returns 0 if g is not canceled. */
WEFT_API int weft_group_cause(const weft_group *g);
WEFT_API bool weft_group_is_canceled(const weft_group *g);
/* Returns why the calling task is canceled, which is its group's cause, also behind a shield; 0 if
 * it is not canceled or in no group. */
WEFT_API int weft_task_cause(void);
WEFT_API bool weft_task_is_canceled(void);

/* Between the two calls the calling task waits as if it were not canceled: to clean up, to report,
 * to give back. Calls nest. A shield covers the waits of this task alone, weft_group_wait included.
 * So a new group that the task waits for behind its shield is not canceled; tasks that it starts in
 * a canceled group are. On a thread that is no task the calls do nothing. */
WEFT_API void weft_shield_begin(void);
WEFT_API void weft_shield_end(void);                    /* panics without a begin */
WEFT_API void weft_shield(weft_task_fn *fn, void *arg); /* fn(arg) between the two */

#ifdef __cplusplus
}

inline void weft_go(weft_main_fn *fn, void *arg)
{
    weft_go_int(fn, arg);
}
inline int weft_group_go(weft_group *g, weft_task_fn *fn, void *arg)
{
    return weft_group_go_void(g, fn, arg);
}
#else
#define weft_go(fn, ...)                                                                           \
    _Generic((fn), weft_main_fn * : weft_go_int, default : weft_go)(fn, __VA_ARGS__)
#define weft_group_go(g, fn, ...)                                                                  \
    _Generic((fn), weft_task_fn * : weft_group_go_void, default : weft_group_go)(g, fn, __VA_ARGS__)
#endif
#endif
