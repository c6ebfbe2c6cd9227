/* SPDX-License-Identifier: MIT */
/* weft/fd.h - waits on what lies outside: descriptors, threads that work, child processes.
 *
 *     static int through_a_pipe(void *arg)
 *     {
 *         static const char *const argv[] = {"true", NULL};
 *         int ends[2];
 *         char c;
 *
 *         if (pipe(ends) < 0 || write(ends[1], "x", 1) != 1)
 *             return 1;
 *         if (weft_fd_wait_until(ends[0], WEFT_FD_READ, weft_after(WEFT_SECOND)) != WEFT_FD_READ)
 *             return 1; // WEFT_ETIMEDOUT, WEFT_ECANCELED
 *         return read(ends[0], &c, 1) == 1 ? weft_process_run(argv) : 1;
 *     }
 *     int main(void) { return weft_run(through_a_pipe, NULL); }
 *
 * Other threads of the program may call them, too (weft/embed.h): a call then blocks its thread. */
#ifndef WEFT_FD_H
#define WEFT_FD_H

#include <weft/error.h>
#include <weft/task.h>
#include <weft/time.h>
#ifdef __cplusplus
extern "C" {
#endif

enum weft_fd_events { WEFT_FD_READ = 1, WEFT_FD_WRITE = 2 };

/* Waits until fd, a descriptor of the caller's, is ready for one of the events. Returns the events
 * that it is ready for (> 0); all that were asked for if it hung up or has an error, which the next
 * read or write on it returns; WEFT_ETIMEDOUT; WEFT_ECANCELED; UV_EBADF; UV_EPERM for descriptors
 * that are always ready, such as a regular file's. Any number of tasks may wait for one fd at once,
 * each for its own events; an event wakes all that wait for it. fd stays the caller's, open until
 * the return, and its flags are not touched. A task that then reads or writes should make fd
 * non-blocking, since another task may be quicker. WEFT_NOW asks as poll(2) does, for about its
 * price. */
WEFT_API int weft_fd_wait_until(int fd, int events, weft_time deadline);
static inline int weft_fd_wait(int fd, int events)
{
    return weft_fd_wait_until(fd, events, WEFT_FOREVER);
}

/* Runs fn(arg) on a thread of a pool and waits for its end; four calls run at once, or as many as
 * UV_THREADPOOL_SIZE says, and others queue. 0; WEFT_EAGAIN if the pool has no thread and the
 * system gives none. Not cancelable. Neither the end of weft_run, after a second, nor exit() waits
 * for a call that hangs. A thread that is no task has no processor to give up: there the call is
 * fn(arg), and no other thread is used. */
WEFT_API int weft_work(weft_task_fn *fn, void *arg);

/* Runs a program and waits for its end; argv ends with NULL, argv[0] is looked up in PATH, standard
 * streams are inherited, no signal is blocked or ignored in it. Its exit status (>= 0), 128 + the
 * signal that ended it; WEFT_EINVAL if there is no argv[0]; -ECHILD if its status is lost, since
 * another thread waited for it or SIGCHLD is ignored; or another negative UV_E*. Works beside a
 * channel for SIGCHLD. Not cancelable; on a thread that is no task the wait may outlast the run. */
WEFT_API int weft_process_run(const char *const argv[]);

#ifdef __cplusplus
}
#endif
#endif
