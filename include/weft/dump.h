/* SPDX-License-Identifier: MIT */
/* weft/dump.h - every task's state, wait and stack, in Go's formats.
 *
 *     static int show_tasks(void *arg)
 *     {
 *         weft_dump_options o = {.form = WEFT_DUMP_FULL};
 *
 *         return weft_dump(STDOUT_FILENO, &o);
 *     }
 *     int main(void) { return weft_run(show_tasks, NULL); }
 *
 * A dump is a consistent cut that stops nobody: captured first, then written, with tasks running
 * on. SIGQUIT (Ctrl-\) writes one to stderr and ends the process with status 2; panics and the
 * report that all tasks are asleep end so, too. That report and SIGQUIT's begin with the holders of
 * the locks that tasks wait for, cycles first.
 * Faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS) and SIGABRT (abort, assert,
 * std::terminate) write one and then end the process by the signal, as if no handler stood there:
 * a shell sees status 139 or 134, and there may be a core. The stack of the task that died comes
 * first, on lines of its own, written even if malloc or a stack is broken; if the dump then makes
 * no progress for two seconds it is cut off. If the program had a handler of its own when the run
 * began, or sets one later, the handler is called and nothing is reported.
 * Where the kernel keeps the process from looking at itself (a sandbox; a process that is not
 * dumpable), these reports and WEFT_DUMP_FULL begin with lines that say what is not shown, and why.
 *
 * A dump never ends a system call early or short, nor does a profile: no signal is sent to a thread
 * that may be in one. A task that computes shows its stack when the kernel's clock next interrupts
 * it, some milliseconds later. A task that computes has no stack ("??") if its thread blocks SIGURG
 * or gets no CPU for three seconds, if the program handles or ignores SIGURG, or in a run with
 * no_signals.
 *
 * Stacks have marks among their frames, in all forms and in profiles. "-- frames elided --" stands
 * where frames are missing: in the middle of a stack of more than 512, or at the outer end of one
 * that could not be followed further; TASKS and FULL have Go's line for it. Frames behind
 * "-- guessed callers --" are guesses: the walk met code without unwind information, such as
 * hand-written assembly. C++ functions have their scopes, not their parameters.
 *
 * A task is running, runnable, in a system call (syscall), or waits:
 *   chan receive, chan send             for a channel
 *   chan receive (nil chan),
 *   chan send (nil chan)                for no channel, so for ever
 *   select                              for a case
 *   select (no cases)                   for ever
 *   sync.Mutex.Lock                     for a mutex
 *   sync.RWMutex.RLock                  to read under a rwmutex
 *   sync.RWMutex.Lock                   to write under a rwmutex
 *   sync.Cond.Wait                      for a condition
 *   sync.Once.Do                        for the first caller of weft_once_do
 *   sync.WaitGroup.Wait                 for the tasks of a group, or for a waitgroup
 *   group limit                         to start a task in a group that has as many as it may
 *   semacquire                          for a semaphore
 *   sleep                               in weft_sleep
 *   IO wait                             for a socket or another descriptor
 *   IO retry wait                       to try again, after accept found no descriptor or memory
 *   IO close wait                       until a socket is closed
 *   DNS lookup                          for the address of a name
 *   uv work wait                        for weft_work
 *   process wait                        for a child in weft_process_run
 *   hog lane                            to run: as many tasks burn CPU without pause as may
 *   thread wait                         to run: tasks of its function sit in calls, and threads
 *                                       are short
 *   unknown wait reason                 never in a dump
 * A task that waits has the time since its wait began. A task that is running or in a system call
 * has the time since its call was declared (weft_blocking_begin), else since it lost its processor;
 * a task without either has none. TASKS has whole minutes, if any; FULL has the time exactly
 * ("# waited:").
 *
 * WEFT_TRACEBACK, else GOTRACEBACK, says how much the reports of a dying program show: none (the
 * message), single (of a panic or a fault the task that caused it), all (the default), crash (all,
 * and panics abort for a core). */
#ifndef WEFT_DUMP_H
#define WEFT_DUMP_H

#include <weft/error.h>
#ifdef __cplusplus
extern "C" {
#endif

enum weft_dump_form {
    WEFT_DUMP_TASKS,  /* a block a task: Go's goroutine?debug=2, read by panicparse */
    WEFT_DUMP_MERGED, /* equal stacks with equal labels once, with their count: debug=1 */
    WEFT_DUMP_PPROF,  /* gzip'ed profile.proto for go tool pprof: debug=0 */
    WEFT_DUMP_FULL,   /* as TASKS, with names, labels, lock owners and exact times: debug=3 */
    /* As PPROF, with one sample a task (per_task=1). Besides the task's labels a sample has goid
     * (a number); name, if the task has one; state (running, runnable, syscall or waiting); reason,
     * if the task waits; wait (nanoseconds), if the task waits, is in a declared call or lost its
     * processor. A label of the task with such a key is left out. */
    WEFT_DUMP_PPROF_EACH,
};

typedef struct weft_dump_options {
    enum weft_dump_form form;
} weft_dump_options;

/* Writes a dump to fd; options may be NULL. Any thread, while weft_run runs (else WEFT_EINVAL).
 * 0, or the negative errno of a failed write. Not cancelable; a slow reader of fd blocks the
 * caller's thread, not its processor. If fd is non-blocking, the call waits for it all the same,
 * for 10 s at most at a time: then it returns UV_EAGAIN. */
WEFT_API int weft_dump(int fd, const weft_dump_options *options);

#ifdef __cplusplus
}
#endif
#endif
