/* SPDX-License-Identifier: MIT */
/* weft/embed.h - a run beside a program's own main loop.
 *
 *     static int answer(void *arg)
 *     {
 *         weft_sleep(WEFT_MILLISECOND); // a task of the run
 *         *(int *)arg = 42;
 *         return 0;
 *     }
 *     int main(void)
 *     {
 *         int n = 0;
 *
 *         if (weft_start(NULL) < 0)
 *             return 1;
 *         if (weft_call(answer, &n) < 0) // while this thread could do its own work, too
 *             return 1;
 *         weft_stop();
 *         return n != 42;
 *     }
 *
 * weft_run is for programs whose main function is a task. A program with a loop of its own (of
 * poll, of libuv, an interpreter's) starts the run beside it, and lets its tasks call back through
 * what its loop watches: a pipe, an eventfd, uv_async_send.
 *
 * Any thread of the process may make any call of the library while a run is under way: channels,
 * locks, timers, sockets, weft_fd_wait, weft_process_run, a server of weft/http.h. A call that
 * waits blocks that thread alone, and ends with WEFT_ECANCELED when the run ends, where it is
 * cancelable. weft_work calls its function on that thread; weft_pin and weft_blocking_begin change
 * nothing for it. weft_call is for code that is to run as a task, on a processor.
 *
 * Code that keeps a state for each OS thread, as interpreters do, must not change threads: start
 * the run with no_handoff and a stack_size that suits the code, and pin its tasks (weft/task.h). */
#ifndef WEFT_EMBED_H
#define WEFT_EMBED_H

#include <weft/task.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Starts a run on a thread of its own, and returns when tasks can run. options as of weft_run_with,
 * copied; NULL: the default. The run goes on without a task, and no deadlock is reported, since the
 * program may start tasks at any time. 0; WEFT_EAGAIN: the system gives no thread. Panics in a task
 * and while another run is under way. */
WEFT_API int weft_start(const weft_run_options *options);
/* Ends the run of weft_start, as the return of weft_run's main task does, and waits for that. Tasks
 * left are discarded; cancelable waits of other threads end with WEFT_ECANCELED. Any thread of the
 * program; panics in a task and without a weft_start. Another start may follow. */
WEFT_API void weft_stop(void);

/* Runs fn(arg) as a task and returns its result once it has ended; in a task, calls fn. Blocks a
 * thread that is no task meanwhile. WEFT_ECANCELED: the run ended before fn did, and arg may be in
 * use until fn's thread makes its next call of the library. */
WEFT_API int weft_call(weft_main_fn *fn, void *arg);

/* Says that the calling thread, which is no task, will call the library: until it is detached, or
 * ends, tasks that all wait are not taken for a deadlock. Before a run or in it; the thread stays
 * attached from run to run. Calls nest. Without it a thread counts from its first call on. */
WEFT_API void weft_attach(void);
/* Takes one weft_attach back, and with the last what the library keeps for the thread. Panics if
 * the thread is not attached. */
WEFT_API void weft_detach(void);

#ifdef __cplusplus
}
#endif
#endif
